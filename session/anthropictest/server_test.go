package anthropictest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"maxrelay/session/anthropictest"
)

func TestStreamHasTheAPIsEvents(t *testing.T) {
	s := start(t)
	s.Answer(anthropictest.Think("Let", " me").Then(anthropictest.Say("Hi", " you")).Then(anthropictest.ToolUse("x", `{"a":[1]}`)))
	res := mustPost(t, s, say("hello"))
	if got := res.Header.Get("Content-Type"); !strings.HasPrefix(got, "text/event-stream") {
		t.Errorf("content type %q", got)
	}
	if !strings.HasPrefix(res.Header.Get("Request-Id"), "req_") {
		t.Errorf("request-id %q", res.Header.Get("Request-Id"))
	}
	all := mustEvents(t, res)
	var got []string
	for _, e := range all {
		if e.data["type"] != e.name {
			t.Errorf("event %q has type %v", e.name, e.data["type"])
		}
		name := e.name
		if kind, ok := e.delta()["type"].(string); ok {
			name = kind
		}
		got = append(got, name)
	}
	want := strings.Fields(`message_start
		content_block_start ping thinking_delta thinking_delta signature_delta content_block_stop
		content_block_start text_delta text_delta content_block_stop
		content_block_start input_json_delta input_json_delta input_json_delta content_block_stop
		message_delta message_stop`)
	if !slices.Equal(got, want) {
		t.Errorf("events\n got %v\nwant %v", got, want)
	}
	end := all[len(all)-2]
	if end.delta()["stop_reason"] != "tool_use" {
		t.Errorf("stop reason %v", end.delta()["stop_reason"])
	}
	if out := end.data["usage"].(map[string]any)["output_tokens"]; out != 6. {
		t.Errorf("output tokens %v, want one per delta", out)
	}
}

func TestWholeAnswer(t *testing.T) {
	s := start(t)
	s.Answer(anthropictest.Say("Hi").Then(anthropictest.ToolUse("x", `{"a":1}`)))
	res := mustPost(t, s, prompt(map[string]any{"stream": false}))
	var m struct {
		ID         string
		Content    []anthropictest.Block
		StopReason string `json:"stop_reason"`
	}
	if err := json.NewDecoder(res.Body).Decode(&m); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(m.ID, "msg_") || m.Content[0].Text != "Hi" || string(m.Content[1].Input) != `{"a":1}` || m.StopReason != "tool_use" {
		t.Errorf("got %+v", m)
	}
}

func TestAnswerObeysTheRequest(t *testing.T) {
	tests := []struct {
		name    string
		replace map[string]any
		text    string
		stop    string
	}{
		{"max_tokens", map[string]any{"max_tokens": 2}, "tok0 tok1 ", "max_tokens"},
		{"stop sequence inside deltas", map[string]any{"stop_sequences": []string{"k2 t"}}, "tok0 tok1 to", "stop_sequence"},
		{"neither", nil, "tok0 tok1 tok2 tok3 ", "end_turn"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t)
			s.Answer(anthropictest.Text(4, 0))
			all := mustEvents(t, mustPost(t, s, prompt(tt.replace)))
			if got := texts(all); got != tt.text {
				t.Errorf("text %q, want %q", got, tt.text)
			}
			if got := all[len(all)-2].delta()["stop_reason"]; got != tt.stop {
				t.Errorf("stop reason %v, want %s", got, tt.stop)
			}
		})
	}
}

func TestThinkingWithABudgetThinksBeforeACall(t *testing.T) {
	s := start(t)
	s.Answer(anthropictest.ToolUse("x", `{}`))
	all := mustEvents(t, mustPost(t, s, prompt(map[string]any{"max_tokens": 2000, "thinking": raw(`{"type":"enabled","budget_tokens":1024}`)})))
	if got := all[1].data["content_block"].(map[string]any)["type"]; got != "thinking" {
		t.Errorf("first block is %v", got)
	}
}

func TestOtherRoutes(t *testing.T) {
	tests := []struct {
		method, path, body string
		status             int
		answer             string
	}{
		{"GET", "/", "", 200, "{}"},
		{"HEAD", "/", "", 200, ""},
		{"POST", "/v1/messages/count_tokens", prompt(nil), 200, `{"input_tokens":`},
		{"GET", "/v1/messages", "", 404, `not_found_error`},
		{"POST", "/v1/nothing", "{}", 404, `"type":"error"`},
		{"POST", "/v1/messages", "{", 400, `invalid_request_error`},
	}
	s := start(t)
	for _, tt := range tests {
		t.Run(tt.method+tt.path, func(t *testing.T) {
			r, _ := http.NewRequestWithContext(within(t), tt.method, s.URL()+tt.path, strings.NewReader(tt.body))
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, _ := io.ReadAll(res.Body)
			if res.StatusCode != tt.status || !strings.Contains(string(body), tt.answer) {
				t.Errorf("%d %s", res.StatusCode, body)
			}
		})
	}
}

func TestErrorAnswers(t *testing.T) {
	tests := []struct {
		status int
		kind   string
	}{{400, "invalid_request_error"}, {401, "authentication_error"}, {429, "rate_limit_error"}, {500, "api_error"}, {529, "overloaded_error"}}
	for _, tt := range tests {
		s := start(t)
		s.Answer(anthropictest.Status(tt.status, "", "no").RetryAfter(7))
		res := mustPost(t, s, say("hello"))
		body, _ := io.ReadAll(res.Body)
		if res.StatusCode != tt.status || !strings.Contains(string(body), tt.kind) || res.Header.Get("Retry-After") != "7" {
			t.Errorf("%d: %d %s", tt.status, res.StatusCode, body)
		}
	}
}

func TestRateLimitHeaders(t *testing.T) {
	s := start(t)
	s.Answer(anthropictest.Say("x").WithHeader(anthropictest.RateLimit("allowed_warning", "five_hour", 0.91, time.Unix(1795298448, 0))))
	res := mustPost(t, s, say("hello"))
	for name, want := range map[string]string{
		"status": "allowed_warning", "reset": "1795298448", "representative-claim": "five_hour", "5h-utilization": "0.91",
	} {
		if got := res.Header.Get("anthropic-ratelimit-unified-" + name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		name   string
		reply  anthropictest.Reply
		deltas int
		broken bool // the client sees an error of the transport or of decoding
		last   string
	}{
		{"reset in the middle", anthropictest.Text(5, 0).Broken(anthropictest.FaultReset, 2), 2, true, ""},
		{"end in the middle", anthropictest.Text(5, 0).Broken(anthropictest.FaultEOF, 2), 2, true, ""},
		{"end of the body in the middle", anthropictest.Text(5, 0).Broken(anthropictest.FaultEnd, 2), 2, false, "content_block_delta"},
		{"malformed event", anthropictest.Text(5, 0).Broken(anthropictest.FaultMalformed, 3), 3, true, ""},
		{"error event", anthropictest.Text(5, 0).ErrorAfter(1, "overloaded_error", "Overloaded"), 1, false, "error"},
		{"error event instead of a message", anthropictest.Text(5, 0).ErrorAfter(anthropictest.BeforeMessage, "overloaded_error", "Overloaded"), 0, false, "error"},
		{"error event before content", anthropictest.Text(5, 0).ErrorAfter(0, "overloaded_error", "Overloaded"), 0, false, "error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := start(t)
			s.Answer(tt.reply)
			all, err := events(mustPost(t, s, say("hello")).Body, 0)
			if (err != nil) != tt.broken {
				t.Errorf("error: %v", err)
			}
			if got := strings.Count(texts(all), "tok"); got > tt.deltas || !tt.broken && got != tt.deltas {
				t.Errorf("%d deltas, want %d", got, tt.deltas) // a reset may swallow what was on its way
			}
			if tt.last != "" && all[len(all)-1].name != tt.last {
				t.Errorf("last event %s", all[len(all)-1].name)
			}
		})
	}
}

func TestPagesAreSentAsTheyAre(t *testing.T) {
	s := start(t)
	s.Answer(anthropictest.Page("text/html", "<html>"))
	res := mustPost(t, s, say("hello"))
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != "<html>" || res.Header.Get("Content-Type") != "text/html" {
		t.Errorf("%q of type %q, %v", body, res.Header.Get("Content-Type"), err)
	}
}

func TestStalledStreamHasItsHeaders(t *testing.T) {
	s := start(t)
	s.Answer(anthropictest.Text(5, 0).Broken(anthropictest.FaultStall, anthropictest.BeforeMessage))
	res := mustPost(t, s, say("hello"))
	if res.StatusCode != http.StatusOK {
		t.Errorf("status %d", res.StatusCode)
	}
	_ = res.Body.Close()
}

func TestResetBeforeHeaders(t *testing.T) {
	s := start(t)
	s.Script(func(anthropictest.Request) *anthropictest.Reply { return new(anthropictest.ResetBeforeHeaders()) })
	if res, err := post(within(t), s, say("hello")); err == nil {
		_ = res.Body.Close()
		t.Error("no error")
	}
	r, err := s.WaitDone(within(t), 1)
	if err != nil || r.Status != 0 {
		t.Errorf("status %d, %v", r.Status, err)
	}
}

func TestStallEndsWhenTheClientLeaves(t *testing.T) {
	for _, after := range []int{anthropictest.BeforeHeaders, anthropictest.BeforeMessage, 0, 2} {
		s := start(t)
		s.Answer(anthropictest.Text(5, 0).Broken(anthropictest.FaultStall, after))
		ctx, leave := context.WithCancel(within(t))
		var client sync.WaitGroup
		client.Go(func() {
			if res, err := post(ctx, s, say("hello")); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		})
		if _, err := s.Wait(within(t), 1); err != nil {
			t.Fatal(err)
		}
		leave()
		r, err := s.WaitDone(within(t), 1)
		if err != nil || r.Aborted.IsZero() {
			t.Errorf("after %d: aborted %v, %v", after, r.Aborted, err)
		}
		client.Wait()
	}
}

func TestGateHoldsUntilReleased(t *testing.T) {
	s := start(t)
	gate := anthropictest.NewGate(2)
	s.Answer(anthropictest.Text(4, 0).HeldBy(gate))
	res := mustPost(t, s, say("hello"))
	<-gate.Reached()
	head, err := events(res.Body, 5) // message_start, content_block_start, ping, two deltas
	if err != nil || texts(head) != "tok0 tok1 " {
		t.Fatalf("before the gate: %q, %v", texts(head), err)
	}
	if r := s.Requests()[0]; !r.Finished.IsZero() {
		t.Error("finished while held")
	}
	gate.Release()
	rest, err := events(res.Body, 0)
	if err != nil || texts(rest) != "tok2 tok3 " {
		t.Errorf("behind the gate: %q, %v", texts(rest), err)
	}
	if r, err := s.WaitDone(within(t), 1); err != nil || !r.Aborted.IsZero() {
		t.Errorf("aborted %v, %v", r.Aborted, err)
	}
}

func TestCloseEndsOpenStreams(t *testing.T) {
	s := start(t)
	s.Answer(anthropictest.Text(1, 0).Broken(anthropictest.FaultStall, 1), anthropictest.StallBeforeHeaders())
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() {
			if res, err := post(within(t), s, say("hello")); err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		})
	}
	if _, err := s.Wait(within(t), 2); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s.Close()
	clients.Wait()
}

func TestScriptsAreAskedInOrder(t *testing.T) {
	s := start(t)
	s.Answer(anthropictest.Say("first"))
	s.Script(func(r anthropictest.Request) *anthropictest.Reply {
		if r.Body.Messages[0].Text() == "special" {
			return new(anthropictest.Say("second"))
		}
		return nil
	})
	for _, step := range []struct{ prompt, answer string }{
		{"special", "first"}, {"special", "second"}, {"other", "Hello from the fake Messages API."},
	} {
		if got := texts(mustEvents(t, mustPost(t, s, say(step.prompt)))); got != step.answer {
			t.Errorf("%s: %q, want %q", step.prompt, got, step.answer)
		}
	}
	s.Unscript()
}

func TestRecord(t *testing.T) {
	s := start(t, anthropictest.Keep(2))
	for _, text := range []string{"one", "two", "three"} {
		mustEvents(t, mustPost(t, s, say(text)))
	}
	if all := s.Requests(); len(all) != 2 || all[1].N != 3 || all[1].Body.Messages[0].Text() != "three" || all[0].Path != "/v1/messages?beta=true" {
		t.Errorf("kept %+v", all)
	}
	if _, err := s.Wait(within(t), 1); err == nil {
		t.Error("a forgotten request was found")
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Wait(canceled, 4); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	s.Reset()
	mustEvents(t, mustPost(t, s, say("four")))
	if r, err := s.Wait(within(t), 1); err != nil || r.Body.Messages[0].Text() != "four" {
		t.Errorf("after reset: %+v, %v", r, err)
	}
}

func TestDirectives(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"tokens", "[[tokens 3 delay 1ms]]", "tok0 tok1 tok2 "},
		{"several", "[[tokens 1]] and [[tokens 1]]", "tok0 tok0 "},
		{"huge", "[[huge 5]]", "xxxxx"},
		{"echo", "say [[echo]]", anthropictest.Digest(conversation("say [[echo]]")) + " say [[echo]]"},
		{"none", "say [[nothing]]", "Hello from the fake Messages API."},
		{"max_tokens", "[[max_tokens]]", "tok0 tok1 tok2 tok3 tok4 tok5 tok6 tok7 "},
	}
	s := start(t, anthropictest.WithDirectives())
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := texts(mustEvents(t, mustPost(t, s, say(tt.text)))); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("status", func(t *testing.T) {
		if res := mustPost(t, s, say("[[status 529]]")); res.StatusCode != 529 {
			t.Errorf("status %d", res.StatusCode)
		}
	})
	t.Run("tool", func(t *testing.T) {
		all := mustEvents(t, mustPost(t, s, say(`[[tool Bash {"command":"[[x]] }"}]]`)))
		var input strings.Builder
		for _, e := range all {
			if part, ok := e.delta()["partial_json"].(string); ok {
				input.WriteString(part)
			}
		}
		if got := input.String(); got != `{"command":"[[x]] }"}` {
			t.Errorf("input %s", got)
		}
	})
}

func TestDirectivesAreOffByDefault(t *testing.T) {
	s := start(t)
	if res := mustPost(t, s, say("[[status 529]]")); res.StatusCode != http.StatusOK {
		t.Errorf("status %d", res.StatusCode)
	}
}
