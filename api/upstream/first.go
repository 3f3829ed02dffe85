package upstream

import (
	"bytes"
	"encoding/json"
	"strings"
)

// firstReach is how much of a body is looked at for the first message.
const firstReach = 256 << 10

// FirstMessage is the text that the user of a model request began with, "" when it is not
// found near the body's beginning. The rest of the body is not read.
func FirstMessage(body []byte) string {
	d := json.NewDecoder(bytes.NewReader(body[:min(len(body), firstReach)]))
	if !enter(d, '{') {
		return ""
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return ""
		}
		if name == "messages" {
			return firstOf(d)
		}
		if err := d.Decode(new(json.RawMessage)); err != nil {
			return ""
		}
	}
	return ""
}

func enter(d *json.Decoder, open json.Delim) bool {
	t, err := d.Token()
	return err == nil && t == open
}

func firstOf(messages *json.Decoder) string {
	if !enter(messages, '[') {
		return ""
	}
	for messages.More() {
		var m struct {
			Role    string          `json:"role"`
			Content json.RawMessage `json:"content"`
		}
		if err := messages.Decode(&m); err != nil {
			return ""
		}
		if m.Role == "user" {
			return textOf(m.Content)
		}
	}
	return ""
}

// textOf takes content as a text, or as blocks some of which have one.
func textOf(content json.RawMessage) string {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return text
	}
	var blocks []struct {
		Text string `json:"text"`
	}
	_ = json.Unmarshal(content, &blocks) // of another form: nothing is found
	var all strings.Builder
	for _, b := range blocks {
		all.WriteString(b.Text)
	}
	return all.String()
}
