package claudetest

import (
	"encoding/json"
	"fmt"

	"maxrelay/session/anthropictest/wire"
)

// inputLine is one line of stdin, as far as the fake uses it.
type inputLine struct {
	Type        string          `json:"type"`
	UUID        string          `json:"uuid"`
	Message     *wire.Message   `json:"message"`
	ShouldQuery *bool           `json:"shouldQuery"`
	RequestID   string          `json:"request_id"`
	Request     controlRequest  `json:"request"`
	Response    controlResponse `json:"response"`
}

type controlResponse struct {
	RequestID string          `json:"request_id"`
	Response  json.RawMessage `json:"response"`
}

// userLine is a user line on its way into the history.
type userLine struct {
	uuid    string
	message wire.Message
	silent  bool // shouldQuery:false
}

func (l userLine) query() bool { return !l.silent }

// accept handles one line; an error ends the process, its text is what Claude Code 2.1.330 says.
func (f *fake) accept(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	var l inputLine
	if err := json.Unmarshal(data, &l); err != nil {
		return fmt.Errorf("Error parsing streaming input line (type=unknown, %d chars): SyntaxError", len(data))
	}
	switch l.Type {
	case "user":
		return f.user(l)
	case "assistant":
		f.assistant(l)
	case "control_request":
		f.control(l.RequestID, l.Request)
	case "control_response":
		f.answered(l.Response)
	}
	return nil
}

// user takes a line in, or drops it without a word if its uuid was used before.
func (f *fake) user(l inputLine) error {
	role := "undefined"
	if l.Message != nil {
		role = l.Message.Role
	}
	if role != "user" {
		return fmt.Errorf("Error: Expected message role 'user', got '%s'", role)
	}
	if l.UUID == "" {
		l.UUID = newUUID()
	}
	f.mu.Lock()
	known := f.seen[l.UUID]
	f.seen[l.UUID] = true
	if !known {
		f.intake = append(f.intake, userLine{l.UUID, *l.Message, l.ShouldQuery != nil && !*l.ShouldQuery})
	}
	f.mu.Unlock()
	if !known {
		f.lifecycle(l.UUID, "queued")
	}
	return nil
}

// assistant applies a line at once, whatever is queued.
func (f *fake) assistant(l inputLine) {
	if l.Message == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.history.assistant(l.Message.Content)
}

// answered hands an answer of the driver's to whoever asked.
func (f *fake) answered(r controlResponse) {
	f.mu.Lock()
	c := f.pending[r.RequestID]
	delete(f.pending, r.RequestID)
	f.mu.Unlock()
	if c != nil {
		c <- r.Response
	}
}
