package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"maxrelay/api/key"
	"maxrelay/api/limit"
	"maxrelay/queue"
	"maxrelay/session/chat"
)

// openLimits opens a limiter without limits until a test sets them. It waits for the
// broker as long as a busy machine may take, or as a test says.
// It does not look after its streams by itself: a test that takes one away means it.
func openLimits(t *testing.T, nc *nats.Conn, now func() time.Time, wait time.Duration) *limit.Limiter {
	t.Helper()
	limits, err := limit.Open(testContext(t), nc, limit.Config{Node: "n", RateWait: wait, QuotaWait: wait, Now: now, Tick: time.Hour}, zerolog.Nop())
	must(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		limits.Close(ctx)
	})
	return limits
}

// daily gives every key so many tokens a day.
func (n *node) daily(tokens int64) { n.limits.SetPolicy(limit.Policy{Daily: tokens}) }

// mustHaveUsed waits until the caller without a key has used so many tokens today and has
// none reserved.
func (n *node) mustHaveUsed(tokens int64) {
	n.t.Helper()
	eventually(n.t, fmt.Sprint(tokens, " tokens to be used"), func() bool { return n.limits.Tokens(key.Local, true) == tokens })
}

// mustBeToldWhatIsLeft checks an error that is the whole answer: what its request had
// reserved was given back before.
func (n *node) mustBeToldWhatIsLeft(resp *http.Response) {
	n.t.Helper()
	told := rates(resp.Header, "Tokens")
	limit, _ := strconv.ParseInt(told[0], 10, 64)
	if want := strconv.FormatInt(limit-n.limits.Tokens(key.Local, true), 10); limit == 0 || told[1] != want {
		n.t.Errorf("%d: %s tokens of %s are told to be left, want %s", resp.StatusCode, told[1], told[0], want)
	}
}

// sum is the tokens of all usage events, of which there must be so many.
func (n *node) sum(events int) (tokens int64) {
	n.t.Helper()
	for _, e := range n.usage(events) {
		tokens += int64(e.Usage.Total())
	}
	return tokens
}

// rates are the headers that tell of a rate or of tokens: limit, remaining, reset.
func rates(h http.Header, of string) [3]string {
	return [3]string{h.Get("X-Ratelimit-Limit-" + of), h.Get("X-Ratelimit-Remaining-" + of), h.Get("X-Ratelimit-Reset-" + of)}
}

func TestARequestAboveItsRateIsToldWhenToComeBack(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, echo)
	n.limits.SetPolicy(limit.Policy{Rate: limit.Rate{Requests: 2, Period: time.Hour}})
	for i, more := range []string{``, `,"stream":true`} {
		resp := n.post(ask("hi", more))
		read(t, resp)
		if got, want := rates(resp.Header, "Requests"), [3]string{"2", strconv.Itoa(1 - i), "1h0m0s"}; got != want {
			t.Errorf("request %d: %q, want %q", i, got, want)
		}
		if got := rates(resp.Header, "Tokens"); got != [3]string{} {
			t.Errorf("a key without a quota is told of tokens: %q", got)
		}
	}
	resp := n.post(ask("hi", ``))
	kind, code, _ := errorCode(t, read(t, resp))
	if resp.StatusCode != http.StatusTooManyRequests || kind != "rate_limit_error" || code != "rate_limit_exceeded" || resp.Header.Get("X-Should-Retry") != "" {
		t.Errorf("%d %s %s %v", resp.StatusCode, kind, code, resp.Header)
	}
	if wait, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || wait < 3500 || wait > 3600 {
		t.Errorf("retry-after %q, want that of the oldest request", resp.Header.Get("Retry-After"))
	}
	if got := rates(resp.Header, "Requests"); got[1] != "0" {
		t.Errorf("refused with %q left", got)
	}
	n.usage(2) // none of the refused one
}

func TestARequestAboveItsQuotaIsRefused(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, echo)
	n.daily(32)
	resp := n.post(ask("hi", ``)) // reserves all that is left, and uses 32
	if got := rates(resp.Header, "Tokens"); resp.StatusCode != http.StatusOK || got[0] != "32" || got[1] != "0" {
		t.Errorf("%d %q", resp.StatusCode, got)
	}
	resp = n.post(ask("hi", ``))
	kind, code, _ := errorCode(t, read(t, resp))
	if resp.StatusCode != http.StatusTooManyRequests || kind != "insufficient_quota" || code != "insufficient_quota" || resp.Header.Get("X-Should-Retry") != "false" {
		t.Errorf("%d %s %s %v", resp.StatusCode, kind, code, resp.Header)
	}
	midnight := time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	if wait, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || time.Until(midnight)-time.Duration(wait)*time.Second > time.Minute {
		t.Errorf("retry-after %q, want midnight UTC", resp.Header.Get("Retry-After"))
	}
	n.mustHaveUsed(n.sum(1))
}

func TestALifetimeQuotaIsNotHealedByTime(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, nil)
	x := n.newExchange(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, chatRoute, nil))
	x.identity = key.Identity{ID: "k_1", Managed: true, TokenLimit: 10}
	_, err := n.admit(testContext(t), x, limit.Ask{Input: 11})
	x.fail(err)
	if h := x.Header(); x.status != http.StatusTooManyRequests || h.Get("Retry-After") != "" || h.Get("X-Should-Retry") != "false" || rates(h, "Tokens") != [3]string{"10", "10", ""} {
		t.Errorf("%d %v", x.status, h)
	}
}

// Whoever has read an answer to its end may ask again at once and is judged by the true
// counts.
func TestTokensAreSettledBeforeAnAnswerEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		more string
		each int64
	}{
		"not streaming": {``, 32}, "streaming": {`,"stream":true`, 32}, "several": {`,"n":2`, 64}, "several streams": {`,"n":2,"stream":true`, 64},
	} {
		t.Run(name, func(t *testing.T) {
			n := openNode(t, Config{}, queue.OwnerConfig{}, echo)
			n.daily(100_000)
			used := int64(0)
			for range 3 {
				resp := n.post(ask("hi", tc.more))
				if strings.Contains(tc.more, "stream") {
					readUntilDone(t, resp)
				} else {
					read(t, resp)
				}
				if used += tc.each; n.limits.Tokens(key.Local, true) != used {
					t.Errorf("%d tokens are counted, want %d", n.limits.Tokens(key.Local, true), used)
				}
			}
			if got := n.sum(3); got != used {
				t.Errorf("the events have %d tokens, want %d", got, used)
			}
		})
	}
}

// readUntilDone reads a stream's end mark, which is before the end of its body.
func readUntilDone(t *testing.T, resp *http.Response) {
	t.Helper()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if lines.Text() == "data: [DONE]" {
			return
		}
	}
	t.Fatalf("no end mark: %v", lines.Err())
}

func TestWhatIsReservedIsReleased(t *testing.T) {
	leave := func(n *node, more string, told <-chan struct{}) {
		ctx, cancel := context.WithCancel(testContext(n.t))
		defer cancel()
		left := make(chan struct{})
		go func() {
			defer close(left)
			if resp, err := n.try(ctx, http.MethodPost, chatRoute, ask("hi", more)); err == nil {
				resp.Body.Close()
			}
		}()
		<-told
		cancel()
		<-left
	}
	for name, tc := range map[string]struct {
		run   func(told chan<- struct{}) script
		more  string
		cause func(n *node, more string, told <-chan struct{})
	}{
		"by a failure": {func(chan<- struct{}) script {
			return func(_ context.Context, p *play) { p.fail(chat.CodeRateLimited, "slow down", 0) }
		}, ``, nil},
		"by a failure of one of several": {func(chan<- struct{}) script {
			return func(_ context.Context, p *play) { p.begin(); p.fail(chat.CodeInvalid, "no", 0) }
		}, `,"n":3`, nil},
		"by a failure before the first content of a stream": {func(chan<- struct{}) script {
			return func(_ context.Context, p *play) { p.begin(); p.fail(chat.CodeInvalid, "no", 0) }
		}, `,"stream":true`, nil},
		"by a failure behind the first content": {func(chan<- struct{}) script {
			return func(_ context.Context, p *play) { p.begin(); p.text("some"); p.fail(chat.CodeWorkerFailed, "died", 0) }
		}, `,"stream":true`, nil},
		"by a client that leaves": {func(told chan<- struct{}) script {
			return func(ctx context.Context, p *play) {
				p.begin()
				close(told)
				<-ctx.Done()
				p.fail(chat.CodeCancelled, "cancelled", 0)
			}
		}, ``, leave},
		"by a client that leaves a stream": {func(told chan<- struct{}) script {
			return func(ctx context.Context, p *play) {
				p.begin()
				p.text("some words")
				close(told)
				<-ctx.Done()
				p.fail(chat.CodeCancelled, "cancelled", 0)
			}
		}, `,"stream":true`, leave},
	} {
		t.Run(name, func(t *testing.T) {
			told := make(chan struct{})
			n := openNode(t, Config{}, queue.OwnerConfig{}, tc.run(told))
			n.daily(1000)
			if tc.cause != nil {
				tc.cause(n, tc.more, told)
				n.mustHaveUsed(n.sum(1))
				return
			}
			resp := n.post(ask("hi", tc.more))
			read(t, resp)
			n.mustHaveUsed(n.sum(1))
			if resp.StatusCode != http.StatusOK {
				n.mustBeToldWhatIsLeft(resp)
			}
		})
	}
}

func TestWhatIsReservedIsReleasedWhenTheWorkerIsLost(t *testing.T) {
	var worker atomic.Pointer[nats.Conn]
	n := openNode(t, Config{}, queue.OwnerConfig{MaxAttempts: 1}, nil)
	worker.Store(n.join("mortal", func(ctx context.Context, p *play) {
		p.begin()
		p.text("some words")
		worker.Load().Close()
		<-ctx.Done()
	}))
	n.daily(1000)
	resp := n.post(ask("hi", ``))
	if _, code, _ := errorCode(t, read(t, resp)); code != "worker_failed" {
		t.Errorf("%d %s", resp.StatusCode, code)
	}
	n.mustHaveUsed(n.sum(1))
	n.mustBeToldWhatIsLeft(resp)
}

func TestWhatIsReservedIsReleasedWhenNobodyCanServe(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{WorkerWait: 20 * time.Millisecond}, nil)
	n.daily(1000)
	for _, more := range []string{``, `,"stream":true`, `,"n":2`} {
		resp := n.post(ask("hi", more))
		if read(t, resp); resp.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%d", resp.StatusCode)
		}
		n.mustBeToldWhatIsLeft(resp)
	}
	n.mustHaveUsed(n.sum(3))
}

// panicky is a client's connection that breaks the server.
type panicky struct{ *httptest.ResponseRecorder }

const curse = "the connection is cursed"

func (p *panicky) Write([]byte) (int, error) { panic(curse) }

// panics serves a request over such a connection. That the error cannot be written either
// is what comes out, or that the answer is cut.
func (n *node) panics(path, body string) {
	n.t.Helper()
	defer func() {
		if p := recover(); p != curse && p != http.ErrAbortHandler {
			n.t.Fatalf("it panicked with %v", p)
		}
	}()
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Host = "localhost"
	n.observe(n.guard(n.clients.router)).ServeHTTP(&panicky{httptest.NewRecorder()}, r)
}

func TestAPanicIsBookedAndReleased(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, echo)
	n.daily(1000)
	n.panics(chatRoute, ask("hi", `,"stream":true`))
	if e := n.usage(1)[0]; e.ErrorCode != "internal_error" {
		t.Errorf("recorded %+v", e)
	}
	n.mustHaveUsed(n.sum(1))
}

func TestARepeatedKeyIsAdmittedOnce(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, echo)
	n.limits.SetPolicy(limit.Policy{Rate: limit.Rate{Requests: 2, Period: time.Hour}, Daily: 1000})
	for range 4 {
		resp := n.mustName("k", ask("hi", ``))
		read(t, resp)
		if got := rates(resp.Header, "Requests"); resp.StatusCode != http.StatusOK || got[1] != "1" {
			t.Errorf("%d %q", resp.StatusCode, got)
		}
	}
	read(t, n.mustName("another", ask("hi", ``)))
	if resp := n.mustName("k", ask("hi", ``)); rates(resp.Header, "Requests")[1] != "0" {
		t.Errorf("a replay tells how its key stood once: %v", resp.Header)
	}
	if resp := n.mustName("third", ask("hi", ``)); resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	n.mustHaveUsed(n.sum(2))
	n.limits.SetPolicy(limit.Policy{})
	if resp := n.mustName("third", ask("hi", ``)); resp.StatusCode != http.StatusOK {
		t.Errorf("a refusal was kept: %d", resp.StatusCode)
	}
}

func TestTokensOfADayAreThereAgainAfterMidnight(t *testing.T) {
	var now atomic.Pointer[time.Time]
	set := func(at time.Time) { now.Store(&at) }
	set(time.Date(2026, 3, 31, 23, 59, 30, 0, time.UTC))
	n := openNode(t, Config{Now: func() time.Time { return *now.Load() }}, queue.OwnerConfig{}, echo)
	n.daily(40)
	read(t, n.post(ask("hi", ``)))
	resp := n.post(ask(strings.Repeat("words ", 20), ``))
	if read(t, resp); resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") != "30" || rates(resp.Header, "Tokens") != [3]string{"40", "8", "30s"} {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	set(now.Load().Add(time.Minute))
	resp = n.post(ask(strings.Repeat("words ", 20), ``))
	if read(t, resp); resp.StatusCode != http.StatusOK || rates(resp.Header, "Tokens") != [3]string{"40", "8", "23h59m30s"} {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
	for i, e := range n.usage(2) {
		if want := 31 - 30*i; e.Time.Day() != want {
			t.Errorf("event %d is of %v", i, e.Time)
		}
	}
}

func TestHealthWarnsWhenLimitsAreNotKept(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, echo)
	away, err := n.broker.Connect("limits")
	must(t, err)
	n.Server.limits = openLimits(t, away, nil, 50*time.Millisecond)
	n.daily(1000)
	away.Close()
	resp := n.post(ask("hi", ``))
	if _, code, _ := errorCode(t, read(t, resp)); resp.StatusCode != http.StatusServiceUnavailable || code != "no_worker" || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a request that needs a reservation: %d %s %v", resp.StatusCode, code, resp.Header)
	}
	var h struct{ Warning string }
	must(t, json.Unmarshal([]byte(read(t, n.do(testContext(t), http.MethodGet, healthRoute, ""))), &h))
	if !strings.Contains(h.Warning, "quotas") {
		t.Errorf("health warns of %q", h.Warning)
	}
	n.usage(0)
}
