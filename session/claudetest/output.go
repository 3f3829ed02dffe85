package claudetest

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"sync"
)

var (
	pid       = os.Getpid()
	sessionID = newUUID()
)

// output writes whole lines to stdout and flushes each.
type output struct {
	mu  sync.Mutex
	to  io.Writer
	buf *bufio.Writer
	enc *json.Encoder
}

func newOutput(w io.Writer) *output {
	o := &output{to: w, buf: bufio.NewWriter(w)}
	o.enc = json.NewEncoder(o.buf)
	o.enc.SetEscapeHTML(false)
	return o
}

// close breaks the pipe, if it is one.
func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c, ok := o.to.(io.Closer); ok {
		_ = c.Close()
	}
}

// line writes v; a reader that is gone is seen by the end of stdin.
func (o *output) line(v any) { o.lineThen(v, func() {}) }

// lineThen writes v and does something before any other line can follow.
func (o *output) lineThen(v any, do func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writeLocked(v)
	do()
}

// lineWhile writes v unless ctx has ended, and reports whether it had not: after the answer to an interrupt no delta follows.
func (o *output) lineWhile(ctx context.Context, v any) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if ctx.Err() != nil {
		return false
	}
	o.writeLocked(v)
	return true
}

func (o *output) raw(s string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, _ = o.buf.WriteString(s)
	_ = o.buf.Flush()
}

func (o *output) writeLocked(v any) {
	_ = o.enc.Encode(v)
	_ = o.buf.Flush()
}

// newUUID is a version 4 UUID (RFC 9562). It need not be secret, only new.
func newUUID() string {
	var b [16]byte
	binary.NativeEndian.PutUint64(b[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(b[8:], rand.Uint64())
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

func newID(prefix string) string {
	return prefix + "01" + hex.EncodeToString(binary.BigEndian.AppendUint64(nil, rand.Uint64()))
}

type lifecycleLine struct {
	Type      string `json:"type"`
	Command   string `json:"command_uuid"`
	State     string `json:"state"`
	UUID      string `json:"uuid"`
	SessionID string `json:"session_id"`
}

func (f *fake) lifecycle(uuid, state string) {
	f.out.line(lifecycleLine{"command_lifecycle", uuid, state, newUUID(), sessionID})
}

// eventLine passes an event of the Messages API on.
type eventLine struct {
	Type             string   `json:"type"`
	Event            any      `json:"event"`
	SessionID        string   `json:"session_id"`
	ParentToolUseID  *string  `json:"parent_tool_use_id"`
	UUID             string   `json:"uuid"`
	APIMessageID     string   `json:"api_message_id"`
	UserMessageUUID  string   `json:"user_message_uuid,omitempty"`
	UserMessageUUIDs []string `json:"user_message_uuids,omitempty"`
	AbandonedBlocks  any      `json:"abandoned_blocks,omitempty"`
}

// messageLine is an assistant or user line.
type messageLine struct {
	Type              string   `json:"type"`
	Message           any      `json:"message"`
	ParentToolUseID   *string  `json:"parent_tool_use_id"`
	SessionID         string   `json:"session_id"`
	UUID              string   `json:"uuid"`
	Timestamp         string   `json:"timestamp"`
	Aborted           bool     `json:"aborted,omitempty"`
	Error             string   `json:"error,omitempty"`
	IsAPIErrorMessage bool     `json:"is_api_error_message,omitempty"`
	APIErrorStatus    *int     `json:"api_error_status,omitempty"`
	APIError          string   `json:"api_error,omitempty"`
	APIErrorParams    any      `json:"api_error_params,omitempty"`
	UserMessageUUID   string   `json:"user_message_uuid,omitempty"`
	UserMessageUUIDs  []string `json:"user_message_uuids,omitempty"`
}

type resultLine struct {
	Type              string                `json:"type"`
	Subtype           string                `json:"subtype"`
	IsError           bool                  `json:"is_error"`
	DurationMS        int64                 `json:"duration_ms"`
	DurationAPIMS     int64                 `json:"duration_api_ms"`
	NumTurns          int                   `json:"num_turns"`
	StopReason        *string               `json:"stop_reason"`
	TerminalReason    string                `json:"terminal_reason,omitempty"`
	APIErrorStatus    *int                  `json:"api_error_status,omitempty"`
	Result            *string               `json:"result,omitempty"`
	Errors            []string              `json:"errors,omitempty"`
	DeferredToolUse   any                   `json:"deferred_tool_use,omitempty"`
	TotalCostUSD      float64               `json:"total_cost_usd"`
	Usage             usage                 `json:"usage"`
	ModelUsage        map[string]modelUsage `json:"modelUsage"`
	ModelUsageSince   map[string]modelUsage `json:"model_usage_since_last_result"`
	PermissionDenials []any                 `json:"permission_denials"`
	UserMessageUUID   string                `json:"user_message_uuid"`
	UserMessageUUIDs  []string              `json:"user_message_uuids"`
	QueuedTurnCount   int                   `json:"queued_turn_count"`
	SessionID         string                `json:"session_id"`
	UUID              string                `json:"uuid"`
}

type usage struct {
	Input         int `json:"input_tokens"`
	CacheCreation int `json:"cache_creation_input_tokens"`
	CacheRead     int `json:"cache_read_input_tokens"`
	Output        int `json:"output_tokens"`
}

func (u usage) plus(v usage) usage {
	return usage{u.Input + v.Input, u.CacheCreation + v.CacheCreation, u.CacheRead + v.CacheRead, u.Output + v.Output}
}

type modelUsage struct {
	Input         int     `json:"inputTokens"`
	Output        int     `json:"outputTokens"`
	CacheRead     int     `json:"cacheReadInputTokens"`
	CacheCreation int     `json:"cacheCreationInputTokens"`
	CostUSD       float64 `json:"costUSD"`
}

func (u usage) of(model string) map[string]modelUsage {
	if u == (usage{}) {
		return map[string]modelUsage{}
	}
	return map[string]modelUsage{model: {u.Input, u.Output, u.CacheRead, u.CacheCreation, 0}}
}
