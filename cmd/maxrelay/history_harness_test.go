package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"maxrelay/api/openai"
	"maxrelay/session"
	"maxrelay/session/anthropictest"
	"maxrelay/session/anthropictest/wire"
	"maxrelay/session/chat"
	"maxrelay/session/claudetest"
)

// bench is the processes of one worker, and the model that they talk to.
type bench struct {
	pool  *session.Pool
	model *anthropictest.Server

	turns int // asked

	mu        sync.Mutex
	next      anthropictest.Reply // what the model answers
	processes map[string]bool     // every one that was ever started
}

func openBench(t *testing.T, maxSessions int) *bench {
	t.Helper()
	model, err := anthropictest.Start()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{model: model, processes: make(map[string]bool)}
	model.Script(b.reply)
	b.pool, err = session.Open(session.Config{
		Path: claudetest.RealCLI(t),
		Env: session.Environ([]string{"PATH=/usr/bin:/bin", "HOME=" + t.TempDir()}, t.TempDir(), map[string]string{
			"ANTHROPIC_BASE_URL": model.URL(), "ANTHROPIC_API_KEY": "sk-made-up"}),
		Cwd:               t.TempDir(),
		StartTimeout:      time.Minute, // loaded machines
		MaxSessions:       maxSessions,
		MaxSessionsPerKey: maxSessions,
		MaxConversations:  1000,
		Changed:           b.changed,
	}, zerolog.New(zerolog.NewTestWriter(t)))
	if err != nil {
		model.Close()
		t.Fatal(err)
	}
	t.Cleanup(func() { b.pool.Close(); model.Close() })
	return b
}

func (b *bench) reply(anthropictest.Request) *anthropictest.Reply {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.next
	return &r
}

func (b *bench) changed(h session.Holding) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.processes[h.Process] = true
}

func (b *bench) started() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.processes)
}

// shown is one request's fate: how its process was had, and what the model was shown.
type shown struct {
	session  chat.Session
	system   []string
	messages string
}

// ask plays one request of a client's; the model answers with the given text.
func (b *bench) ask(t *testing.T, user string, messages []json.RawMessage, answer string) shown {
	t.Helper()
	return b.askFor(t, user, messages, anthropictest.Say(answer), answer)
}

func (b *bench) askFor(t *testing.T, user string, messages []json.RawMessage, reply anthropictest.Reply, answer string) shown {
	t.Helper()
	return b.play(t, decodeRequest(t, user, messages), reply, answer)
}

// play lets the model answer a job.
func (b *bench) play(t *testing.T, req *chat.Request, reply anthropictest.Reply, answer string) shown {
	t.Helper()
	b.mu.Lock()
	b.next = reply
	b.mu.Unlock()
	b.model.Reset()
	b.turns++
	said := ""
	ctx, cancel := context.WithTimeout(t.Context(), guard)
	defer cancel()
	out := b.pool.Turn(ctx, req, func(e chat.Event) { said += e.Text })
	if out.Error != nil {
		t.Fatalf("the turn failed: %v (%s)", out.Error, out.Session)
	}
	if said != answer {
		t.Errorf("the client was answered %q, the model said %q", clip(said), clip(answer))
	}
	calls := b.model.Requests()
	if len(calls) != 1 {
		t.Fatalf("%d calls of the model for one question", len(calls))
	}
	return shown{out.Session, anthropictest.System(calls[0]), conversationOf(t, calls[0])}
}

// decodeRequest turns a client's messages into a job as the HTTP server does, with the
// encoding that crosses the queue.
func decodeRequest(t *testing.T, user string, messages []json.RawMessage) *chat.Request {
	t.Helper()
	body, err := json.Marshal(map[string]any{"model": "sonnet", "user": user, "messages": messages})
	if err != nil {
		t.Fatal(err)
	}
	asked, err := openai.Decode(body)
	if err != nil {
		t.Fatalf("the request is refused: %v", err)
	}
	canonical, err := chat.Canonical(asked.Messages)
	if err != nil {
		t.Fatalf("the conversation is refused: %v", err)
	}
	return crossed(t, chat.Request{Tenant: chat.Tenant{Key: "k1", User: asked.User, Pool: "default"},
		Model: asked.Model, System: asked.System, Messages: canonical})
}

// crossed is a request as a worker decodes it.
func crossed(t *testing.T, r chat.Request) *chat.Request {
	t.Helper()
	job, err := chat.EncodeRequest(&r)
	if err != nil {
		t.Fatal(err)
	}
	req, err := chat.DecodeRequest(job)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// conversationOf is what a request shows the model of the conversation, in the form
// of plain. It takes out what is certainly the CLI's own, and nothing else: whatever
// more anthropictest.Conversation would overlook is a difference here.
func conversationOf(t *testing.T, r anthropictest.Request) string {
	t.Helper()
	var own []wire.Message
	for _, m := range r.Body.Messages {
		if m.Role != "system" {
			own = append(own, m)
			continue
		}
		for _, b := range m.Content {
			if !strings.HasPrefix(b.Text, "# Environment\n") || !strings.Contains(b.Text, "\n\nYou are powered by the model ") {
				t.Errorf("a message of the role system is not about the environment: %q", clip(b.Text))
			}
		}
	}
	return plainMessages(t, own)
}

// plainJSON is a hand-written conversation in the form of plain.
func plainJSON(t *testing.T, messages string) string {
	t.Helper()
	var list []wire.Message
	if err := json.Unmarshal([]byte(messages), &list); err != nil {
		t.Fatalf("%v in %s", err, clip(messages))
	}
	return plainMessages(t, list)
}

func plainMessages(t *testing.T, list []wire.Message) string {
	t.Helper()
	var out strings.Builder
	for _, m := range list {
		fmt.Fprintln(&out, m.Role)
		for _, b := range m.Content {
			fmt.Fprintf(&out, "\t%s\n", plain(t, b.Raw, ""))
		}
	}
	return out.String()
}

// plain writes JSON with sorted keys and equal escapes, and without marks for the
// prompt cache. The input of a call is left as it is, to the byte: the model reads the
// order of its keys and the form of its numbers.
func plain(t *testing.T, raw json.RawMessage, key string) json.RawMessage {
	t.Helper()
	switch {
	case key == "input":
		var out bytes.Buffer
		if err := json.Compact(&out, raw); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	case raw[0] == '"':
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			t.Fatal(err)
		}
		if key == "content" {
			return wire.Canonical([]any{map[string]string{"type": "text", "text": text}})
		}
		return wire.Canonical(text)
	case raw[0] == '[':
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			t.Fatal(err)
		}
		for i := range list {
			list[i] = plain(t, list[i], "")
		}
		return wire.Canonical(list)
	case raw[0] == '{':
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(raw, &fields); err != nil {
			t.Fatal(err)
		}
		delete(fields, "cache_control")
		for k := range fields {
			fields[k] = plain(t, fields[k], k)
		}
		return wire.Canonical(fields)
	}
	return raw
}

// must compares what a turn showed the model with what the table says.
func (s shown) must(t *testing.T, kind chat.Session, system, messages string) {
	t.Helper()
	if s.session != kind {
		t.Errorf("session %s, want %s", s.session, kind)
	}
	var want []string
	if system != "" {
		want = []string{system}
	}
	if !slices.Equal(s.system, want) {
		t.Errorf("system prompt %q, want %q", s.system, want)
	}
	if s.messages != messages {
		t.Errorf("the model was shown\n%s\nwant\n%s", clip(s.messages), clip(messages))
	}
}

// clip keeps the failures of huge shapes readable.
func clip(s string) string {
	if len(s) > 4000 {
		return fmt.Sprintf("%s … (%d bytes)", s[:4000], len(s))
	}
	return s
}
