package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"maxrelay/queue"
	"maxrelay/session/anthropictest"
	"maxrelay/session/chat"
	"maxrelay/stats"
)

// replies answers the n-th call of the model from now on with the n-th reply, and all
// further ones with the last. The returned function counts the calls.
func (s *site) replies(replies ...anthropictest.Reply) (calls func() int) {
	var n atomic.Int64
	s.model.Unscript()
	s.model.Script(func(anthropictest.Request) *anthropictest.Reply {
		i := min(int(n.Add(1)), len(replies)) - 1
		return &replies[i]
	})
	return func() int { return int(n.Load()) }
}

// repliesTo does so for the conversations that open with these words alone, so that
// several can wait at a time.
func (s *site) repliesTo(opening string, replies ...anthropictest.Reply) (calls func() int) {
	var n atomic.Int64
	s.model.Script(func(r anthropictest.Request) *anthropictest.Reply {
		if openingOf(r) != opening {
			return nil
		}
		i := min(int(n.Add(1)), len(replies)) - 1
		return &replies[i]
	})
	return func() int { return int(n.Load()) }
}

func refused(status int, message string) anthropictest.Reply {
	return anthropictest.Status(status, "", message)
}

// A client sees the same failure whether it streams or not: nothing was sent yet.
func TestUpstreamFailuresAtTheAPI(t *testing.T) {
	s := newSite(t)
	p := s.start("serve", servesHTTP, realCLI, "serve")
	for i, tc := range []struct {
		name     string
		reply    anthropictest.Reply
		status   int
		code     string // "" for null
		retry    string // retry-after
		attempts int
		calls    int // of the model, at most; as many as attempts where 0
	}{
		{"400", refused(400, "bad thing"), 400, "", "", 1, 4},
		{"too long", refused(400, "prompt is too long: 9 tokens > 8 maximum"), 400, "context_length_exceeded", "", 1, 2},
		{"401", refused(401, "who?"), 502, "account_unavailable", "", 1, 0},
		{"404", refused(404, "model: x"), 404, "model_not_found", "", 1, 2},
		{"413", refused(413, "big"), 413, "request_too_large", "", 1, 0},
		{"429", refused(429, "slow down").RetryAfter(17), 429, "rate_limit_exceeded", "30", 1, 0},
		{"500", refused(500, "oops"), 502, "worker_failed", "", 3, 0},
		{"529", refused(529, "busy"), 503, "overloaded", "10", 3, 0},
		{"lost connection", anthropictest.ResetBeforeHeaders(), 502, "worker_failed", "", 3, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			calls := s.repliesTo(t.Name(), tc.reply)
			a, err := send(t.Context(), p.url, chatRequest{Messages: []message{{"user", t.Name()}}, Stream: i%2 == 0}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if a.status != tc.status || a.errCode != tc.code || a.text != "" || a.done {
				t.Errorf("got %+v, want %d %q", a, tc.status, tc.code)
			}
			if got := a.header.Get("Retry-After"); got != tc.retry || a.header.Get("X-Should-Retry") != "" {
				t.Errorf("retry-after %q, x-should-retry %q; want %q and none", got, a.header.Get("X-Should-Retry"), tc.retry)
			}
			if n := calls(); n < tc.attempts || n > cmp.Or(tc.calls, tc.attempts) {
				t.Errorf("%d calls of the model in %d attempts", n, tc.attempts)
			}
			if e := s.event(t, a); e.Status != tc.status || e.Attempts != tc.attempts || e.ErrorCode == "" || e.Usage != (chat.Usage{}) && !e.Estimated {
				t.Errorf("recorded as %+v", e)
			}
		})
	}
}

func TestAFailureThatPassesIsNotSeen(t *testing.T) {
	s := newSite(t)
	p := s.start("serve", servesHTTP, realCLI, "serve")
	u := anthropictest.Usage{InputTokens: 50}
	for name, upset := range map[string]anthropictest.Reply{
		"a status":        refused(500, "oops"),
		"a broken answer": anthropictest.Text(3, 0).WithUsage(u).ErrorAfter(0, "overloaded_error", "Overloaded"),
	} {
		for _, stream := range []bool{true, false} {
			t.Run(fmt.Sprint(name, ", stream ", stream), func(t *testing.T) {
				t.Parallel()
				s.repliesTo(t.Name(), upset, upset, anthropictest.Say("here").WithUsage(u))
				a, err := send(t.Context(), p.url, chatRequest{Messages: []message{{"user", t.Name()}}, Stream: stream}, nil)
				if err != nil || a.status != http.StatusOK || a.text != "here" || a.errCode != "" || a.finish != "stop" {
					t.Errorf("got %+v, %v", a, err)
				}
				paid := 50
				if upset.Fault != nil {
					paid = 150 // the broken attempts cost as much
				}
				if e := s.event(t, a); e.Attempts != 3 || e.Status != http.StatusOK || e.ErrorCode != "" || e.Usage.InputTokens != paid {
					t.Errorf("recorded as %+v, want 3 attempts and %d tokens of input", e, paid)
				}
			})
		}
	}
}

func TestAFailureBehindTheFirstContentIsSaid(t *testing.T) {
	s := newSite(t)
	p := s.start("serve", servesHTTP, realCLI, "serve")
	calls := s.replies(anthropictest.Text(5, 0).ErrorAfter(2, "overloaded_error", "Overloaded"))
	a, err := send(t.Context(), p.url, chatRequest{Messages: []message{{"user", "hello"}}, Stream: true}, nil)
	if err != nil || a.status != http.StatusOK || a.errCode != "overloaded" || a.done || a.finish != "" || a.text != "tok0 tok1 " {
		t.Errorf("got %+v, %v; want the beginning, one error event and the end", a, err)
	}
	if n := calls(); n != 1 {
		t.Errorf("%d calls of the model", n)
	}
	if e := s.event(t, a); e.Attempts != 1 || e.ErrorCode != "overloaded" || e.Usage.PromptTokens() == 0 {
		t.Errorf("recorded as %+v", e)
	}

	s.replies(anthropictest.Text(5, 0).ErrorAfter(2, "overloaded_error", "Overloaded"), anthropictest.Say("here"))
	a, err = send(t.Context(), p.url, chatRequest{Messages: []message{{"user", "hello"}}}, nil)
	if err != nil || a.status != http.StatusOK || a.text != "here" {
		t.Errorf("without a stream nothing was shown yet: %+v, %v", a, err)
	}
}

func TestAnswersThatEndEarlySayWhy(t *testing.T) {
	s := newSite(t)
	p := s.start("serve", servesHTTP, realCLI, "serve")
	for stop, want := range map[string]string{
		"max_tokens": "length", "model_context_window_exceeded": "length", "refusal": "content_filter", "end_turn": "stop",
	} {
		s.replies(anthropictest.Say("so far").WithStop(stop))
		a, err := send(t.Context(), p.url, chatRequest{Messages: []message{{"user", "hello"}}, Stream: true}, nil)
		if err != nil || a.status != http.StatusOK || a.finish != want || !a.done || a.text != "so far" {
			t.Errorf("%s: got %+v, %v; want %s", stop, a, err, want)
		}
	}
}

func TestAUsedUpAccountTellsWhenToComeBack(t *testing.T) {
	s := newSite(t)
	p := s.start("serve", servesHTTP, s.subscribedAs("one"), "serve")
	limit := anthropictest.RateLimit("rejected", "five_hour", 1, time.Now().Add(2*time.Hour))
	calls := s.replies(refused(429, "limit").WithHeader(limit).RetryAfter(7200))
	for i := range 3 { // the first meets the limit, the others find the account resting
		a, err := send(t.Context(), p.url, chatRequest{Messages: []message{{"user", "hello"}}, Stream: i < 2}, nil)
		if err != nil || a.status != http.StatusTooManyRequests || a.errCode != "usage_limit_reached" {
			t.Fatalf("request %d: got %+v, %v", i, a, err)
		}
		if wait, _ := strconv.Atoi(a.header.Get("Retry-After")); wait < 6600 || wait > 7200 || a.header.Get("X-Should-Retry") != "false" {
			t.Errorf("request %d: retry-after %d, x-should-retry %q", i, wait, a.header.Get("X-Should-Retry"))
		}
		if e := s.event(t, a); e.ErrorCode != "usage_limit_reached" || e.Attempts != max(0, 1-i) || e.DurationMS > 60_000 {
			t.Errorf("request %d is recorded as %+v", i, e)
		}
	}
	if n := calls(); n != 1 {
		t.Errorf("%d calls of the model", n)
	}
	var h struct {
		Status  string
		Workers []struct{ State, Reason string }
	}
	if status := getJSON(t, p.url+"/health", &h); status != http.StatusServiceUnavailable || len(h.Workers) != 1 || h.Workers[0].State != "resting" || !strings.Contains(h.Workers[0].Reason, "five_hour") {
		t.Errorf("health: %d %+v", status, h)
	}
}

// getJSON decodes an answer and returns its status.
func getJSON(t *testing.T, url string, into any) int {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// subscribedAs is the real CLI, signed in at the model with a made-up subscription. The
// self-test has a model of its own, for which the CLI must stay as it is.
func (s *site) subscribedAs(name string) func(testing.TB) (string, map[string]string) {
	return func(t testing.TB) (string, map[string]string) {
		path, env := realCLI(t)
		script := filepath.Join(t.TempDir(), "claude")
		text := fmt.Sprintf("#!/bin/sh\nif [ \"$ANTHROPIC_BASE_URL\" = %q ]; then\n\tunset ANTHROPIC_API_KEY\n\texport CLAUDE_CODE_OAUTH_TOKEN=%s\nfi\nexec %q \"$@\"\n", s.model.URL(), madeUpToken(name), path)
		if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		return script, env
	}
}

func madeUpToken(name string) string { return "sk-ant-oat01-made-up-" + name }

// event returns the one usage event of a request.
func (s *site) event(t *testing.T, a answer) (found stats.Event) {
	t.Helper()
	nc, err := queue.Dial("nats://"+s.nats, queue.DialOptions{Name: "test", TokenFile: filepath.Join(s.dir, "data", "nats.token")})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	var events jetstream.Consumer
	eventually(t, "the broker to be reached", func() bool {
		events, err = js.OrderedConsumer(t.Context(), "USAGE", jetstream.OrderedConsumerConfig{})
		return err == nil
	})
	batch, err := events.FetchNoWait(1000)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for m := range batch.Messages() {
		var e stats.Event
		if err := json.Unmarshal(m.Data(), &e); err != nil {
			t.Fatal(err)
		}
		if e.ID == a.header.Get("X-Request-Id") {
			found, n = e, n+1
		}
	}
	if n != 1 {
		t.Errorf("%d usage events of request %s", n, a.header.Get("X-Request-Id"))
	}
	return found
}
