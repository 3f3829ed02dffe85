package api

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"maxrelay/queue"
	"maxrelay/session/chat"
)

// named asks under an Idempotency-Key.
func (n *node) named(ctx context.Context, name, body string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, n.URL()+"/v1/chat/completions", strings.NewReader(body))
	must(n.t, err)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", name)
	return n.client.Do(r)
}

func (n *node) mustName(name, body string) *http.Response {
	n.t.Helper()
	resp, err := n.named(testContext(n.t), name, body)
	must(n.t, err)
	return resp
}

func TestARepeatedKeyGetsTheFinishedAnswer(t *testing.T) {
	for name, more := range map[string]string{"not streaming": ``, "streaming": `,"stream":true`} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			n := openNode(t, Config{}, queue.OwnerConfig{}, func(_ context.Context, p *play) {
				asked.Add(1)
				p.answer("hello there")
			})
			first := n.mustName("k", ask("hi", more))
			body := read(t, first)
			again := n.mustName("k", ask("hi", more))
			if got := read(t, again); got != body || again.StatusCode != http.StatusOK {
				t.Errorf("%d %s\nwant %s", again.StatusCode, got, body)
			}
			if first.Header.Get("Idempotent-Replayed") != "" || again.Header.Get("Idempotent-Replayed") != "true" {
				t.Errorf("replayed: %q then %q", first.Header, again.Header)
			}
			for _, h := range []string{"Content-Type", "X-Maxrelay-Session", "X-Maxrelay-Worker"} {
				if first.Header.Get(h) != again.Header.Get(h) {
					t.Errorf("%s: %q then %q", h, first.Header.Get(h), again.Header.Get(h))
				}
			}
			if asked.Load() != 1 {
				t.Errorf("the model was asked %d times", asked.Load())
			}
			n.usage(1)

			other := n.mustName("another", ask("hi", more))
			if read(t, other) == body || asked.Load() != 2 {
				t.Errorf("another key got the same answer")
			}
			reused := n.mustName("k", ask("something else", more))
			if _, code, _ := errorCode(t, read(t, reused)); reused.StatusCode != http.StatusUnprocessableEntity || code != "idempotency_key_reused" {
				t.Errorf("%d %s", reused.StatusCode, code)
			}
		})
	}
}

func TestARepeatedKeyAttachesToTheRunningAnswer(t *testing.T) {
	for name, more := range map[string]string{"not streaming": ``, "streaming": `,"stream":true`} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			said, goOn := make(chan struct{}), make(chan struct{})
			n := openNode(t, Config{}, queue.OwnerConfig{}, func(_ context.Context, p *play) {
				asked.Add(1)
				p.begin()
				p.text("first ")
				close(said)
				<-goOn
				p.text("second")
				p.finish()
			})
			ctx, leave := context.WithCancel(testContext(t))
			var all sync.WaitGroup
			defer all.Wait()
			all.Go(func() { // leaves before the end
				if resp, err := n.named(ctx, "k", ask("hi", more)); err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			})
			<-said
			bodies := make(chan string, 2)
			for range 2 {
				all.Go(func() { bodies <- read(t, n.mustName("k", ask("hi", more))) })
			}
			eventually(t, "all to wait for one answer", func() bool { return n.waitingFor("k") == 3 })
			leave()
			eventually(t, "the first to have left", func() bool { return n.waitingFor("k") == 2 })
			close(goOn)
			one, two := <-bodies, <-bodies
			if one != two || !strings.Contains(one, "first ") || !strings.Contains(one, "second") {
				t.Errorf("%s\nand\n%s", one, two)
			}
			if asked.Load() != 1 {
				t.Errorf("the model was asked %d times", asked.Load())
			}
			n.usage(1)
		})
	}
}

// waitingFor is how many requests wait for the answer of that name.
func (n *node) waitingFor(name string) int {
	n.answers.mu.Lock()
	defer n.answers.mu.Unlock()
	if a := n.answers.named[nameOf("local", name)]; a != nil {
		return a.readers
	}
	return 0
}

func TestAnAnswerThatNobodyWaitsForIsCancelledAndForgotten(t *testing.T) {
	started, stopped := make(chan struct{}), make(chan error, 1)
	var asked atomic.Int32
	n := openNode(t, Config{}, queue.OwnerConfig{}, func(ctx context.Context, p *play) {
		if asked.Add(1) > 1 {
			p.answer("anew")
			return
		}
		p.begin()
		p.text("some words")
		close(started)
		<-ctx.Done()
		stopped <- context.Cause(ctx)
		p.end(queue.End{}, chat.Outcome{Error: &chat.Error{Code: chat.CodeCancelled, Message: "cancelled"}})
	})
	ctx, leave := context.WithCancel(testContext(t))
	go func() {
		<-started
		leave()
	}()
	if resp, err := n.named(ctx, "k", ask("hi", `,"stream":true`)); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	<-stopped
	if e := n.usage(1)[0]; e.ErrorCode != "cancelled" {
		t.Errorf("recorded %q", e.ErrorCode)
	}
	if body := read(t, n.mustName("k", ask("hi", ``))); !strings.Contains(body, "anew") {
		t.Errorf("got %s", body)
	}
}

func TestAFailedAnswerIsNotKept(t *testing.T) {
	var asked atomic.Int32
	n := openNode(t, Config{}, queue.OwnerConfig{}, func(_ context.Context, p *play) {
		if asked.Add(1) == 1 {
			p.end(queue.End{}, chat.Outcome{Error: &chat.Error{Code: chat.CodeRateLimited, Message: "slow down"}})
			return
		}
		p.answer("now")
	})
	if resp := n.mustName("k", ask("hi", ``)); resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("status %d", resp.StatusCode)
	} else {
		read(t, resp)
	}
	if resp := n.mustName("k", ask("hi", ``)); resp.StatusCode != http.StatusOK {
		t.Errorf("status %d: %s", resp.StatusCode, read(t, resp))
	} else {
		read(t, resp)
	}
}

func TestAKeyOfAnotherNodeIsAConflict(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, func(_ context.Context, p *play) { p.answer("hello") })
	other, err := queue.NewOwner(testContext(t), n.nc, nil, queue.OwnerConfig{}, n.log)
	must(t, err)
	must(t, other.Mark(testContext(t), nameOf("local", "k")))
	resp := n.mustName("k", ask("hi", ``))
	if _, code, _ := errorCode(t, read(t, resp)); resp.StatusCode != http.StatusConflict || code != "idempotency_conflict" || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s %v", resp.StatusCode, code, resp.Header)
	}
	other.Close(cancelled())
	if resp := n.mustName("k", ask("hi", ``)); resp.StatusCode != http.StatusOK {
		t.Errorf("after that node's end: %d %s", resp.StatusCode, read(t, resp))
	} else {
		read(t, resp)
	}
}

func TestKeptAnswersAreBounded(t *testing.T) {
	now := time.Unix(0, 0)
	table := newAnswers(2*answerOverhead + 100)
	table.now = func() time.Time { return now }
	keep := func(name, text string) {
		t.Helper()
		a, made, err := table.join(name, [32]byte{})
		if err != nil || !made {
			t.Fatal(name, made, err)
		}
		a.cancel = func(error) {}
		a.WriteHeader(http.StatusOK)
		if _, err := a.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		table.finish(a, "")
		table.leave(a)
	}
	known := func(name string) bool { return table.named[name] != nil }

	keep("a", strings.Repeat("a", 60))
	keep("b", strings.Repeat("b", 60)) // a gives way
	if known("a") || !known("b") {
		t.Errorf("kept: %v", table.named)
	}
	now = now.Add(queue.MarkTTL)
	keep("c", "c")
	if known("b") || !known("c") {
		t.Errorf("after their time: %v", table.named)
	}
	running, _, err := table.join("running", [32]byte{})
	must(t, err)
	running.WriteHeader(http.StatusOK)
	if _, err := running.Write(make([]byte, 4*answerOverhead)); err == nil {
		t.Error("an answer grew beyond the bound")
	}
	if table.finish(running, ""); known("running") {
		t.Error("a broken answer is kept")
	}
	if want := int64(0); len(table.named) == 0 && table.size != want {
		t.Errorf("%d bytes of nothing", table.size)
	}
}

func TestAFailureBehindTheHeadersLeavesThemAlone(t *testing.T) {
	table := newAnswers(maxAnswers)
	a, _, err := table.join("k", [32]byte{})
	must(t, err)
	s := bare(t, Config{})
	x := s.newExchange(a, httptest.NewRequest(http.MethodPost, "/", nil))
	p := &reply{server: s, x: x, q: &question{}, halt: func() {}}
	p.turns = []*turn{{reply: p, attempt: 1, worker: "first", session: chat.SessionNew}}
	p.see(p.turns[0])
	p.write([]byte("data: x\n\n"))
	p.turns[0].worker = "second" // others copy the headers by now
	p.fail(t.Context(), &chat.Error{Code: chat.CodeWorkerFailed, Message: "failed"})
	if got := a.header.Get("X-Maxrelay-Worker"); got != "first" {
		t.Errorf("the header says %q", got)
	}
}
