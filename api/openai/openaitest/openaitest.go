// Package openaitest checks responses against JSON Schemas of OpenAI's published chat API.
package openaitest

import (
	"bytes"
	"embed"
	"sync"
	"testing"

	"maxrelay/api/schema/schematest"
)

// The kinds of JSON that are documented.
const (
	Completion = "completion" // of chat, in one piece
	Chunk      = "chunk"      // of a chat completion's stream
	Error      = "error"      // the envelope, also as the last event of a stream
	Model      = "model"
	Models     = "models" // the list
)

// Validate fails the test when data is not JSON of that kind. The schemas take no member
// that is not documented, but for reasoning_content, which is this server's own.
func Validate(t testing.TB, kind string, data []byte) {
	t.Helper()
	if err := validate(kind, data); err != nil {
		t.Errorf("no %s: %v\n%s", kind, err, data)
	}
}

// Stream fails the test when a stream of server-sent events is not one of chunks that
// ends with the mark, or with an error in its place. Comments may stand between.
func Stream(t testing.TB, data []byte) {
	t.Helper()
	events := bytes.Split(bytes.TrimSuffix(data, []byte("\n\n")), []byte("\n\n"))
	for i, event := range events {
		event, isData := bytes.CutPrefix(event, []byte("data: "))
		last := i == len(events)-1
		switch {
		case !isData && bytes.HasPrefix(event, []byte(":")) && !last:
		case !isData:
			t.Errorf("event %d is no data: %s", i, event)
		case last && bytes.HasPrefix(event, []byte(`{"error"`)):
			Validate(t, Error, event)
		case last && string(event) != "[DONE]":
			t.Errorf("the stream ends with %s", event)
		case !last:
			Validate(t, Chunk, event)
		}
	}
}

//go:embed schema/*.json
var files embed.FS

var schemas = sync.OnceValue(func() *schematest.Set { return schematest.New(files) })

func validate(kind string, data []byte) error { return schemas().Check(kind, data) }
