package upstream

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"maxrelay/api/anthropic"
	"maxrelay/api/key"
	"maxrelay/session/chat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	// hangGuard ends a test that waits for something that never comes.
	hangGuard = 40 * time.Second

	// operatorKey must reach upstreams and nothing else. Whatever must reach nobody else
	// has CANARY in it.
	operatorKey = "sk-operator-CANARY"
)

// relay is a forwarder behind a server that reads bodies whole, as the API does.
type relay struct {
	*httptest.Server
	t       *testing.T
	f       *Forwarder
	results chan Result
	logged  *syncBuffer
}

func openRelay(t *testing.T, cfg Config) *relay {
	t.Helper()
	r := &relay{t: t, results: make(chan Result, 100), logged: new(syncBuffer)}
	var err error
	r.f, err = New(cfg, zerolog.New(r.logged))
	must(t, err)
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(func() {
		r.Close()
		r.f.Close()
		if log := r.logged.String(); strings.Contains(log, "CANARY") {
			t.Errorf("a secret is logged: %s", log)
		}
	})
	return r
}

func (r *relay) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("X-Request-Id", "ours")
	asked, err := Look(body)
	if err != nil {
		r.t.Error(err)
	}
	w.Header().Set("Request-Id", "ours")
	result, err := r.f.Serve(w, req, body, asked, key.Identity{ID: "k_1"})
	if wrong, ok := errors.AsType[*chat.Error](err); ok {
		f := anthropic.FailureOf(wrong, "ours")
		result.Status = f.Status
		defer func() {
			f.SetHeaders(w.Header())
			w.WriteHeader(f.Status)
			_, _ = w.Write(f.Body)
		}()
	}
	r.results <- result
	if errors.Is(err, ErrCut) {
		panic(http.ErrAbortHandler)
	}
}

// to is a relay to the given servers, without retries.
func to(t *testing.T, upstreams ...*httptest.Server) *relay {
	t.Helper()
	var cfg Config
	for i, u := range upstreams {
		cfg.Upstreams = append(cfg.Upstreams, Upstream{Name: string(rune('a' + i)), URL: u.URL, APIKey: operatorKey})
	}
	return openRelay(t, cfg)
}

func serverOf(t *testing.T, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

// saying is an upstream that always answers the same.
func saying(t *testing.T, status int, contentType, body string) *httptest.Server {
	return serverOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

func (r *relay) do(method, path, body string, header ...string) *http.Response {
	r.t.Helper()
	resp, err := r.try(testContext(r.t), method, path, body, header...)
	must(r.t, err)
	return resp
}

func (r *relay) try(ctx context.Context, method, path, body string, header ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, r.URL+path, strings.NewReader(body))
	must(r.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := r.Client().Transport.RoundTrip(req)
	if err == nil {
		r.t.Cleanup(func() { resp.Body.Close() })
	}
	return resp, err
}

// post asks a model and returns the answer's body and the result.
func (r *relay) post(body string) (*http.Response, string, Result) {
	r.t.Helper()
	resp := r.do(http.MethodPost, "/v1/messages", body)
	return resp, read(r.t, resp), r.result()
}

func (r *relay) result() Result {
	r.t.Helper()
	select {
	case result := <-r.results:
		return result
	case <-testContext(r.t).Done():
		r.t.Fatal("the request never ended")
		return Result{}
	}
}

// raw writes a request as it stands and returns the answer.
func (r *relay) raw(request string) *http.Response {
	r.t.Helper()
	conn, err := net.Dial("tcp", r.Listener.Addr().String())
	must(r.t, err)
	r.t.Cleanup(func() { conn.Close() })
	must(r.t, conn.SetDeadline(time.Now().Add(hangGuard)))
	_, err = io.WriteString(conn, request)
	must(r.t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(r.t, err)
	r.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), hangGuard)
	t.Cleanup(cancel)
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, resp *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(body)
}

// happens waits for an event.
func happens(t *testing.T, what string, event <-chan struct{}) {
	t.Helper()
	select {
	case <-event:
	case <-testContext(t).Done():
		t.Fatalf("never happened: %s", what)
	}
}

func wantFailure(t *testing.T, resp *http.Response, status int, kind string) {
	t.Helper()
	body := read(t, resp)
	var e struct {
		Type  string
		Error struct{ Type, Message string }
	}
	err := json.Unmarshal([]byte(body), &e)
	if resp.StatusCode != status || err != nil || e.Type != "error" || e.Error.Type != kind || e.Error.Message == "" {
		t.Errorf("status %d, want %d and %s: %s", resp.StatusCode, status, kind, body)
	}
	if strings.Contains(body, "CANARY") {
		t.Errorf("a secret is told: %s", body)
	}
}

// syncBuffer gathers the log.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
