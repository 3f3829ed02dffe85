package api

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"maxrelay/session/chat"
)

// readBody reads a body under its limits: bytes, pauses and time in all. The deadlines
// are lifted afterwards, since a running answer has none.
func (s *Server) readBody(x *exchange, r *http.Request) ([]byte, error) {
	if r.ContentLength > s.cfg.BodyLimit {
		return nil, s.tooLarge()
	}
	body, err := io.ReadAll(&patient{
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
	return body, nil
}

func (s *Server) tooLarge() error {
	return &chat.Error{Code: chat.CodeTooLarge, Message: "the body is larger than this server takes: shorten the conversation or its images"}
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
