package anthropictest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// The API refuses bodies over 32 MB; the fake takes more, so that it is never the fake that a test of limits measures.
const maxBody = 128 << 20

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		return
	}
	defer s.handlers.Done()

	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return // the client is gone, or mad
	}
	asked := Request{RemoteAddr: r.RemoteAddr, Method: r.Method, Path: r.URL.RequestURI(), Header: r.Header.Clone(), Raw: raw}
	entry := s.log.add(&asked)
	x := &exchange{s: s, w: w, r: r, entry: entry, ctl: http.NewResponseController(w)}
	stop := context.AfterFunc(r.Context(), x.left)
	s.route(x, asked)
	if !stop() || r.Context().Err() != nil {
		x.left() // it may not have come to it yet, or a context just ended was outrun by stop
	}
	s.log.update(entry, func(e *Request, now time.Time) { e.Finished = now })
}

// enter counts a running handler, unless Close has begun.
func (s *Server) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closing:
		return false
	default:
		s.handlers.Add(1)
		return true
	}
}

func (s *Server) route(x *exchange, r Request) {
	switch {
	case x.r.URL.Path == "/v1/messages" && r.Method == http.MethodPost:
		s.messages(x, r)
	case x.r.URL.Path == "/v1/messages/count_tokens" && r.Method == http.MethodPost:
		s.countTokens(x, r)
	case x.r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		x.json(http.StatusOK, struct{}{})
	default:
		x.fail(APIError{http.StatusNotFound, "not_found_error", "Not found"})
	}
}

func (s *Server) messages(x *exchange, r Request) {
	body, err := decodeBody(r.Raw)
	if err == nil {
		err = check(body)
	}
	if err != nil {
		x.fail(APIError{http.StatusBadRequest, "invalid_request_error", err.Error()})
		return
	}
	r.Body = body
	s.log.update(x.entry, func(e *Request, _ time.Time) { e.Body = body })
	x.play(fit(s.choose(r), body), body)
}

func (s *Server) countTokens(x *exchange, r Request) {
	body, err := decodeBody(r.Raw)
	if err != nil {
		x.fail(APIError{http.StatusBadRequest, "invalid_request_error", err.Error()})
		return
	}
	x.json(http.StatusOK, map[string]int{"input_tokens": estimate(body)})
}

// exchange is one request on its way to its answer; only its handler's goroutine uses it.
type exchange struct {
	s     *Server
	w     http.ResponseWriter
	r     *http.Request
	ctl   *http.ResponseController
	entry *Request // changed through s.log only
}

// left notes that the client closed, unless it had its whole answer or the fake itself is closing.
func (x *exchange) left() {
	select {
	case <-x.s.closing:
		return
	default:
	}
	x.s.log.update(x.entry, func(e *Request, now time.Time) {
		if !e.complete && e.Aborted.IsZero() {
			e.Aborted = now
		}
	})
}

// complete notes that what follows is the last the client gets, before it is sent: the client may close at once.
func (x *exchange) complete() {
	x.s.log.update(x.entry, func(e *Request, _ time.Time) { e.complete = true })
}

func (x *exchange) json(status int, v any) {
	x.complete()
	x.header("application/json", status)
	_ = json.NewEncoder(x.w).Encode(v) // a client that left is seen by its context
}

// header writes status and headers, and notes the status.
func (x *exchange) header(contentType string, status int) {
	x.w.Header().Set("Content-Type", contentType)
	x.w.Header().Set("Request-Id", x.s.id("req_"))
	x.s.log.update(x.entry, func(e *Request, _ time.Time) { e.Status = status })
	x.w.WriteHeader(status)
}

func (x *exchange) page(r Raw) {
	x.complete()
	x.header(r.ContentType, r.Status)
	_, _ = io.WriteString(x.w, r.Body) // as with json
}

func (x *exchange) fail(e APIError) { x.json(e.Status, errorBody(e)) }

func errorBody(e APIError) any {
	return map[string]any{"type": "error", "error": map[string]string{"type": e.Type, "message": e.Message}}
}

// cut ends the connection, with a reset or in the order of TCP.
func (x *exchange) cut(reset bool) {
	conn, _, err := x.ctl.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(interface{ SetLinger(int) error }); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// sleep waits and reports whether the client is still there.
func (x *exchange) sleep(d time.Duration) bool {
	if d <= 0 {
		return x.r.Context().Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	return x.await(t.C)
}

// stall waits until either side gives up.
func (x *exchange) stall() { x.await(nil) }

func (x *exchange) await(c <-chan time.Time) bool {
	select {
	case <-c:
		return true
	case <-x.r.Context().Done():
	case <-x.s.closing:
	}
	return false
}

// pass stands at a gate and reports whether the client is still there.
func (x *exchange) pass(g *Gate) bool {
	g.reach()
	select {
	case <-g.open:
		return true
	case <-x.r.Context().Done():
	case <-x.s.closing:
	}
	return false
}

// id makes an identifier that no other answer of this server has.
func (s *Server) id(prefix string) string {
	return fmt.Sprintf("%s01%s%06d", prefix, s.salt, s.ids.Add(1))
}
