package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"maxrelay/api/key"
	"maxrelay/session/chat"
)

const streamRequest = `{"model":"claude-x","stream":true,"messages":[{"role":"user","content":"hello"}]}`

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

func stream(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.WriteHeader(200)
	flush(w)
}

// Each event is sent only when the one before it has arrived, and the first only when
// the status has.
func TestEventsArriveOneByOne(t *testing.T) {
	arrived := make(chan struct{})
	r := to(t, serverOf(t, func(w http.ResponseWriter, _ *http.Request) {
		stream(w)
		for range 5 {
			happens(t, "the arrival", arrived)
			_, _ = io.WriteString(w, "data: {}\n\n")
			flush(w)
		}
	}))
	resp := r.do("POST", "/v1/messages", streamRequest)
	lines := bufio.NewReader(resp.Body)
	for range 5 {
		arrived <- struct{}{}
		event, err := lines.ReadString('}')
		if err != nil || !strings.HasSuffix(event, "data: {}") {
			t.Fatalf("%q, %v", event, err)
		}
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	if result := r.result(); result.Bytes != 50 || result.First.IsZero() || result.Code != "" {
		t.Errorf("%+v", result)
	}
}

func TestACutAnswerIsCutForTheClientToo(t *testing.T) {
	for name, begin := range map[string]func(http.ResponseWriter){
		"a stream":              func(w http.ResponseWriter) { stream(w); _, _ = io.WriteString(w, messageStart) },
		"an answer of a length": func(w http.ResponseWriter) { w.Header().Set("Content-Length", "100"); _, _ = io.WriteString(w, "{") },
		"gzip": func(w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(zipped("hello")[:12])
		},
		"no gzip": func(w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "CANARY is not gzip")
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := to(t, serverOf(t, func(w http.ResponseWriter, _ *http.Request) {
				begin(w)
				flush(w)
				panic(http.ErrAbortHandler)
			}))
			resp, err := r.try(testContext(t), "POST", "/v1/messages", streamRequest)
			if err == nil { // else it was cut before its status was on its way
				_, err = io.ReadAll(resp.Body)
			}
			if err == nil {
				t.Error("the client saw a whole answer")
			}
			result := r.result()
			if result.Status != 200 || result.Code != chat.CodeUpstream || !result.Estimated || result.Usage.PromptTokens() == 0 {
				t.Errorf("%+v", result)
			}
		})
	}
}

func TestAClientThatLeavesEndsTheUpstreamsRequest(t *testing.T) {
	for name, tc := range map[string]struct {
		begin  func(http.ResponseWriter)
		status int
		tls    bool
	}{
		"before the headers":        {func(http.ResponseWriter) {}, 499, false},
		"in a stream":               {stream, 200, false},
		"in an answer in one piece": {func(w http.ResponseWriter) { _, _ = io.WriteString(w, "{"); flush(w) }, 200, false},
		"in a stream over HTTP/2":   {stream, 200, true},
	} {
		t.Run(name, func(t *testing.T) {
			begun, ended := make(chan struct{}), make(chan struct{})
			up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if tc.tls && r.ProtoMajor != 2 {
					t.Errorf("asked with %s", r.Proto)
				}
				_, _ = io.Copy(io.Discard, r.Body)
				tc.begin(w)
				close(begun)
				<-r.Context().Done()
				close(ended)
			}))
			if up.EnableHTTP2 = tc.tls; tc.tls {
				up.StartTLS()
			} else {
				up.Start()
			}
			t.Cleanup(up.Close)
			r := to(t, up)
			if tc.tls {
				r.f.transport.TLSClientConfig = up.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
			}
			ctx, leave := context.WithCancel(testContext(t))
			answered := make(chan struct{})
			go func() {
				defer close(answered)
				if _, err := r.try(ctx, "POST", "/v1/messages", streamRequest); (err != nil) != (tc.status == 499) {
					t.Errorf("before it left, the client got %v", err)
				}
			}()
			happens(t, "the upstream's begin", begun)
			if tc.status != 499 {
				happens(t, "the answer's begin", answered)
			}
			leave()
			<-answered
			happens(t, "the upstream's end", ended)
			result := r.result()
			if result.Status != tc.status || result.Code != chat.CodeCancelled || !result.Estimated || result.Usage.InputTokens == 0 {
				t.Errorf("%+v", result)
			}
		})
	}
}

func TestAClientThatLeavesBetweenAttemptsIsNotAskedForAgain(t *testing.T) {
	ctx, leave := context.WithCancel(testContext(t))
	r := openRelay(t, Config{Upstreams: []Upstream{{URL: saying(t, 529, "application/json", "{}").URL, MaxRetries: 5}}})
	r.f.pause = func(ctx context.Context, _ time.Duration) error {
		leave()
		<-ctx.Done()
		return context.Cause(ctx)
	}
	if _, err := r.try(ctx, "POST", "/v1/messages", streamRequest); err == nil {
		t.Error("got an answer")
	}
	if result := r.result(); result.Attempts != 1 || result.Status != 499 || result.Code != chat.CodeCancelled || result.Estimated {
		t.Errorf("%+v", result)
	}
}

func TestWhyARequestEndedIsTold(t *testing.T) {
	stopping := errors.New("stopping")
	for name, tc := range map[string]struct {
		cause error
		code  chat.Code
	}{
		"the server stops": {stopping, chat.CodeNoWorker},
		"its time is over": {context.DeadlineExceeded, chat.CodeTurnTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(context.Background())
			f := to(t, serverOf(t, func(_ http.ResponseWriter, r *http.Request) {
				cancel(tc.cause)
				<-r.Context().Done()
			})).f
			w := httptest.NewRecorder()
			result, err := f.Serve(w, httptest.NewRequest("GET", "/v1/files", nil).WithContext(ctx), nil, Asked{}, key.Identity{})
			told, ok := errors.AsType[*chat.Error](err)
			if !ok || told.Code != tc.code || told.Message == "" || result.Code != tc.code || result.Status != 0 || w.Body.Len() > 0 {
				t.Errorf("%+v, %v", result, err)
			}
		})
	}
}
