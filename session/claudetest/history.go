package claudetest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"maxrelay/session/anthropictest/wire"
)

// history is the conversation as the process holds it, one entry per line.
type history []entry

type entry struct {
	uuid    string
	message wire.Message
}

func (e entry) results() bool {
	for _, b := range e.message.Content {
		if b.Type == "tool_result" {
			return true
		}
	}
	return false
}

func (h *history) user(uuid string, content wire.Content) {
	*h = append(*h, entry{uuid, wire.Message{Role: "user", Content: content}})
}

// assistant appends an answer. Blank texts vanish, and an answer of nothing else with them.
func (h *history) assistant(content wire.Content) {
	var kept wire.Content
	for _, b := range content {
		if b.Type != "text" || strings.TrimSpace(b.Text) != "" {
			kept = append(kept, b)
		}
	}
	if len(kept) > 0 {
		*h = append(*h, entry{newUUID(), wire.Message{Role: "assistant", Content: kept}})
	}
}

// index is where the line with a uuid is, or -1.
func (h history) index(uuid string) int {
	for i, e := range h {
		if e.uuid == uuid && uuid != "" {
			return i
		}
	}
	return -1
}

// newest is the place of the last user line that came from stdin, or -1.
func (h history) newest() int {
	for i := len(h) - 1; i >= 0; i-- {
		if h[i].message.Role == "user" && h[i].uuid != "" {
			return i
		}
	}
	return -1
}

// conversation is what the model would be sent: user lines in a row are one message, calls have results and results have calls.
func (h history) conversation() []wire.Message {
	var out []wire.Message
	open := map[string]bool{}
	for _, e := range h {
		m := e.message
		if m.Role == "user" {
			m.Content = answers(open, m.Content)
		}
		for _, b := range m.Content {
			if b.Type == "tool_use" {
				open[b.ID] = true
			}
		}
		if last := len(out) - 1; last >= 0 && m.Role == "user" && out[last].Role == "user" {
			out[last].Content = append(lineFeed(out[last].Content), m.Content...)
			continue
		}
		out = append(out, m)
	}
	return out
}

// answers drops results without an open call and adds results for calls that have none.
func answers(open map[string]bool, content wire.Content) wire.Content {
	var out wire.Content
	for _, b := range content {
		if b.Type == "tool_result" && !open[b.ToolUseID] {
			continue
		}
		delete(open, b.ToolUseID)
		out = append(out, b)
	}
	for _, id := range slices.Sorted(maps.Keys(open)) {
		out = append(wire.Content{toolError(id, "[Tool result missing due to internal error]")}, out...)
	}
	clear(open)
	return out
}

// lineFeed ends the last text with a line feed, as the CLI does where it joins lines.
func lineFeed(content wire.Content) wire.Content {
	out := append(wire.Content(nil), content...)
	if last := len(out) - 1; last >= 0 && out[last].Type == "text" {
		out[last] = wire.TextBlock(out[last].Text + "\n")
	}
	return out
}

func toolError(id, text string) wire.Block {
	return block(map[string]any{"type": "tool_result", "tool_use_id": id, "is_error": true, "content": text})
}

// block makes a block of its JSON fields.
func block(fields map[string]any) wire.Block {
	var b wire.Block
	if err := json.Unmarshal(wire.Canonical(fields), &b); err != nil {
		panic(err) // the fields are this package's own
	}
	return b
}
