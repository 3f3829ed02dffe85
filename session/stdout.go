package session

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"maxrelay/session/chat"
)

// line is one line of a CLI's stdout, decoded as far as it is used. Unknown types and
// fields are skipped, so that a newer CLI may say more.
type line struct {
	Type    string `json:"type"`
	Subtype string `json:"subtype"`

	RequestID string          `json:"request_id"` // control_request
	Request   controlRequest  `json:"request"`    // control_request
	Response  controlResponse `json:"response"`   // control_response

	Event streamEvent `json:"event"` // stream_event

	Message struct { // assistant
		Model   string          `json:"model"`
		Content json.RawMessage `json:"content"`
	} `json:"message"`
	Error       string `json:"error"`     // assistant: the class of a failure that it tells of
	APIError    string `json:"api_error"` // assistant: a finer one, for some
	ErrorParams struct {
		RateLimit rateLimit `json:"rate_limit_info"`
	} `json:"api_error_params"` // assistant

	RateLimit rateLimit `json:"rate_limit_info"` // rate_limit_event

	Tools []string `json:"tools"` // system/init

	result
}

// result is the line that ends a turn. An API failure has subtype "success" too:
// IsError tells.
type result struct {
	IsError         bool   `json:"is_error"`
	APIErrorStatus  *int   `json:"api_error_status"`
	APIErrorType    string `json:"api_error_type"`
	TerminalReason  string `json:"terminal_reason"`
	Result          any    `json:"result"`
	UserMessageUUID string `json:"user_message_uuid"`
	// ModelUsage has, by model, what all calls of the turn used, also those that the
	// CLI made on its own and those that were interrupted.
	ModelUsage map[string]modelUsage `json:"model_usage_since_last_result"`
}

type modelUsage struct {
	Input      int `json:"inputTokens"`
	Output     int `json:"outputTokens"`
	CacheRead  int `json:"cacheReadInputTokens"`
	CacheWrite int `json:"cacheCreationInputTokens"`
	Thinking   int `json:"thinkingTokens"`
}

func (r result) usage() (sum chat.Usage) {
	for _, u := range r.ModelUsage {
		sum = sum.Plus(chat.Usage{InputTokens: u.Input, OutputTokens: u.Output, CacheReadTokens: u.CacheRead,
			CacheWriteTokens: u.CacheWrite, ThinkingTokens: u.Thinking})
	}
	return sum
}

// blocksOf returns the blocks of a message's content. One that is no list of blocks is
// none of the model's.
func blocksOf(content json.RawMessage) (blocks []heldBlock) {
	if json.Unmarshal(content, &blocks) != nil {
		return nil
	}
	return blocks
}

// heldBlock is as much of a block as the CLI holds as is compared with what was streamed.
type heldBlock struct {
	Type  chat.BlockType  `json:"type"`
	Text  string          `json:"text"`  // text
	Input json.RawMessage `json:"input"` // tool_use
}

type controlRequest struct {
	Subtype    string     `json:"subtype"`
	ServerName string     `json:"server_name"` // mcp_message
	Message    mcpMessage `json:"message"`     // mcp_message
}

type controlResponse struct {
	Subtype   string          `json:"subtype"`
	RequestID string          `json:"request_id"`
	Response  json.RawMessage `json:"response"`
	Error     string          `json:"error"`
}

// streamEvent is an event of the Messages API as the CLI passes it on.
type streamEvent struct {
	Type    chat.EventType `json:"type"`
	Message struct {
		Model string     `json:"model"`
		Usage eventUsage `json:"usage"`
	} `json:"message"`
	Index        int        `json:"index"`
	ContentBlock chat.Block `json:"content_block"`
	Delta        struct {
		Text         string          `json:"text"`
		Thinking     string          `json:"thinking"`
		Signature    string          `json:"signature"`
		PartialJSON  string          `json:"partial_json"`
		StopReason   chat.StopReason `json:"stop_reason"`
		StopSequence string          `json:"stop_sequence"`
	} `json:"delta"`
	Usage eventUsage `json:"usage"`
}

// eventUsage tells counts that were sent from counts that were not: a message_delta
// repeats only some of message_start's.
type eventUsage struct {
	Input      *int `json:"input_tokens"`
	Output     *int `json:"output_tokens"`
	CacheRead  *int `json:"cache_read_input_tokens"`
	CacheWrite *int `json:"cache_creation_input_tokens"`
	Details    struct {
		Thinking *int `json:"thinking_tokens"`
	} `json:"output_tokens_details"`
}

// onto overwrites the counts of u that were sent.
func (e eventUsage) onto(u *chat.Usage) {
	for _, c := range []struct {
		sent *int
		to   *int
	}{{e.Input, &u.InputTokens}, {e.Output, &u.OutputTokens}, {e.CacheRead, &u.CacheReadTokens},
		{e.CacheWrite, &u.CacheWriteTokens}, {e.Details.Thinking, &u.ThinkingTokens}} {
		if c.sent != nil {
			*c.to = *c.sent
		}
	}
}

// served are the types of lines that turns depend on.
var served = []string{"stream_event", "assistant", "result", "control_request", "control_response"}

// decodeLine reads one line of stdout. A field of another type than it has here is
// forgiven where nothing depends on it: in a line that would be skipped. The error
// does not hold the line: it may be model text.
func decodeLine(raw []byte) (*line, error) {
	l := new(line)
	err := json.Unmarshal(raw, l)
	if _, odd := errors.AsType[*json.UnmarshalTypeError](err); odd && l.Type != "" && !slices.Contains(served, l.Type) {
		return &line{Type: l.Type}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("a line of %d bytes is not the CLI's JSON: %T", len(raw), err)
	}
	return l, nil
}

// meaningless reports whether a line is, as Claude Code 2.1.330 begins them, of the kinds that
// mean nothing here. The largest line of a turn, 10 KB about the process, is one.
func meaningless(raw []byte) bool {
	return bytes.HasPrefix(raw, []byte(`{"type":"system",`)) || bytes.HasPrefix(raw, []byte(`{"type":"command_lifecycle",`))
}

// isInit reports whether a line is what the CLI tells of itself at the begin of a turn.
func isInit(raw []byte) bool {
	return bytes.HasPrefix(raw, []byte(`{"type":"system","subtype":"init",`))
}

// readLine returns the next line, which is valid until the next call.
func readLine(r *bufio.Reader) ([]byte, error) {
	raw, err := r.ReadSlice('\n')
	if err != bufio.ErrBufferFull {
		return raw, err
	}
	var long []byte
	for err == bufio.ErrBufferFull && len(long) < longestLine {
		long = append(long, raw...)
		raw, err = r.ReadSlice('\n')
	}
	return append(long, raw...), err
}
