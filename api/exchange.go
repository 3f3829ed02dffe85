package api

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"regexp"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/gorilla/mux"
	"github.com/rs/zerolog"

	"maxrelay/api/key"
	"maxrelay/api/usage"
	"maxrelay/session/chat"
)

// exchange is a request and its answer as far as the log and the usage record know
// them. It belongs to the goroutine of the request.
type exchange struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration // of a write

	id       string // ours, unique: the usage event is counted by it
	label    string // told to the client: the id it sent, if that is sane, else ours
	start    time.Time
	asked    time.Time // the same by the clock whose days are counted
	route    string    // the template, never the path
	speaks   *dialect
	identity key.Identity

	status   int // 0 until the header went out
	streamed bool
	sent     int64
	holds    int64  // of the budget for bodies
	code     string // what went wrong, a chat.Code
}

type exchangeKey struct{}

// exchangeOf returns the exchange that a request belongs to.
func exchangeOf(r *http.Request) *exchange {
	return r.Context().Value(exchangeKey{}).(*exchange)
}

// saneLabel is what is kept of a client's request id: it goes into logs and headers.
var saneLabel = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

func (s *Server) newExchange(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{
		ResponseWriter: w,
		control:        http.NewResponseController(w),
		timeout:        s.cfg.WriteTimeout,
		id:             newRequestID(time.Now()),
		start:          time.Now(),
		asked:          s.cfg.Now(),
		speaks:         dialectOf(r),
	}
	x.label = x.id
	if sent := r.Header.Get("X-Request-Id"); saneLabel.MatchString(sent) {
		x.label = sent
	}
	return x
}

// newRequestID returns an id that begins with its time, so that an index of ids in the
// order in which they are made grows at its end.
func newRequestID(now time.Time) string {
	return fmt.Sprintf("req_%011x%s", now.UnixMilli(), rand.Text()[:16]) // 16 digits of 5 bits each
}

// sentLabel is the client's own id of the request, "" if it gave none.
func (x *exchange) sentLabel() string {
	if x.label == x.id {
		return ""
	}
	return x.label
}

// Unwrap is for http.ResponseController.
func (x *exchange) Unwrap() http.ResponseWriter { return x.ResponseWriter }

// WriteHeader notes the status.
func (x *exchange) WriteHeader(status int) {
	if x.status == 0 {
		x.status = status
		ms := time.Since(x.start).Milliseconds()
		x.Header().Set("openai-processing-ms", fmt.Sprint(ms))
	}
	x.ResponseWriter.WriteHeader(status)
}

// Write gives the client its time for each write anew, so that a stream may last but
// a client that reads nothing is dropped.
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	_ = x.control.SetWriteDeadline(time.Now().Add(x.timeout)) // a writer without deadlines is a test's
	n, err := x.ResponseWriter.Write(p)
	x.sent += int64(n)
	return n, err
}

// observe wraps everything: it gives each request its id, catches panics and writes
// the access log.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := s.newExchange(w, r)
		_ = x.control.SetWriteDeadline(time.Time{}) // that of the connection's last request
		if r.Body != http.NoBody {
			// Also for a body nobody reads: net/http swallows the rest of one before it
			// takes the connection's next request.
			_ = x.control.SetReadDeadline(time.Now().Add(s.cfg.BodyIdle))
		}
		x.Header().Set("X-Request-Id", x.label)
		if x.speaks.id != "" {
			x.Header().Set(x.speaks.id, x.label)
		}
		defer s.noteEnd(x, r.Method)
		defer s.catch(x)
		next.ServeHTTP(x, r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x)))
	})
}

// catch turns a panic into an error the client understands, as far as there is still
// a place for it: a status, or the next event of a stream. An answer cut in the middle
// is cut for the client too.
func (s *Server) catch(x *exchange) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	if !s.tellPanic(x, p) {
		panic(http.ErrAbortHandler)
	}
}

// tellPanic logs a panic and tells the client, if there is a place for it.
func (s *Server) tellPanic(x *exchange, p any) bool {
	err := panicError(p)
	s.log.Error().Err(err).Str("request", x.label).Str("route", x.route).Bytes("stack", debug.Stack()).Msg("request panicked")
	switch {
	case x.status == 0:
		x.fail(err)
	case x.streamed:
		x.failStream(err)
	default:
		x.code = string(chat.CodeInternal)
		return false
	}
	return true
}

// panicError leaves the value out, which may hold anything, unless it is the runtime's.
func panicError(p any) error {
	if err, ok := p.(runtime.Error); ok {
		return fmt.Errorf("panic: %w", err)
	}
	return fmt.Errorf("panic of type %T", p)
}

func (s *Server) noteEnd(x *exchange, method string) {
	s.meters.request(x, method)
	s.logAccess(x, method)
}

func (s *Server) logAccess(x *exchange, method string) {
	event := s.log.Info()
	if x.route == healthRoute || x.route == metricsRoute {
		event = s.log.Debug() // programs ask every few seconds
	}
	if x.status >= http.StatusInternalServerError {
		event = s.log.Warn()
	}
	event.Str("request", x.label).Str("method", knownMethod(method)).Str("route", x.route).Int("status", x.status).
		Int64("ms", time.Since(x.start).Milliseconds()).Int64("bytes", x.sent)
	if x.identity.ID != "" {
		event.Str("key", x.identity.ID)
	}
	if x.code != "" {
		event.Str("error", x.code)
	}
	event.Msg("request")
}

// knownMethod keeps invented methods, which may be any text, out of the log.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}

func noteRoute(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if template, err := mux.CurrentRoute(r).GetPathTemplate(); err == nil {
			exchangeOf(r).route = template
		}
		next.ServeHTTP(w, r)
	})
}

// handler answers a request or says why not. An error after the header went out is
// the handler's own to tell.
type handler func(x *exchange, r *http.Request) error

func (s *Server) serve(h handler) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r)
		if err := h(x, r); err != nil {
			s.fail(x, err)
		}
	})
}

func (s *Server) fail(x *exchange, err error) {
	f := x.fail(err)
	if f.Status < http.StatusInternalServerError {
		return
	}
	level := zerolog.WarnLevel
	if f.Status == http.StatusInternalServerError {
		level = zerolog.ErrorLevel
	}
	s.log.WithLevel(level).Err(err).Str("request", x.label).Msg("request failed")
}

// ofCaller answers a caller's question about its own usage.
func (s *Server) ofCaller(h usage.Handler) handler {
	return s.authenticated(func(x *exchange, r *http.Request) error { return h(x, r, x.identity) })
}

// withKey judges the key first where every route wants one. It is for handlers that say
// what is not there.
func (s *Server) withKey(h handler) handler {
	return func(x *exchange, r *http.Request) error {
		if path := r.URL.Path; below("/v1", path) || below("/api", path) {
			return s.authenticated(h)(x, r)
		}
		return h(x, r)
	}
}

// authenticated runs before the body is read.
func (s *Server) authenticated(h handler) handler {
	return func(x *exchange, r *http.Request) (err error) {
		if x.identity, err = s.live.Load().keys.Identify(r, s.cfg.Proxies.ClientAddr(r)); err != nil {
			return err
		}
		return h(x, r)
	}
}
