package api

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"maxrelay/api/anthropic/messagestest"
	"maxrelay/api/key"
	"maxrelay/queue"
	"maxrelay/session/chat"
)

// questionOf returns the members of a question of one user message.
func questionOf(text, more string) string {
	quoted, _ := json.Marshal(text)
	return `{"model":"claude-opus-4","max_tokens":99,"messages":[{"role":"user","content":` + string(quoted) + `}]` + more + `}`
}

// mustFail checks an error in Anthropic's form.
func mustFail(t *testing.T, resp *http.Response, status int, kind string) {
	t.Helper()
	body := read(t, resp)
	messagestest.Validate(t, messagestest.Error, []byte(body))
	var e struct {
		Error struct{ Type string }
		ID    string `json:"request_id"`
	}
	must(t, json.Unmarshal([]byte(body), &e))
	if id := resp.Header.Get("Request-Id"); resp.StatusCode != status || e.Error.Type != kind || id == "" || id != e.ID || id != resp.Header.Get("X-Request-Id") {
		t.Errorf("got %d %s %v, want %d %s", resp.StatusCode, body, resp.Header, status, kind)
	}
}

func TestAMessageInOnePiece(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, echo)
	resp := n.messages(questionOf("hello there", `,"speed":"fast"`), "X-Request-Id", "mine-1")
	body := read(t, resp)
	messagestest.Validate(t, messagestest.Message, []byte(body))
	if !strings.Contains(body, `"model":"claude-opus-4","content":[{"type":"text","text":"hello there","citations":null}],"stop_reason":"end_turn"`) ||
		!strings.Contains(body, `"input_tokens":5,"cache_creation_input_tokens":0,"cache_read_input_tokens":20`) || !strings.Contains(body, `"output_tokens":7`) {
		t.Errorf("got %s", body)
	}
	for name, want := range map[string]string{
		"Request-Id": "mine-1", "X-Request-Id": "mine-1", "X-Maxrelay-Session": "new", "X-Maxrelay-Worker": "bench", "X-Maxrelay-Ignored": "speed", "Content-Type": "application/json",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	e := n.usage(1)[0]
	if e.Status != 200 || e.Model != "claude-opus-4" || e.Upstream != "claude-opus-4-6" || e.Path != "/v1/messages" || e.ErrorCode != "" || e.ResponseBytes != int64(len(body)) ||
		e.Usage != (chat.Usage{InputTokens: 5, CacheReadTokens: 20, OutputTokens: 7}) {
		t.Errorf("recorded %+v", e)
	}
}

func TestAMessageThatStreams(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, echo)
	resp := n.messages(questionOf("one two", `,"stream":true`))
	body := read(t, resp)
	messagestest.Stream(t, []byte(body))
	for _, part := range []string{
		`"delta":{"type":"text_delta","text":"one "}`, `"delta":{"type":"text_delta","text":"two"}`, `"stop_reason":"end_turn"`,
		`"usage":{"input_tokens":5,"cache_creation_input_tokens":0,"cache_read_input_tokens":20,"output_tokens":7`,
	} {
		if strings.Count(body, part) != 1 {
			t.Errorf("%s is not there once: %s", part, body)
		}
	}
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no", "X-Maxrelay-Session": "new", "Request-Id": resp.Header.Get("X-Request-Id"),
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if e := n.usage(1)[0]; !e.Stream || e.Status != 200 || e.Path != "/v1/messages" || e.ResponseBytes != int64(len(body)) {
		t.Errorf("recorded %+v", e)
	}
}

func TestASilentMessageIsPinged(t *testing.T) {
	release := make(chan struct{})
	n := openNode(t, Config{Heartbeat: 20 * time.Millisecond}, queue.OwnerConfig{}, func(ctx context.Context, p *play) {
		<-release
		echo(ctx, p)
	})
	resp := n.messages(questionOf("late", `,"stream":true`))
	r := bufio.NewReader(resp.Body)
	first, err := r.ReadString('\n')
	if err != nil || first != "event: ping\n" {
		t.Fatalf("line %q, %v", first, err)
	}
	close(release)
	rest, err := io.ReadAll(r)
	must(t, err)
	messagestest.Stream(t, append([]byte(first), rest...))
	if !strings.Contains(string(rest), `"text":"late"`) {
		t.Errorf("got %s", rest)
	}
}

func TestFailuresOfMessagesBeforeTheFirstByte(t *testing.T) {
	for _, tc := range []struct {
		code              chat.Code
		status            int
		kind, retry, stop string
	}{
		{chat.CodeUsageLimit, 429, "rate_limit_error", "90", "false"},
		{chat.CodeOverloaded, 529, "overloaded_error", "90", ""},
		{chat.CodeAccount, 502, "api_error", "", ""},
		{chat.CodeContextLength, 400, "invalid_request_error", "", ""},
	} {
		n := openNode(t, Config{}, queue.OwnerConfig{}, func(_ context.Context, p *play) {
			p.begin() // shows nothing
			p.fail(tc.code, "it failed", 90*time.Second)
		})
		for _, more := range []string{``, `,"stream":true`} {
			resp := n.messages(questionOf("hi", more))
			mustFail(t, resp, tc.status, tc.kind)
			if h := resp.Header; h.Get("Retry-After") != tc.retry || h.Get("X-Should-Retry") != tc.stop {
				t.Errorf("%s: %v", tc.code, h)
			}
		}
		for _, e := range n.usage(2) {
			if e.Status != tc.status || e.ErrorCode != string(tc.code) {
				t.Errorf("recorded %+v", e)
			}
		}
	}
}

func TestFailuresOfMessagesAfterTheFirstByteAreEvents(t *testing.T) {
	release := make(chan struct{})
	for name, run := range map[string]script{
		"content": func(_ context.Context, p *play) {
			p.begin()
			p.text("half an answer")
			p.fail(chat.CodeWorkerFailed, "the CLI died", 0)
		},
		"a ping": func(_ context.Context, p *play) {
			<-release
			p.fail(chat.CodeWorkerFailed, "the CLI died", 0)
		},
	} {
		n := openNode(t, Config{Heartbeat: 20 * time.Millisecond}, queue.OwnerConfig{}, run)
		resp := n.messages(questionOf("hi", `,"stream":true`))
		if name == "a ping" {
			close(release)
		}
		body := read(t, resp)
		messagestest.Stream(t, []byte(body))
		if resp.StatusCode != 200 || !strings.Contains(body, `"error":{"type":"api_error","message":"the CLI died"}`) || strings.Contains(body, "message_stop") {
			t.Errorf("after %s: %d %s", name, resp.StatusCode, body)
		}
		if e := n.usage(1)[0]; e.ErrorCode != "worker_failed" || e.Status != 200 {
			t.Errorf("after %s: recorded %+v", name, e)
		}
	}
}

func TestAMessageThatMovesStartsOver(t *testing.T) {
	for name, more := range map[string]string{"not streaming": ``, "streaming": `,"stream":true`} {
		t.Run(name, func(t *testing.T) {
			n := openNode(t, Config{}, queue.OwnerConfig{}, func(ctx context.Context, p *play) {
				if p.task.Epoch > 1 {
					echo(ctx, p)
					return
				}
				p.begin()
				p.end(queue.End{Retry: queue.RetryLater}, chat.Outcome{Error: &chat.Error{Code: chat.CodeUpstream, Message: "the upstream failed"}})
			})
			body := read(t, n.messages(questionOf("right", more)))
			if more != "" {
				messagestest.Stream(t, []byte(body))
			}
			if !strings.Contains(body, `"text":"right"`) || strings.Count(body, `"role":"assistant"`) != 1 {
				t.Errorf("got %s", body)
			}
		})
	}
}

func TestWhatIsWrongWithARequestIsToldInItsForm(t *testing.T) {
	keys, err := key.New([]string{"sk-1"}, true, "default")
	must(t, err)
	n := openNode(t, Config{Keys: keys, BodyLimit: 1000}, queue.OwnerConfig{}, echo)
	with := []string{"X-Api-Key", "sk-1"}
	ctx := testContext(t)
	mustFail(t, n.messages(questionOf("hi", "")), 401, "authentication_error")
	mustFail(t, n.messages(questionOf("hi", ""), "X-Api-Key", "sk-2"), 401, "authentication_error")
	mustFail(t, n.messages(`{"model":"claude-opus-4"}`, with...), 400, "invalid_request_error")
	mustFail(t, n.messages(strings.Replace(questionOf("hi", ""), "claude-opus-4", "gpt-4o", 1), with...), 404, "not_found_error")
	mustFail(t, n.messages(questionOf(strings.Repeat("x", 1000), ""), with...), 413, "request_too_large")
	mustFail(t, n.messages(questionOf("hi", `,"speed":"fast"`), append(with, "X-Maxrelay-Strict", "true")...), 400, "invalid_request_error")
	mustFail(t, n.do(ctx, http.MethodGet, messagesRoute, "", with...), 405, "invalid_request_error")
	mustFail(t, n.do(ctx, http.MethodPost, messagesRoute+"/count_tokens", questionOf("hi", ""), with...), 404, "not_found_error")
	mustFail(t, n.do(ctx, http.MethodPost, messagesRoute+"/batches", "{}", with...), 404, "not_found_error")
	if kind, code, _ := errorCode(t, read(t, n.do(ctx, http.MethodPost, chatRoute, "{}"))); kind != "invalid_request_error" || code != "invalid_api_key" {
		t.Errorf("chat completions fail with %s %s", kind, code)
	}
}

func TestAMessageIsRefusedFromAPageInItsForm(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, echo)
	mustFail(t, n.messages(questionOf("hi", ""), "Origin", "https://evil.example"), 403, "permission_error")
}

func TestAClientThatLeavesItsMessageEndsTheTurn(t *testing.T) {
	for name, more := range map[string]string{"not streaming": ``, "streaming": `,"stream":true`} {
		t.Run(name, func(t *testing.T) {
			started, stopped := make(chan struct{}), make(chan error, 1)
			n := openNode(t, Config{}, queue.OwnerConfig{}, func(ctx context.Context, p *play) {
				p.begin()
				p.text("some words")
				close(started)
				<-ctx.Done()
				stopped <- context.Cause(ctx)
				p.fail(chat.CodeCancelled, "cancelled", 0)
			})
			ctx, leave := context.WithCancel(testContext(t))
			left := make(chan struct{})
			go func() {
				defer close(left)
				if resp, err := n.try(ctx, http.MethodPost, messagesRoute, questionOf("hi", more)); err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}()
			<-started
			leave()
			<-stopped
			<-left
			if e := n.usage(1)[0]; e.ErrorCode != "cancelled" || e.Path != "/v1/messages" {
				t.Errorf("recorded %+v", e)
			}
		})
	}
}

// A name stands for one question in one API.
func TestAnIdempotencyKeyIsOfOneAPI(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, echo)
	body := questionOf("hi", "") // means the same in both
	first := read(t, n.messages(body, idempotencyHeader, "k"))
	again := n.messages(body, idempotencyHeader, "k")
	if got := read(t, again); got != first || again.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("got %s, then %s", first, got)
	}
	if resp := n.post(body, idempotencyHeader, "k"); resp.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("the other API: %d %s", resp.StatusCode, read(t, resp))
	}
}

// A conversation goes on in the process that holds it, whichever API it was begun in.
func TestBothAPIsMeanTheSameConversation(t *testing.T) {
	const picture = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
	for name, tc := range map[string]struct{ openai, anthropic string }{
		"text": {`"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]`,
			`"system":"s","messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},{"type":"text","text":"b "}]},{"role":"user","content":"c"}]`},
		"several system prompts": {`"messages":[{"role":"system","content":"s"},{"role":"developer","content":"t"},{"role":"user","content":"a"}]`,
			`"system":[{"type":"text","text":"s"},{"type":"text","text":"t","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"a"}]`},
		"a system message": {`"messages":[{"role":"user","content":"a"},{"role":"system","content":"s"},{"role":"user","content":"b"}]`,
			`"messages":[{"role":"user","content":"a"},{"role":"system","content":"s"},{"role":"user","content":"b"}]`},
		"a picture": {`"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + picture + `"}}]}]`,
			`"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + picture + `"}}]}]`},
		"calls": {`"tools":[{"type":"function","function":{"name":"a.b","parameters":{"anyOf":[{"type":"object"}]}}}],"messages":[{"role":"user","content":"a"},` +
			`{"role":"assistant","content":"b","tool_calls":[{"id":"c.1","type":"function","function":{"name":"a.b","arguments":"{\"y\":1.0,\"x\":2}"}}]},{"role":"tool","tool_call_id":"c.1","content":"d"}]`,
			`"tools":[{"name":"a.b","input_schema":{"anyOf":[{"type":"object"}]}}],"messages":[{"role":"user","content":"a"},` +
				`{"role":"assistant","content":[{"type":"text","text":"b"},{"type":"tool_use","id":"c.1","name":"a.b","input":{"x":2,"y":1}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c.1","content":"d"}]}]`},
	} {
		one, err := openAI.read([]byte(`{"model":"m","user":"u",` + tc.openai + `}`))
		must(t, err)
		other, err := messagesAPI.read([]byte(`{"model":"m","max_tokens":9,"metadata":{"user_id":"u"},` + tc.anthropic + `}`))
		must(t, err)
		if !slices.Equal(chat.Chain(&one.chat), chat.Chain(&other.chat)) {
			t.Errorf("%s:\n%+v\n%+v", name, one.chat, other.chat)
		}
		for i, tool := range one.chat.Tools {
			if string(tool.Schema) != string(other.chat.Tools[i].Schema) || tool.Name != other.chat.Tools[i].Name {
				t.Errorf("%s: the tools %+v and %+v", name, one.chat.Tools, other.chat.Tools)
			}
		}
	}
}
