// Package messagestest checks responses against JSON Schemas of the Messages API as the official SDK declares it.
package messagestest

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"maxrelay/api/schema/schematest"
)

// The kinds of JSON that are declared.
const (
	Message = "message" // in one piece
	Event   = "event"   // of a stream
	Error   = "error"   // the envelope, also as the last event of a stream
	Model   = "model"
	Models  = "models" // the list
)

// Validate fails the test when data is not JSON of that kind. The schemas take no member
// that is not declared.
func Validate(t testing.TB, kind string, data []byte) {
	t.Helper()
	if err := schemas().Check(kind, data); err != nil {
		t.Errorf("no %s: %v\n%s", kind, err, data)
	}
}

// Stream fails the test when a stream of server-sent events does not tell one message,
// block after block, to its end or to an error.
func Stream(t testing.TB, data []byte) {
	t.Helper()
	if ended, err := check(data); err != nil || !ended {
		t.Errorf("no stream of a message, ended %t: %v\n%s", ended, err, data)
	}
}

// Left is Stream for a stream that its client left.
func Left(t testing.TB, data []byte) {
	t.Helper()
	complete := data[:bytes.LastIndex(data, []byte("\n\n"))+2]
	if _, err := check(complete); err != nil {
		t.Errorf("no stream of a message: %v\n%s", err, data)
	}
}

//go:embed schema/*.json
var files embed.FS

var schemas = sync.OnceValue(func() *schematest.Set { return schematest.New(files) })

func check(data []byte) (ended bool, err error) {
	whole, ok := bytes.CutSuffix(data, []byte("\n\n"))
	if !ok {
		return false, errors.New("the last event has no end")
	}
	var g grammar
	for i, frame := range strings.Split(string(whole), "\n\n") {
		name, payload, ok := strings.Cut(strings.TrimPrefix(frame, "event: "), "\ndata: ")
		if !ok {
			return false, fmt.Errorf("event %d is none: %s", i, frame)
		}
		if err := schemas().Check(Event, []byte(payload)); err != nil {
			return false, fmt.Errorf("event %d: %w", i, err)
		}
		var e event
		if err := json.Unmarshal([]byte(payload), &e); err != nil {
			return false, err
		}
		if e.Type != name {
			return false, fmt.Errorf("event %d has the name %s and the type %s", i, name, e.Type)
		}
		if err := g.take(e); err != nil {
			return false, fmt.Errorf("event %d: %w", i, err)
		}
	}
	return g.ended, nil
}

type event struct {
	Type  string
	Index int
	Block struct{ Type string } `json:"content_block"`
	Delta struct{ Type string }
}

// grammar is the order that events have.
type grammar struct {
	started, stopped, ended bool

	blocks int
	open   string // type of the open block
}

// deltas has the deltas of each type of block.
var deltas = map[string][]string{
	"text": {"text_delta"}, "thinking": {"thinking_delta", "signature_delta"}, "tool_use": {"input_json_delta"},
}

func (g *grammar) take(e event) error {
	ok := !g.ended
	switch e.Type {
	case "message_start":
		ok = ok && !g.started
		g.started = true
	case "content_block_start":
		ok = ok && g.started && !g.stopped && g.open == "" && e.Index == g.blocks
		g.open = e.Block.Type
	case "content_block_delta":
		ok = ok && e.Index == g.blocks && slices.Contains(deltas[g.open], e.Delta.Type)
	case "content_block_stop":
		ok = ok && g.open != "" && e.Index == g.blocks
		g.open = ""
		g.blocks++
	case "message_delta":
		ok = ok && g.started && !g.stopped && g.open == ""
		g.stopped = true
	case "message_stop":
		ok = ok && g.stopped
		g.ended = true
	case "error":
		g.ended = true
	}
	if !ok {
		return fmt.Errorf("there is no place for %s", e.Type)
	}
	return nil
}
