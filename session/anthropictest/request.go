package anthropictest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"maxrelay/session/anthropictest/wire"
)

// Message, Content and Block are the API's shapes with their raw JSON.
type (
	Message = wire.Message
	Content = wire.Content
	Block   = wire.Block
)

// Request is one HTTP request as the fake saw it.
type Request struct {
	N          int    // from 1
	RemoteAddr string // of the client's socket
	Method     string
	Path       string // with the query
	Header     http.Header
	Raw        []byte
	Body       Body // decoded, for POST /v1/messages

	At       time.Time // when the body had been read
	Status   int       // answered with; 0 until then, and when the connection was cut before
	Aborted  time.Time // when the client closed before the answer was complete; zero if it did not
	Finished time.Time // when the fake was done with it, in whatever way

	complete bool // the rest of the answer is on its way
}

// Body is what POST /v1/messages takes. Fields has all top-level fields, also those not decoded here.
type Body struct {
	Model         string      `json:"model"`
	MaxTokens     int         `json:"max_tokens"`
	Stream        bool        `json:"stream"`
	System        Content     `json:"system"`
	Messages      []Message   `json:"messages"`
	Tools         []Tool      `json:"tools"`
	ToolChoice    *ToolChoice `json:"tool_choice"`
	Thinking      *Thinking   `json:"thinking"`
	Temperature   *float64    `json:"temperature"`
	TopP          *float64    `json:"top_p"`
	TopK          *int        `json:"top_k"`
	StopSequences []string    `json:"stop_sequences"`

	Fields map[string]json.RawMessage `json:"-"`
}

// Tool is a tool offered to the model.
type Tool struct {
	Type         string             `json:"type"`
	Name         string             `json:"name"`
	Description  string             `json:"description"`
	InputSchema  json.RawMessage    `json:"input_schema"`
	CacheControl *wire.CacheControl `json:"cache_control"`

	Raw json.RawMessage `json:"-"`
}

func (t *Tool) UnmarshalJSON(data []byte) error {
	type plain Tool // without this method
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	*t = Tool(p)
	t.Raw = bytes.Clone(data)
	return nil
}

// ToolChoice says whether the model may or must call a tool.
type ToolChoice struct {
	Type                   string `json:"type"`
	Name                   string `json:"name"`
	DisableParallelToolUse bool   `json:"disable_parallel_tool_use"`
}

// Thinking is on when its type is enabled or adaptive.
type Thinking struct {
	Type         string `json:"type"`
	BudgetTokens int    `json:"budget_tokens"`
	Display      string `json:"display"`
}

// On reports whether the model thinks.
func (t *Thinking) On() bool { return t != nil && (t.Type == "enabled" || t.Type == "adaptive") }

func decodeBody(raw []byte) (Body, error) {
	var b Body
	if err := json.Unmarshal(raw, &b.Fields); err != nil {
		return Body{}, fmt.Errorf("request body is not a JSON object: %w", err)
	}
	if err := json.Unmarshal(raw, &b); err != nil {
		return Body{}, fmt.Errorf("request body: %w", err)
	}
	return b, nil
}
