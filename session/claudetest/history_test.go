package claudetest

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"maxrelay/session/anthropictest/wire"
)

func TestConversationIsMended(t *testing.T) {
	call := block(map[string]any{"type": "tool_use", "id": "t1", "name": "x", "input": struct{}{}})
	result := func(s string) wire.Block {
		return block(map[string]any{"type": "tool_result", "tool_use_id": "t1", "content": s})
	}
	tests := []struct {
		name string
		held []wire.Message
		sent []wire.Message
	}{
		{"users in a row", []wire.Message{wire.User("a"), wire.User("b", "c"), wire.User("d")}, []wire.Message{wire.User("a\n", "b", "c\n", "d")}},
		{"a result without a call", []wire.Message{wire.User("a"), {Role: "user", Content: wire.Content{result("r"), wire.TextBlock("b")}}}, []wire.Message{wire.User("a\n", "b")}},
		{"a call without result", []wire.Message{{Role: "assistant", Content: wire.Content{call}}, wire.User("a")},
			[]wire.Message{{Role: "assistant", Content: wire.Content{call}}, {Role: "user", Content: wire.Content{toolError("t1", "[Tool result missing due to internal error]"), wire.TextBlock("a")}}}},
		{"a second result", []wire.Message{{Role: "assistant", Content: wire.Content{call}}, {Role: "user", Content: wire.Content{result("old"), result("new")}}},
			[]wire.Message{{Role: "assistant", Content: wire.Content{call}}, {Role: "user", Content: wire.Content{result("old")}}}},
		{"a blank answer", []wire.Message{wire.User("a"), wire.Assistant(" "), wire.User("b")}, []wire.Message{wire.User("a\n", "b")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h history
			for _, m := range tt.held {
				if m.Role == "user" {
					h.user(newUUID(), m.Content)
				} else {
					h.assistant(m.Content)
				}
			}
			if got := h.conversation(); wire.Digest(got) != wire.Digest(tt.sent) {
				t.Errorf("got  %s\nwant %s", wire.Canonical(got), wire.Canonical(tt.sent))
			}
		})
	}
}

// Serve runs where no child can: in a bubble, a minute between two deltas is nothing.
func TestServeInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, stdin := io.Pipe()
		stdout, out := io.Pipe()
		exit := make(chan int)
		go func() {
			code := Serve(Process{Stdin: in, Stdout: out, Stderr: io.Discard})
			_ = out.Close()
			exit <- code
		}()
		start := time.Now()
		_, _ = io.WriteString(stdin, `{"type":"user","message":{"role":"user","content":"[[tokens 3 delay 1m]]"},"uuid":"u"}`+"\n")
		lines := bufio.NewScanner(stdout)
		for lines.Scan() && !strings.Contains(lines.Text(), `"type":"result"`) {
		}
		if took := time.Since(start); took != 3*time.Minute {
			t.Errorf("took %v", took)
		}
		_ = stdin.Close()
		_, _ = io.Copy(io.Discard, stdout)
		if code := <-exit; code != 0 {
			t.Errorf("exit %d", code)
		}
	})
}

func FuzzInputLine(f *testing.F) {
	f.Add([]byte(`{"type":"user","message":{"role":"user","content":[{"type":"text","text":"[[tool x {}]] [[tokens 3]]"}]},"uuid":"u","shouldQuery":false}`))
	f.Add([]byte(`{"type":"assistant","message":{"role":"assistant","content":[{"type":"tool_use","id":"t","input":{}}]}}`))
	f.Add([]byte(`{"type":"control_request","request_id":"r","request":{"subtype":"rewind_conversation","target_message_uuid":"u"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var l inputLine
		if json.Unmarshal(data, &l) != nil || l.Message == nil {
			return
		}
		var h history
		h.user(l.UUID, l.Message.Content)
		h.assistant(l.Message.Content)
		h.user("", l.Message.Content)
		wire.Echo(h.conversation())
		h.index(l.Request.Target)
		h.newest()
	})
}
