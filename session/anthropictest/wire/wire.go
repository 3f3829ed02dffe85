// Package wire holds the messages of Anthropic's Messages API together with the JSON they arrived as.
package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Message is one entry of a conversation.
type Message struct {
	Role    string
	Content Content
	// Extra is every field but role and content, such as the per-message output_config that Claude Code 2.1.330 sends.
	Extra map[string]json.RawMessage
}

// Content is a list of blocks; a plain string on the wire is the short form of one text block.
type Content []Block

// Block is one content block. The fields the fakes act on are decoded, Raw has all of them.
type Block struct {
	Type         string          `json:"type"`
	Text         string          `json:"text"`
	Thinking     string          `json:"thinking"`
	Signature    string          `json:"signature"`
	ID           string          `json:"id"`
	Name         string          `json:"name"`
	Input        json.RawMessage `json:"input"`
	ToolUseID    string          `json:"tool_use_id"`
	Content      Content         `json:"content"`
	IsError      bool            `json:"is_error"`
	CacheControl *CacheControl   `json:"cache_control"`

	Raw json.RawMessage `json:"-"`
}

// CacheControl marks the end of a prefix that the API shall remember.
type CacheControl struct {
	Type string `json:"type"`
	TTL  string `json:"ttl"`
}

// TextBlock is a text block as a client would write it.
func TextBlock(text string) Block {
	raw := Canonical(map[string]string{"type": "text", "text": text})
	return Block{Type: "text", Text: text, Raw: raw}
}

// User and Assistant build messages of text blocks for comparison with what a fake has seen.
func User(texts ...string) Message      { return textMessage("user", texts) }
func Assistant(texts ...string) Message { return textMessage("assistant", texts) }

func textMessage(role string, texts []string) Message {
	m := Message{Role: role}
	for _, t := range texts {
		m.Content = append(m.Content, TextBlock(t))
	}
	return m
}

// Text joins the message's text blocks with line feeds.
func (m Message) Text() string { return m.Content.Text() }

// Text joins the text blocks with line feeds.
func (c Content) Text() string {
	var texts []string
	for _, b := range c {
		if b.Type == "text" {
			texts = append(texts, b.Text)
		}
	}
	return strings.Join(texts, "\n")
}

func (m *Message) UnmarshalJSON(data []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return err
	}
	*m = Message{}
	if raw, ok := fields["role"]; ok {
		if err := json.Unmarshal(raw, &m.Role); err != nil {
			return fmt.Errorf("role: %w", err)
		}
	}
	if raw, ok := fields["content"]; ok {
		if err := json.Unmarshal(raw, &m.Content); err != nil {
			return fmt.Errorf("content: %w", err)
		}
	}
	delete(fields, "role")
	delete(fields, "content")
	if len(fields) > 0 {
		m.Extra = fields
	}
	return nil
}

// MarshalJSON writes role and content in canonical form, without Extra.
func (m Message) MarshalJSON() ([]byte, error) {
	content := m.Content
	if content == nil {
		content = Content{}
	}
	return json.Marshal(struct {
		Role    string  `json:"role"`
		Content Content `json:"content"`
	}{m.Role, content})
}

func (c *Content) UnmarshalJSON(data []byte) error {
	*c = nil
	switch data[0] {
	case '"':
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		*c = Content{TextBlock(text)}
		return nil
	case '[':
		return json.Unmarshal(data, (*[]Block)(c))
	case 'n':
		return nil
	}
	return errors.New("content is neither a string nor an array")
}

func (b *Block) UnmarshalJSON(data []byte) error {
	if data[0] != '{' {
		return errors.New("content block is not an object")
	}
	type plain Block // without this method
	var p plain
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	*b = Block(p)
	b.Raw = bytes.Clone(data)
	return nil
}

// MarshalJSON writes the block in canonical form, without its cache_control.
func (b Block) MarshalJSON() ([]byte, error) { return b.Canonical(), nil }

// Canonical is the block as JSON with sorted keys, JavaScript's numbers and without cache_control, its own and that of blocks
// inside it. Two blocks mean the same to the model exactly when their canonical forms are equal.
func (b Block) Canonical() json.RawMessage {
	var v any
	if json.Unmarshal(b.Raw, &v) != nil {
		return json.RawMessage("null")
	}
	return Canonical(expand(v))
}

// expand strips cache_control from a block and from the blocks inside it, and writes string content in its long form.
func expand(v any) any {
	block, ok := v.(map[string]any)
	if !ok {
		return v
	}
	delete(block, "cache_control")
	switch content := block["content"].(type) {
	case string:
		block["content"] = []any{map[string]any{"type": "text", "text": content}}
	case []any:
		for i := range content {
			content[i] = expand(content[i])
		}
	}
	return block
}

// Canonical writes v as JSON with sorted keys and without escapes for HTML.
func Canonical(v any) json.RawMessage {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if enc.Encode(v) != nil {
		return json.RawMessage("null")
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}
