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

// firstPart is how much of a body is read before room is made for all of it. Bodies are
// small as a rule, and who declares a large one may not send it.
const firstPart = 1 << 20

// readBody reads a body under its limits: bytes, pauses and time in all. The deadlines
// are lifted afterwards, since a running answer has none.
//
// What it holds counts against the budget of all requests until letGo.
func (s *Server) readBody(x *exchange, r *http.Request) ([]byte, error) {
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return nil, chat.Invalid("", "the body is compressed, as Content-Encoding says: send it as it is")
	}
	if r.ContentLength > s.cfg.BodyLimit {
		return nil, s.tooLarge()
	}
	body := &patient{
		r:       http.MaxBytesReader(x.ResponseWriter, r.Body, s.cfg.BodyLimit),
		control: x.control,
		idle:    s.cfg.BodyIdle,
		end:     time.Now().Add(s.cfg.BodyTimeout),
	}
	buf, err := s.readParts(x, r.ContentLength, body)
	_, large := errors.AsType[*http.MaxBytesError](err)
	_, told := errors.AsType[*chat.Error](err)
	switch {
	case large:
		return nil, s.tooLarge()
	case told:
		return nil, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, chat.Invalid("", "the body came too slowly")
	case err != nil:
		return nil, chat.Invalid("", "the body broke off")
	}
	_ = x.control.SetReadDeadline(time.Time{})
	s.bodies.giveBack(x.identity.ID, x.holds-int64(len(buf)))
	x.holds = int64(len(buf))
	return buf, nil
}

// readParts reads the first part of a body of the declared length, -1 for none declared,
// and then the rest.
func (s *Server) readParts(x *exchange, declared int64, body io.Reader) ([]byte, error) {
	end := declared
	if declared < 0 {
		end = s.cfg.BodyLimit
	}
	first := min(end, firstPart)
	if err := s.hold(x, first); err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	buf.Grow(int(max(min(declared, first), 0)) + bytes.MinRead)
	_, err := io.CopyN(&buf, body, first)
	switch {
	case errors.Is(err, io.EOF):
		return buf.Bytes(), nil
	case err != nil || first == declared:
		return buf.Bytes(), err
	}
	if err := s.hold(x, end-first); err != nil {
		return nil, err
	}
	buf.Grow(int(max(declared-first, 0)) + bytes.MinRead) // one more read finds the end
	_, err = buf.ReadFrom(body)
	return buf.Bytes(), err
}

// hold takes bytes of the budget for a request's body.
func (s *Server) hold(x *exchange, n int64) error {
	if !s.bodies.take(x.identity.ID, n) {
		return &chat.Error{Code: chat.CodeQueueFull, Message: "too many large requests at once: try again in a moment"}
	}
	x.holds += n
	return nil
}

// letGo gives back what the request's body held. The body lives as long as the
// request: in the queue, and for the estimate of its tokens.
func (s *Server) letGo(x *exchange) {
	s.bodies.giveBack(x.identity.ID, x.holds)
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
