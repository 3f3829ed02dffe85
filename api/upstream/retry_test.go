package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"maxrelay/api/key"
	"maxrelay/session/chat"
)

// step is one answer of a scripted upstream: a status, or 0 for a broken connection.
type step struct {
	status int
	header string // Name: value
}

func playing(t *testing.T, steps ...step) (*httptest.Server, *atomic.Int64) {
	asked := new(atomic.Int64)
	return serverOf(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if string(body) != streamRequest {
			t.Errorf("body %q", body)
		}
		n := asked.Add(1)
		s := steps[min(int(n), len(steps))-1]
		if s.status == 0 {
			panic(http.ErrAbortHandler)
		}
		if name, value, ok := strings.Cut(s.header, ": "); ok {
			w.Header().Set(name, value)
		}
		w.Header().Set("Attempt", fmt.Sprint(n))
		w.WriteHeader(s.status)
	}), asked
}

func TestRetries(t *testing.T) {
	type steps []step
	for name, tc := range map[string]struct {
		steps    steps
		retries  int
		status   int
		attempts int
		pauses   []time.Duration // -1: by backoff
	}{
		"nothing to retry":               {steps{{200, ""}}, 2, 200, 1, nil},
		"429":                            {steps{{429, ""}, {200, ""}}, 2, 200, 2, []time.Duration{-1}},
		"500":                            {steps{{500, ""}, {200, ""}}, 2, 200, 2, []time.Duration{-1}},
		"502":                            {steps{{502, ""}, {200, ""}}, 2, 200, 2, []time.Duration{-1}},
		"503":                            {steps{{503, ""}, {200, ""}}, 2, 200, 2, []time.Duration{-1}},
		"529":                            {steps{{529, ""}, {200, ""}}, 2, 200, 2, []time.Duration{-1}},
		"a broken connection":            {steps{{0, ""}, {200, ""}}, 2, 200, 2, []time.Duration{-1}},
		"different ones":                 {steps{{0, ""}, {529, ""}, {200, ""}}, 2, 200, 3, []time.Duration{-1, -1}},
		"as often as allowed":            {steps{{500, ""}}, 3, 500, 4, []time.Duration{-1, -1, -1}},
		"none allowed":                   {steps{{503, ""}, {200, ""}}, 0, 503, 1, nil},
		"broken to the end":              {steps{{0, ""}}, 1, 502, 2, []time.Duration{-1}},
		"400":                            {steps{{400, ""}, {200, ""}}, 2, 400, 1, nil},
		"404":                            {steps{{404, ""}, {200, ""}}, 2, 404, 1, nil},
		"408":                            {steps{{408, ""}, {200, ""}}, 2, 408, 1, nil},
		"501":                            {steps{{501, ""}, {200, ""}}, 2, 501, 1, nil},
		"504":                            {steps{{504, ""}, {200, ""}}, 2, 504, 1, nil},
		"a redirect":                     {steps{{307, "Location: /x"}, {200, ""}}, 2, 307, 1, nil},
		"401":                            {steps{{401, ""}, {200, ""}}, 2, 502, 1, nil},
		"told when":                      {steps{{429, "Retry-After: 7"}, {200, ""}}, 2, 200, 2, []time.Duration{7 * time.Second}},
		"told when, in milliseconds":     {steps{{529, "Retry-After-Ms: 250"}, {200, ""}}, 2, 200, 2, []time.Duration{250 * time.Millisecond}},
		"told at once":                   {steps{{503, "Retry-After: 0"}, {200, ""}}, 2, 200, 2, []time.Duration{0}},
		"told to come back much later":   {steps{{429, "Retry-After: 3600"}, {200, ""}}, 2, 429, 1, nil},
		"told nonsense":                  {steps{{429, "Retry-After: soon"}, {200, ""}}, 2, 200, 2, []time.Duration{-1}},
		"told not to":                    {steps{{529, "X-Should-Retry: false"}, {200, ""}}, 2, 529, 1, nil},
		"told to":                        {steps{{409, "X-Should-Retry: true"}, {200, ""}}, 2, 200, 2, []time.Duration{-1}},
		"told to, but there is no error": {steps{{200, "X-Should-Retry: true"}}, 2, 200, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			up, asked := playing(t, tc.steps...)
			r := openRelay(t, Config{Upstreams: []Upstream{{Name: "up", URL: up.URL, APIKey: operatorKey, MaxRetries: tc.retries}}})
			var pauses []time.Duration
			r.f.pause = func(_ context.Context, d time.Duration) error { pauses = append(pauses, d); return nil }
			resp, _, result := r.post(streamRequest)
			if resp.StatusCode != tc.status || result.Attempts != tc.attempts || asked.Load() != int64(tc.attempts) || result.Status != tc.status {
				t.Errorf("status %d after %d attempts: %+v", resp.StatusCode, asked.Load(), result)
			}
			if tc.status != 502 && resp.Header.Get("Attempt") != fmt.Sprint(tc.attempts) {
				t.Errorf("the answer is that of attempt %s", resp.Header.Get("Attempt"))
			}
			if len(pauses) != len(tc.pauses) {
				t.Fatalf("paused %v, want %v", pauses, tc.pauses)
			}
			for i, want := range tc.pauses {
				if least := 375 * time.Millisecond << i; want >= 0 && pauses[i] != want || want < 0 && (pauses[i] < least || pauses[i] > 2*least) {
					t.Errorf("paused %v, want %v", pauses, tc.pauses)
				}
			}
		})
	}
}

func TestALongerRetryAfterIsPassedBack(t *testing.T) {
	up, _ := playing(t, step{429, "Retry-After: 3600"})
	r := openRelay(t, Config{Upstreams: []Upstream{{URL: up.URL, MaxRetries: 2}}})
	if resp, _, result := r.post(streamRequest); resp.Header.Get("Retry-After") != "3600" || result.Code != chat.CodeRateLimited {
		t.Errorf("%v %+v", resp.Header, result)
	}
}

func closedPort(t *testing.T) *httptest.Server {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l.Close()
	return &httptest.Server{URL: "http://" + l.Addr().String()}
}

func TestTheNextUpstreamIsTried(t *testing.T) {
	fine := step{200, ""}
	server := func(s step) *httptest.Server { up, _ := playing(t, s); return up }
	for name, tc := range map[string]struct {
		first    *httptest.Server
		upstream string
		status   int
	}{
		"none of it is needed":      {server(fine), "a", 200},
		"it is down":                {closedPort(t), "b", 200},
		"it breaks the connection":  {server(step{0, ""}), "b", 200},
		"it is overloaded":          {server(step{529, ""}), "b", 200},
		"its limit is reached":      {server(step{429, "Retry-After: 3600"}), "b", 200},
		"it refuses the key":        {server(step{401, ""}), "b", 200},
		"it forbids":                {server(step{403, ""}), "b", 200},
		"the request is wrong":      {server(step{400, ""}), "a", 400},
		"retrying does not help":    {server(step{500, "X-Should-Retry: false"}), "a", 500},
		"what is asked for is gone": {server(step{404, ""}), "a", 404},
	} {
		t.Run(name, func(t *testing.T) {
			r := to(t, tc.first, server(fine))
			resp, _, result := r.post(streamRequest)
			if resp.StatusCode != tc.status || result.Upstream != tc.upstream {
				t.Errorf("status %d, %+v", resp.StatusCode, result)
			}
		})
	}
}

func TestTheLastUpstreamsAnswerCounts(t *testing.T) {
	refusing, _ := playing(t, step{401, ""})
	overloaded, _ := playing(t, step{529, "Retry-After: 3"})
	resp, _, result := to(t, closedPort(t), refusing, overloaded).post(streamRequest)
	if resp.StatusCode != 529 || resp.Header.Get("Retry-After") != "3" || result.Attempts != 3 || result.Upstream != "c" || result.Code != chat.CodeOverloaded {
		t.Errorf("status %d, %+v", resp.StatusCode, result)
	}
	r := to(t, overloaded, closedPort(t))
	wantFailure(t, r.do("POST", "/v1/messages", streamRequest), 502, "api_error")
	if log := r.logged.String(); !strings.Contains(log, "connection refused") || !strings.Contains(log, `"status":529`) || !strings.Contains(log, `"key":"k_1"`) {
		t.Errorf("log %s", log)
	}
}

func TestAnUpstreamThatDoesNotAnswerInTimeIsLeft(t *testing.T) {
	left := make(chan struct{}, 1)
	hanging := serverOf(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		left <- struct{}{}
	})
	fine, _ := playing(t, step{200, ""})
	slow := Upstream{Name: "slow", URL: hanging.URL, Timeout: 20 * time.Millisecond, MaxRetries: 3}

	r := openRelay(t, Config{Upstreams: []Upstream{slow, {Name: "fine", URL: fine.URL}}})
	if resp, _, result := r.post(streamRequest); resp.StatusCode != 200 || result.Upstream != "fine" || result.Attempts != 2 {
		t.Errorf("%d %+v", resp.StatusCode, result)
	}
	happens(t, "the end of the hanging request", left)

	r = openRelay(t, Config{Upstreams: []Upstream{slow}})
	wantFailure(t, r.do("POST", "/v1/messages", streamRequest), 502, "api_error")
	if result := r.result(); result.Code != chat.CodeUpstream || result.Attempts != 1 || !result.Estimated {
		t.Errorf("%+v", result)
	}
	happens(t, "the end of the hanging request", left)
}

// Ten minutes pass in no time here: both ends are in a bubble, joined by pipes.
func TestTheTimeoutEndsWithTheHeaders(t *testing.T) {
	for name, tc := range map[string]struct {
		wait, silence time.Duration // before the headers, and after them
		late          bool
	}{
		"answered in time, then silent": {9 * time.Minute, 24 * time.Hour, false},
		"answered too late":             {11 * time.Minute, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pipes := make(pipeListener)
				up := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body) // only then is a closed connection noticed
					_ = pause(r.Context(), tc.wait)
					stream(w)
					_ = pause(r.Context(), tc.silence)
					_, _ = io.WriteString(w, messageDelta)
				})}
				go func() { _ = up.Serve(pipes) }()
				f, err := New(Config{Upstreams: []Upstream{{URL: "http://upstream.example", Timeout: 10 * time.Minute}}}, zerolog.Nop())
				must(t, err)
				f.transport.DialContext = pipes.dial
				w := httptest.NewRecorder()
				result, err := f.Serve(w, httptest.NewRequest("POST", "/v1/messages", nil), []byte(streamRequest), Asked{Model: "m", Stream: true}, key.Identity{})
				if tc.late && (result.Code != chat.CodeUpstream || result.Status != 0 || err == nil || w.Body.Len() > 0) {
					t.Errorf("%+v, %v", result, err)
				}
				if !tc.late && (err != nil || w.Code != http.StatusOK || result.Usage.OutputTokens != 40) {
					t.Errorf("status %d, %+v, %v", w.Code, result, err)
				}
				f.Close()
				_ = up.Close()
			})
		})
	}
}

type pipeListener chan net.Conn

func (l pipeListener) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	l <- far
	return near, nil
}

func (l pipeListener) Accept() (net.Conn, error) {
	conn, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (l pipeListener) Close() error   { close(l); return nil }
func (l pipeListener) Addr() net.Addr { return new(net.TCPAddr) }

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 2, 24, 12, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		ms, s string
		want  time.Duration
		ok    bool
	}{
		"none":                 {"", "", 0, false},
		"seconds":              {"", "30", 30 * time.Second, true},
		"a part of one":        {"", "0.5", 500 * time.Millisecond, true},
		"milliseconds first":   {"20", "30", 20 * time.Millisecond, true},
		"broken milliseconds":  {"x", "30", 30 * time.Second, true},
		"a date":               {"", "Tue, 24 Feb 2026 12:00:05 GMT", 5 * time.Second, true},
		"a date in the past":   {"", "Tue, 24 Feb 2026 11:00:05 GMT", 0, true},
		"negative":             {"", "-1", 0, false},
		"not a number":         {"", "NaN", 0, false},
		"more than time holds": {"", "1e300", 1 << 60, true},
		"infinite":             {"", "Inf", 1 << 60, true},
		"words":                {"", "in a while", 0, false},
	} {
		got, ok := retryAfter(http.Header{"Retry-After-Ms": {tc.ms}, "Retry-After": {tc.s}}, now)
		if ok != tc.ok || ok && got != tc.want {
			t.Errorf("%s: %v, %t", name, got, ok)
		}
	}
}

func TestBackoffGrowsAndIsBounded(t *testing.T) {
	for n, most := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 8 * time.Second} {
		var seen []time.Duration
		for range 100 {
			d := backoff(nil, 500*time.Millisecond, n, time.Time{})
			if d > most || d < most*3/4 {
				t.Fatalf("retry %d after %v, want up to %v", n, d, most)
			}
			seen = append(seen, d)
		}
		if slices.Min(seen) == slices.Max(seen) {
			t.Errorf("retry %d is always after %v", n, seen[0])
		}
	}
	if d := backoff(nil, time.Second, 1<<40, time.Time{}); d > maxBackoff || d <= 0 {
		t.Errorf("after many retries: %v", d)
	}
}

func TestAPauseEndsWithItsContext(t *testing.T) {
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(gone)
	if err := pause(ctx, time.Hour); err != gone {
		t.Errorf("got %v", err)
	}
	if err := pause(context.Background(), 1); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestReasonsHoldNoWordsOfAnUpstream(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{errTimeout, "no answer in time"},
		{errors.New(`malformed HTTP response "CANARY"`), "the connection broke"},
		{&net.OpError{Op: "read", Err: errors.New("CANARY")}, "the connection broke"},
		{fmt.Errorf("x: %w", &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}), "dial tcp: connection refused"},
	} {
		if got := reason(tc.err); got != tc.want {
			t.Errorf("%v: %s", tc.err, got)
		}
	}
}
