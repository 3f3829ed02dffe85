package anthropic

import (
	"encoding/json"
	"strings"

	"maxrelay/api/tool"
	"maxrelay/session/chat"
)

// Head is what names an answer.
type Head struct {
	ID    string // msg_…
	Model string // as the client asked for it
}

// message is an answer in one piece. What is always null here belongs to tools and
// options of Anthropic's that are not supported.
type message struct {
	ID           string    `json:"id"`
	Type         string    `json:"type"` // message
	Role         string    `json:"role"` // assistant
	Model        string    `json:"model"`
	Content      []any     `json:"content"`
	StopReason   *string   `json:"stop_reason"`
	StopSequence *string   `json:"stop_sequence"` // the one that was found
	StopDetails  *struct{} `json:"stop_details"`  // always null
	Container    *struct{} `json:"container"`     // always null
	Diagnostics  *struct{} `json:"diagnostics"`   // always null
	Usage        usage     `json:"usage"`
}

func newMessage(h Head, u chat.Usage) message {
	return message{ID: h.ID, Type: "message", Role: "assistant", Model: h.Model, Content: []any{}, Usage: newUsage(u)}
}

// usage has the upstream's counts. Input, cache reads and cache writes are disjoint.
type usage struct {
	InputTokens      int       `json:"input_tokens"`
	CacheWriteTokens int       `json:"cache_creation_input_tokens"`
	CacheReadTokens  int       `json:"cache_read_input_tokens"`
	CacheWrites      *struct{} `json:"cache_creation"` // by lifetime; always null
	OutputTokens     int       `json:"output_tokens"`
	Details          *details  `json:"output_tokens_details"` // null where the upstream does not tell
	ServerToolUse    *struct{} `json:"server_tool_use"`       // always null
	ServiceTier      *struct{} `json:"service_tier"`          // always null
	InferenceGeo     *struct{} `json:"inference_geo"`         // always null
	Speed            *struct{} `json:"speed"`                 // always null
}

// details tells a part of the output.
type details struct {
	ThinkingTokens int `json:"thinking_tokens"`
}

func newUsage(u chat.Usage) usage {
	out := usage{
		InputTokens: u.InputTokens, OutputTokens: u.OutputTokens,
		CacheReadTokens: u.CacheReadTokens, CacheWriteTokens: u.CacheWriteTokens,
	}
	if u.ThinkingTokens > 0 {
		out.Details = &details{u.ThinkingTokens}
	}
	return out
}

// The blocks of an answer.
type (
	textBlock struct {
		Type      string    `json:"type"`
		Text      string    `json:"text"`
		Citations *struct{} `json:"citations"` // always null
	}
	thinkingBlock struct {
		Type      string `json:"type"`
		Thinking  string `json:"thinking"`
		Signature string `json:"signature"`
	}
	callBlock struct {
		Type   string          `json:"type"`
		ID     string          `json:"id"`
		Name   string          `json:"name"`
		Input  json.RawMessage `json:"input"`
		Caller caller          `json:"caller"`
	}
	caller struct {
		Type string `json:"type"` // direct: the model itself
	}
)

func newCall(c *tool.Call, input string) callBlock {
	return callBlock{"tool_use", c.ID, c.Name, json.RawMessage(input), caller{"direct"}}
}

// ending is how an answer ended.
type ending struct {
	reason   chat.StopReason
	sequence string
}

func (e *ending) note(event chat.Event) {
	if event.StopReason != "" {
		e.reason, e.sequence = event.StopReason, event.StopSequence
	}
}

// words returns stop_reason and stop_sequence. The model's own words are this API's.
func (e ending) words() (reason, sequence *string) {
	word := string(e.reason)
	if word == "" {
		word = string(chat.StopEndTurn)
	}
	if e.sequence != "" {
		sequence = &e.sequence
	}
	return &word, sequence
}

// block is a block that is being told.
type block struct {
	kind      chat.BlockType
	text      strings.Builder // or what was thought
	signature string
	call      tool.Call
}

// content returns the block as it is written. A call whose arguments were cut off has
// none: half an object is no JSON.
func (b *block) content() any {
	switch b.kind {
	case chat.BlockThinking:
		return thinkingBlock{"thinking", b.text.String(), b.signature}
	case chat.BlockToolUse:
		input := b.call.Arguments()
		if !json.Valid([]byte(input)) {
			input = "{}"
		}
		return newCall(&b.call, input)
	}
	return textBlock{Type: "text", Text: b.text.String()}
}
