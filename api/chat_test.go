package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"maxrelay/api/failure"
	"maxrelay/api/openai"
	"maxrelay/queue"
	"maxrelay/session/chat"
)

func TestAnswerThatDoesNotStream(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, echo)
	resp := n.post(ask("hello there", `,"seed":1`), "X-Request-Id", "mine-1")
	body := read(t, resp)
	var c openai.Completion
	if err := json.Unmarshal([]byte(body), &c); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%d %s: %v", resp.StatusCode, body, err)
	}
	if *c.Choices[0].Message.Content != "hello there" || c.Choices[0].FinishReason != "stop" || c.Model != "claude-opus-4" || c.Usage.PromptTokens != 25 || c.Usage.CompletionTokens != 7 {
		t.Errorf("got %s", body)
	}
	for name, want := range map[string]string{
		"X-Request-Id": "mine-1", "X-Maxrelay-Session": "new", "X-Maxrelay-Worker": "bench", "X-Maxrelay-Ignored": "seed", "Content-Type": "application/json",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if resp.Header.Get("openai-processing-ms") == "" || resp.Header.Get("X-Maxrelay-Queue-Ms") == "" {
		t.Errorf("headers %v", resp.Header)
	}
	e := n.usage(1)[0]
	if e.Status != 200 || e.Attempts != 1 || e.Model != "claude-opus-4" || e.Upstream != "claude-opus-4-6" || e.KeyID != "local" || e.Path != "/v1/chat/completions" || e.Estimated ||
		e.Usage != (chat.Usage{InputTokens: 5, CacheReadTokens: 20, OutputTokens: 7}) || e.RequestBytes == 0 || e.ResponseBytes != int64(len(body)) || e.ErrorCode != "" {
		t.Errorf("recorded %+v", e)
	}
	if strings.Contains(n.logged.String(), "hello") {
		t.Errorf("prompt text in the log: %s", n.logged.String())
	}
}

func TestAnswerThatStreams(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, echo)
	resp := n.post(ask("one two three", `,"stream":true,"stream_options":{"include_usage":true}`))
	data, _ := chunks(t, resp.Body)
	if got := said(t, data); got != "one two three" || data[len(data)-1] != "[DONE]" {
		t.Fatalf("said %q in %s", got, data)
	}
	if !strings.Contains(data[0], `"role":"assistant"`) || !strings.Contains(data[len(data)-3], `"finish_reason":"stop"`) || !strings.Contains(data[len(data)-2], `"choices":[],"usage":{"prompt_tokens":25`) {
		t.Errorf("chunks %s", data)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-cache", "X-Accel-Buffering": "no", "X-Maxrelay-Session": "new", "X-Maxrelay-Worker": "bench",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if e := n.usage(1)[0]; !e.Stream || e.Status != 200 || e.ErrorCode != "" || e.ResponseBytes == 0 {
		t.Errorf("recorded %+v", e)
	}
}

func TestWorkerSeesTheCanonicalConversation(t *testing.T) {
	seen := make(chan *chat.Request, 1)
	n := openNode(t, Config{}, queue.OwnerConfig{}, func(ctx context.Context, p *play) {
		seen <- p.request
		echo(ctx, p)
	})
	n.post(`{"model":"claude-sonnet-4","user":"u","messages":[{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"user","content":"b"}]}`)
	got := <-seen
	if got.Model != "sonnet" || got.System != "s" || got.Tenant != (chat.Tenant{Key: "local", User: "u", Pool: "default"}) || len(got.Messages) != 1 || len(got.Messages[0].Content) != 2 {
		t.Errorf("got %+v", got)
	}
}

func TestSilentStreamShowsThatItLives(t *testing.T) {
	release := make(chan struct{})
	n := openNode(t, Config{Heartbeat: 20 * time.Millisecond}, queue.OwnerConfig{}, func(ctx context.Context, p *play) {
		<-release
		echo(ctx, p)
	})
	resp := n.post(ask("late", `,"stream":true`))
	r := bufio.NewReader(resp.Body)
	for range 2 {
		if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, ": ") {
			t.Fatalf("line %q, %v", line, err)
		}
		if line, err := r.ReadString('\n'); err != nil || line != "\n" {
			t.Fatalf("line %q, %v", line, err)
		}
	}
	close(release)
	if data, _ := chunks(t, r); said(t, data) != "late" {
		t.Errorf("got %s", data)
	}
}

func TestAStreamThatWaitsTellsWhereItStands(t *testing.T) {
	n := openNode(t, Config{Heartbeat: 20 * time.Millisecond}, queue.OwnerConfig{}, echo)
	must(t, n.owner.Drain(testContext(t), n.owner.Workers()[0].ID))
	eventually(t, "the worker to drain", func() bool { return n.owner.Workers()[0].Draining })
	resp := n.post(ask("late", `,"stream":true`))
	if h := resp.Header; h.Get("X-Maxrelay-Queue-Position") != "1" || h.Get("X-Maxrelay-Queue-Estimate-Ms") == "" || h.Get("X-Maxrelay-Worker") != "" {
		t.Errorf("headers %v", h)
	}
	r := bufio.NewReader(resp.Body)
	for range 2 {
		if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, ": waiting for a worker, position 1, about ") {
			t.Errorf("line %q, %v", line, err)
		}
		if line, err := r.ReadString('\n'); err != nil || line != "\n" {
			t.Errorf("line %q, %v", line, err)
		}
	}
	must(t, n.owner.Resume(testContext(t), n.owner.Workers()[0].ID))
	if data, _ := chunks(t, r); said(t, data) != "late" {
		t.Errorf("got %s", data)
	}
	if h := n.post(ask("soon", `,"stream":true`)).Header; h.Get("X-Maxrelay-Queue-Position") != "" {
		t.Errorf("one that did not wait has headers %v", h)
	}
}

// Longer than the pause before another attempt, so that the stream waits in the queue by then.
const afterThePause = 1500 * time.Millisecond

func TestAStreamThatWaitsAgainForgetsWhoFailedIt(t *testing.T) {
	owner := make(chan *queue.Owner, 1)
	n := openNode(t, Config{Heartbeat: afterThePause}, queue.OwnerConfig{}, func(ctx context.Context, p *play) {
		if p.task.Epoch > 1 {
			echo(ctx, p)
			return
		}
		p.send(chat.Event{Type: chat.EventTurn, Session: chat.SessionNew})
		o := <-owner
		must(t, o.Drain(testContext(t), o.Workers()[0].ID))
		eventually(t, "the worker to drain", func() bool { return o.Workers()[0].Draining })
		p.end(queue.End{Retry: queue.RetryLater}, chat.Outcome{Error: &chat.Error{Code: chat.CodeOverloaded, Message: "overloaded"}})
	})
	owner <- n.owner
	resp := n.post(ask("again", `,"stream":true`))
	if h := resp.Header; h.Get("X-Maxrelay-Worker") != "" || h.Get("X-Maxrelay-Queue-Ms") != "" || h.Get("X-Maxrelay-Session") != "" || h.Get("X-Maxrelay-Queue-Position") != "1" {
		t.Errorf("headers %v", h)
	}
	must(t, n.owner.Resume(testContext(t), n.owner.Workers()[0].ID))
	if data, _ := chunks(t, resp.Body); said(t, data) != "again" {
		t.Errorf("got %s", data)
	}
}

func TestANewAttemptIsSeenBeforeItHasASession(t *testing.T) {
	lost, found := &turn{attempt: 1, worker: "lost", session: chat.SessionNew}, &turn{index: 1, attempt: 1, worker: "other"}
	var p reply
	p.see(lost)
	lost.attempt, lost.worker, lost.session = 2, "found", ""
	p.see(lost)
	if p.first.worker != "found" || p.first.session != "" {
		t.Errorf("it is %+v", p.first)
	}
	lost.session = chat.SessionReplayed
	p.see(lost)
	if p.see(found); p.first.worker != "found" {
		t.Errorf("another answer is told of: %+v", p.first)
	}
}

func TestFailureBeforeTheFirstByteHasItsStatus(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, func(_ context.Context, p *play) {
		p.fail(chat.CodeUsageLimit, "the account is at its limit", 90*time.Second)
	})
	for _, more := range []string{``, `,"stream":true`} {
		resp := n.post(ask("hi", more))
		kind, code, _ := errorCode(t, read(t, resp))
		if resp.StatusCode != 429 || kind != "rate_limit_error" || code != "usage_limit_reached" || resp.Header.Get("Retry-After") != "90" || resp.Header.Get("X-Should-Retry") != "false" {
			t.Errorf("%d %s %s %v", resp.StatusCode, kind, code, resp.Header)
		}
	}
	for _, e := range n.usage(2) {
		if e.Status != 429 || e.ErrorCode != "usage_limit_reached" || e.Usage != (chat.Usage{}) || e.Estimated {
			t.Errorf("recorded %+v", e)
		}
	}
}

func TestFailureAfterTheFirstByteIsTheLastEvent(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, func(_ context.Context, p *play) {
		p.begin()
		p.text("half an answer")
		p.fail(chat.CodeWorkerFailed, "the CLI died", 0)
	})
	resp := n.post(ask("hi", `,"stream":true`))
	data, _ := chunks(t, resp.Body)
	last := data[len(data)-1]
	if _, code, _ := errorCode(t, last); resp.StatusCode != 200 || code != "worker_failed" || slices.Contains(data, "[DONE]") {
		t.Errorf("%d %s", resp.StatusCode, data)
	}
	if e := n.usage(1)[0]; e.ErrorCode != "worker_failed" || e.Status != 200 || !e.Estimated || e.Usage.InputTokens != 5 || e.Usage.OutputTokens != 3 {
		t.Errorf("recorded %+v", e)
	}
}

func TestFailureAfterAHeartbeatIsAnEvent(t *testing.T) {
	release := make(chan struct{})
	n := openNode(t, Config{Heartbeat: 20 * time.Millisecond}, queue.OwnerConfig{}, func(_ context.Context, p *play) {
		<-release
		p.fail(chat.CodeOverloaded, "the upstream is overloaded", 0)
	})
	resp := n.post(ask("hi", `,"stream":true`))
	close(release)
	data, comments := chunks(t, resp.Body)
	if _, code, _ := errorCode(t, data[0]); comments == 0 || len(data) != 1 || code != "overloaded" {
		t.Errorf("%d comments, %s", comments, data)
	}
}

func TestMovedJobStartsItsAnswerOver(t *testing.T) {
	for name, tc := range map[string]struct {
		more  string
		shown bool // the first attempt says something
	}{
		"not streaming": {``, true},
		"streaming":     {`,"stream":true`, false},
	} {
		t.Run(name, func(t *testing.T) {
			n := openNode(t, Config{}, queue.OwnerConfig{}, func(ctx context.Context, p *play) {
				if p.task.Epoch > 1 {
					echo(ctx, p)
					return
				}
				p.begin()
				if tc.shown {
					p.text("wrong")
				}
				p.end(queue.End{Retry: queue.RetryLater}, chat.Outcome{Error: &chat.Error{Code: chat.CodeUpstream, Message: "the upstream failed"}})
			})
			body := read(t, n.post(ask("right", tc.more)))
			if !strings.Contains(body, "right") || strings.Contains(body, "wrong") {
				t.Errorf("got %s", body)
			}
			// Whether the first attempt's input counts were seen in time is up to the network.
			e := n.usage(1)[0]
			former := e.Usage.InputTokens - 5
			if e.Attempts != 2 || e.Status != 200 || e.Usage.OutputTokens != 7 || former != 0 && former != 5 || e.Estimated != (former > 0) {
				t.Errorf("recorded %+v", e)
			}
		})
	}
}

// The client leaves in the pause after an attempt that failed: what that attempt told in
// its end and in its events is the same use.
func TestAFailedAttemptIsCountedOnceWhenTheClientLeaves(t *testing.T) {
	ended := make(chan struct{})
	n := openNode(t, Config{}, queue.OwnerConfig{}, func(_ context.Context, p *play) {
		defer close(ended)
		p.begin()
		p.end(queue.End{Retry: queue.RetryLater, RetryAfter: time.Minute}, chat.Outcome{Session: chat.SessionNew, Upstream: "m", Counted: true,
			Usage: chat.Usage{InputTokens: 5, OutputTokens: 3}, Error: &chat.Error{Code: chat.CodeUpstream, Message: "the upstream failed"}})
	})
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan struct{})
	go func() {
		defer close(left)
		n.try(ctx, http.MethodPost, "/v1/chat/completions", ask("x", ""))
	}()
	<-ended
	eventually(t, "the job to wait again", func() bool { st := n.owner.Stats(); return st.Waiting == 1 && st.Running == 0 })
	leave()
	<-left
	if e := n.usage(1)[0]; e.Usage != (chat.Usage{InputTokens: 5, OutputTokens: 3}) || e.Estimated {
		t.Errorf("recorded %+v", e)
	}
}

func TestLargeBodiesShareABudget(t *testing.T) {
	n := openNode(t, Config{BodyLimit: 1000, BodyBudget: 1500}, queue.OwnerConfig{}, echo)
	slow, err := net.Dial("tcp", n.Addr().String())
	must(t, err)
	must(t, slow.SetDeadline(time.Now().Add(hangGuard)))
	fmt.Fprintf(slow, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 900\r\nExpect: 100-continue\r\n\r\n")
	if line, err := bufio.NewReader(slow).ReadString('\n'); !strings.Contains(line, "100 Continue") { // its body is being read
		t.Fatalf("%q, %v", line, err)
	}
	large := ask(strings.Repeat("x", 700), "")
	resp := n.post(large)
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("status %d, %v", resp.StatusCode, resp.Header)
	}
	if _, code, _ := errorCode(t, read(t, resp)); code != "queue_full" {
		t.Errorf("code %q", code)
	}
	slow.Close()
	eventually(t, "the budget to be free again", func() bool {
		resp := n.post(large)
		defer read(t, resp)
		return resp.StatusCode == http.StatusOK
	})
}

// Many slow clients that declare no length, or a large one, hold what they sent.
func TestBodiesThatDoNotComeKeepNobodyOut(t *testing.T) {
	n := openNode(t, Config{BodyLimit: 10 << 20, BodyBudget: 40 << 20}, queue.OwnerConfig{}, echo)
	for i := range 20 {
		slow, err := net.Dial("tcp", n.Addr().String())
		must(t, err)
		defer slow.Close()
		must(t, slow.SetDeadline(time.Now().Add(hangGuard)))
		length := []string{"Transfer-Encoding: chunked", "Content-Length: 10000000"}[i%2]
		fmt.Fprintf(slow, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%s\r\nExpect: 100-continue\r\n\r\n", length)
		if line, err := bufio.NewReader(slow).ReadString('\n'); !strings.Contains(line, "100 Continue") {
			t.Fatalf("client %d: %q, %v", i, line, err)
		}
	}
	if resp := n.post(ask(strings.Repeat("x", 5<<20), "")); resp.StatusCode != http.StatusOK {
		t.Errorf("status %d: %s", resp.StatusCode, read(t, resp))
	}
}

func TestNoCallerHoldsTheWholeBudget(t *testing.T) {
	b := newBudget(100, 75)
	for _, step := range []struct {
		key  string
		n    int64
		want bool
	}{{"a", 60, true}, {"a", 20, false}, {"a", 15, true}, {"b", 26, false}, {"b", 25, true}, {"c", 1, false}} {
		if got := b.take(step.key, step.n); got != step.want {
			t.Errorf("%d bytes for %s: %v", step.n, step.key, got)
		}
	}
	b.giveBack("a", 75)
	b.giveBack("b", 25)
	if b.left != 100 || len(b.held) != 0 {
		t.Errorf("%+v is left when all was given back", b)
	}
}

func TestUsageOfFailedAttemptsIsSummed(t *testing.T) {
	reply := &reply{server: bare(t, Config{}), x: &exchange{start: time.Now(), status: 200}, q: &question{}, closed: true}
	turn := &turn{reply: reply}
	reply.turns = append(reply.turns, turn)
	turn.grant(queue.Batch{Attempt: 1})
	turn.note(chat.Event{Type: chat.EventMessageStart, Usage: &chat.Usage{InputTokens: 5, OutputTokens: 1}})
	turn.note(chat.Event{Type: chat.EventMessageDelta, Usage: &chat.Usage{OutputTokens: 3}})
	turn.grant(queue.Batch{Attempt: 2})
	turn.note(chat.Event{Type: chat.EventMessageStart, Usage: &chat.Usage{InputTokens: 5}})
	turn.outcome = &chat.Outcome{Counted: true, Usage: chat.Usage{InputTokens: 5, OutputTokens: 10, ThinkingTokens: 2}}
	if got, want := turn.usage(), turn.outcome.Usage; got != want {
		t.Errorf("the client is told %+v, want %+v", got, want)
	}
	if e := reply.event(http.StatusOK); e.Usage != (chat.Usage{InputTokens: 10, OutputTokens: 13, ThinkingTokens: 2}) || !e.Estimated {
		t.Errorf("recorded %+v", e)
	}
}

func TestClientThatLeavesEndsItsTurn(t *testing.T) {
	for name, more := range map[string]string{"not streaming": ``, "streaming": `,"stream":true`} {
		t.Run(name, func(t *testing.T) {
			started, stopped := make(chan struct{}), make(chan error, 1)
			n := openNode(t, Config{}, queue.OwnerConfig{}, func(ctx context.Context, p *play) {
				p.begin()
				p.text("some words")
				close(started)
				<-ctx.Done()
				stopped <- context.Cause(ctx)
				p.end(queue.End{}, chat.Outcome{
					Usage: chat.Usage{InputTokens: 5, OutputTokens: 2}, Counted: true,
					Error: &chat.Error{Code: chat.CodeCancelled, Message: "cancelled"},
				})
			})
			ctx, leave := context.WithCancel(testContext(t))
			defer leave()
			go func() {
				<-started
				leave()
			}()
			resp, err := n.try(ctx, http.MethodPost, "/v1/chat/completions", ask("hi", more))
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("error %v", err)
			}
			if cause := <-stopped; !errors.Is(cause, queue.ErrCancelled) {
				t.Errorf("the worker was stopped by %v", cause)
			}
			e := n.usage(1)[0]
			if e.ErrorCode != "cancelled" || e.Usage != (chat.Usage{InputTokens: 5, OutputTokens: 2}) || e.Estimated {
				t.Errorf("recorded %+v", e)
			}
			if more == "" && e.Status != failure.StatusClientClosed {
				t.Errorf("status %d", e.Status)
			}
		})
	}
}

func TestCancelledTurnWithoutCountsIsEstimated(t *testing.T) {
	started := make(chan struct{})
	n := openNode(t, Config{}, queue.OwnerConfig{}, func(ctx context.Context, p *play) {
		p.send(chat.Event{Type: chat.EventTurn, Session: chat.SessionNew})
		close(started)
		<-ctx.Done()
		p.fail(chat.CodeCancelled, "cancelled", 0)
	})
	ctx, leave := context.WithCancel(testContext(t))
	defer leave()
	go func() {
		<-started
		// The event is on its way; the turn counts as asked once it arrived.
		eventually(t, "the grant", func() bool { return n.owner.Stats().Running == 1 })
		leave()
	}()
	if _, err := n.try(ctx, http.MethodPost, "/v1/chat/completions", ask("the quick brown fox", ``)); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if e := n.usage(1)[0]; !e.Estimated || e.Usage.InputTokens < 4 || e.Usage.InputTokens > 6 {
		t.Errorf("recorded %+v", e)
	}
}

func TestSlowClientIsDropped(t *testing.T) {
	stopped := make(chan error, 1)
	n := openNode(t, Config{WriteTimeout: 100 * time.Millisecond}, queue.OwnerConfig{}, func(ctx context.Context, p *play) {
		p.begin()
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			p.text(strings.Repeat("x", 64<<10))
			<-tick.C
		}
		stopped <- context.Cause(ctx)
		p.fail(chat.CodeCancelled, "cancelled", 0)
	})
	conn, err := net.Dial("tcp", n.Addr().String())
	must(t, err)
	defer conn.Close()
	body := ask("hi", `,"stream":true`)
	_, err = fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	must(t, err)
	if cause := <-stopped; !errors.Is(cause, queue.ErrCancelled) {
		t.Errorf("the worker was stopped by %v", cause)
	}
	if e := n.usage(1)[0]; e.ErrorCode != "cancelled" {
		t.Errorf("recorded %+v", e)
	}
}

func TestRefusalsBeforeTheQueueAreNotRecorded(t *testing.T) {
	keys := newKeys(t, true, "secret")
	n := openNode(t, Config{Keys: keys, BodyLimit: 1000}, queue.OwnerConfig{}, echo)
	bearer := []string{"Authorization", "Bearer secret"}
	for name, tc := range map[string]struct {
		method, path, body string
		header             []string
		status             int
		code, param        string
	}{
		"no key":            {"POST", "/v1/chat/completions", ask("a", ""), nil, 401, "invalid_api_key", ""},
		"a wrong key":       {"POST", "/v1/chat/completions", ask("a", ""), []string{"Authorization", "Bearer wrong"}, 401, "invalid_api_key", ""},
		"models want a key": {"GET", "/v1/models", "", nil, 401, "invalid_api_key", ""},
		"bad JSON":          {"POST", "/v1/chat/completions", "{", bearer, 400, "", ""},
		"a wrong field":     {"POST", "/v1/chat/completions", ask("a", `,"n":9`), bearer, 400, "", "n"},
		"unknown model":     {"POST", "/v1/chat/completions", `{"model":"gpt-4o","messages":[{"role":"user","content":"a"}]}`, bearer, 404, "model_not_found", "model"},
		"prefill":           {"POST", "/v1/chat/completions", `{"model":"opus","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}`, bearer, 400, "", "messages[1]"},
		"too large":         {"POST", "/v1/chat/completions", ask(strings.Repeat("a", 1000), ""), bearer, 413, "request_too_large", ""},
		"strict":            {"POST", "/v1/chat/completions", ask("a", `,"seed":1`), append(bearer, "X-Maxrelay-Strict", "true"), 400, "", "seed"},
		"unknown path":      {"GET", "/v2", "", bearer, 404, "", ""},
		"wrong method":      {"GET", "/v1/chat/completions", "", bearer, 405, "method_not_allowed", ""},
		"health by POST":    {"POST", "/health", "{}", nil, 405, "method_not_allowed", ""},
		"models by DELETE":  {"DELETE", "/v1/models", "", bearer, 405, "method_not_allowed", ""},
		"405 wants a key":   {"DELETE", "/v1/models", "", nil, 401, "invalid_api_key", ""},
		"404 wants a key":   {"GET", "/v1/chat/x", "", nil, 401, "invalid_api_key", ""},
		"usage of no path":  {"GET", "/api/usage/x", "", nil, 401, "invalid_api_key", ""},
		"a path below chat": {"GET", "/v1/chat/x", "", bearer, 404, "not_found", ""},
		"model of no name":  {"GET", "/v1/models/gpt-4o", "", bearer, 404, "model_not_found", "model"},
	} {
		t.Run(name, func(t *testing.T) {
			n := *n
			n.t = t
			resp := n.do(testContext(t), tc.method, tc.path, tc.body, tc.header...)
			_, code, param := errorCode(t, read(t, resp))
			if resp.StatusCode != tc.status || code != tc.code || param != tc.param || resp.Header.Get("X-Request-Id") == "" {
				t.Errorf("%d %s %s %v", resp.StatusCode, code, param, resp.Header)
			}
			if allow := resp.Header.Get("Allow"); (tc.status == 405) != (allow != "") {
				t.Errorf("Allow: %q", allow)
			}
		})
	}
	n.usage(0)
}

func TestWrongMethodsAreToldTheRightOnes(t *testing.T) {
	s := bare(t, Config{})
	for path, want := range map[string]string{"/health": "GET, HEAD", "/v1/models": "GET, HEAD", "/v1/models/opus": "GET, HEAD", "/v1/chat/completions": "POST"} {
		r := httptest.NewRequest(http.MethodPut, path, nil)
		r.Host = "localhost"
		w := httptest.NewRecorder()
		s.clients.http.Handler.ServeHTTP(w, r)
		if got := w.Header().Get("Allow"); w.Code != 405 || got != want {
			t.Errorf("%s: %d, Allow %q, want %q", path, w.Code, got, want)
		}
	}
}

func TestBodyOfUnknownLengthHasItsLimit(t *testing.T) {
	n := openNode(t, Config{BodyLimit: 1000}, queue.OwnerConfig{}, echo)
	r, err := http.NewRequestWithContext(testContext(t), http.MethodPost, n.URL()+"/v1/chat/completions", io.MultiReader(strings.NewReader(ask(strings.Repeat("a", 2000), ""))))
	must(t, err)
	r.Header.Set("Content-Type", "application/json")
	resp, err := n.client.Do(r)
	must(t, err)
	defer resp.Body.Close()
	if resp.StatusCode != 413 {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestBodyThatStopsComing(t *testing.T) {
	n := openNode(t, Config{BodyIdle: 50 * time.Millisecond}, queue.OwnerConfig{}, echo)
	conn, err := net.Dial("tcp", n.Addr().String())
	must(t, err)
	defer conn.Close()
	_, err = fmt.Fprint(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	must(t, err)
	must(t, conn.SetReadDeadline(time.Now().Add(hangGuard)))
	answer, err := io.ReadAll(conn) // till the server closes
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400 ") {
		t.Errorf("%q, %v", answer, err)
	}
}

func TestQueueWithoutWorkerSaysSo(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{WorkerWait: 50 * time.Millisecond}, nil)
	resp := n.post(ask("hi", ``))
	if _, code, _ := errorCode(t, read(t, resp)); resp.StatusCode != 503 || code != "no_worker" || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s %v", resp.StatusCode, code, resp.Header)
	}
	if log := n.logged.String(); !strings.Contains(log, `"pool":"default"`) {
		t.Errorf("the log does not name the pool: %s", log)
	}
	if e := n.usage(1)[0]; e.Status != 503 || e.ErrorCode != "no_worker" || e.Attempts != 0 || e.Usage != (chat.Usage{}) {
		t.Errorf("recorded %+v", e)
	}
}

func TestAnswerThatTakesTooLong(t *testing.T) {
	n := openNode(t, Config{TurnTimeout: 2 * time.Second}, queue.OwnerConfig{}, func(ctx context.Context, p *play) {
		p.begin()
		<-ctx.Done()
		p.fail(chat.CodeCancelled, "cancelled", 0)
	})
	resp := n.post(ask("hi", ``))
	if _, code, _ := errorCode(t, read(t, resp)); resp.StatusCode != 504 || code != "turn_timeout" {
		t.Errorf("%d %s", resp.StatusCode, code)
	}
	n.usage(1)
}

func TestClosingServerFinishesRunningAnswers(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	n := openNode(t, Config{}, queue.OwnerConfig{}, func(ctx context.Context, p *play) {
		close(started)
		<-release
		echo(ctx, p)
	})
	var closed sync.WaitGroup
	closed.Go(func() {
		<-started
		closed.Go(func() { must(t, n.Close(testContext(t))) })
		eventually(t, "the end of the intake", func() bool {
			conn, err := net.Dial("tcp", n.Addr().String())
			if err == nil {
				conn.Close()
			}
			return err != nil
		})
		close(release)
	})
	if body := read(t, n.post(ask("done", ``))); !strings.Contains(body, "done") {
		t.Errorf("got %s", body)
	}
	closed.Wait()
}

func TestClosingServerCancelsWhatIsLeft(t *testing.T) {
	started := make(chan struct{})
	n := openNode(t, Config{}, queue.OwnerConfig{}, func(ctx context.Context, p *play) {
		p.begin()
		close(started)
		<-ctx.Done()
		p.fail(chat.CodeCancelled, "cancelled", 0)
	})
	var closed sync.WaitGroup
	closed.Go(func() {
		<-started
		must(t, n.Close(cancelled()))
	})
	resp := n.post(ask("hi", ``))
	if _, code, _ := errorCode(t, read(t, resp)); resp.StatusCode != 503 || code != "no_worker" {
		t.Errorf("%d %s", resp.StatusCode, code)
	}
	closed.Wait()
	n.usage(1)
}

func TestManyStreamsEachHearTheirOwn(t *testing.T) {
	const streams = 200
	n := openNode(t, Config{}, queue.OwnerConfig{}, echo)
	n.client.Transport.(*http.Transport).MaxIdleConnsPerHost = streams
	var wg sync.WaitGroup
	for i := range streams {
		wg.Go(func() {
			want := strings.Repeat(fmt.Sprintf("stream %d ", i), 20)
			resp, err := n.try(testContext(t), http.MethodPost, "/v1/chat/completions", ask(want, `,"stream":true`))
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			data, _ := chunks(t, resp.Body)
			if got := said(t, data); got != want {
				t.Errorf("stream %d heard %q (status %d)", i, got, resp.StatusCode)
			}
		})
	}
	wg.Wait()
	ids := make(map[string]bool)
	for _, e := range n.usage(streams) {
		ids[e.ID] = true
	}
	if len(ids) != streams {
		t.Errorf("%d ids", len(ids))
	}
}
