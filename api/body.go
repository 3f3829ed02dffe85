package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"maxrelay/session/chat"
)

// readBody reads a body under its limits: bytes, pauses and time in all. The deadlines
// are lifted afterwards, since a running answer has none.
//
// What it holds counts against the budget of all requests until letGo.
func (s *Server) readBody(x *exchange, r *http.Request) ([]byte, error) {
	if r.ContentLength > s.cfg.BodyLimit {
		return nil, s.tooLarge()
	}
	x.holds = r.ContentLength
	if x.holds < 0 { // it does not say
		x.holds = s.cfg.BodyLimit
	}
	if !s.bodies.TryAcquire(x.holds) {
		x.holds = 0
		return nil, &chat.Error{Code: chat.CodeQueueFull, Message: "too many large requests at once: try again in a moment"}
	}
	var buf bytes.Buffer
	buf.Grow(int(max(r.ContentLength, 0)) + bytes.MinRead) // one more read finds the end
	_, err := buf.ReadFrom(&patient{
		r:       http.MaxBytesReader(x.ResponseWriter, r.Body, s.cfg.BodyLimit),
		control: x.control,
		idle:    s.cfg.BodyIdle,
		end:     time.Now().Add(s.cfg.BodyTimeout),
	})
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, s.tooLarge()
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, chat.Invalid("", "the body came too slowly")
	case err != nil:
		return nil, chat.Invalid("", "the body broke off")
	}
	_ = x.control.SetReadDeadline(time.Time{})
	s.bodies.Release(x.holds - int64(buf.Len()))
	x.holds = int64(buf.Len())
	return buf.Bytes(), nil
}

// letGo gives back what the request's body held. The body lives as long as the
// request: in the queue, and for the estimate of its tokens.
func (s *Server) letGo(x *exchange) {
	s.bodies.Release(x.holds)
	x.holds = 0
}

func (s *Server) tooLarge() error {
	return &chat.Error{Code: chat.CodeTooLarge, Message: fmt.Sprintf("the body is larger than %d MB: shorten the conversation", s.cfg.BodyLimit>>20)}
}

// patient is a reader that waits only so long for each piece.
type patient struct {
	r       io.Reader
	control *http.ResponseController
	idle    time.Duration
	end     time.Time
}

func (p *patient) Read(b []byte) (int, error) {
	deadline := time.Now().Add(p.idle)
	if deadline.After(p.end) {
		deadline = p.end
	}
	_ = p.control.SetReadDeadline(deadline)
	return p.r.Read(b)
}
