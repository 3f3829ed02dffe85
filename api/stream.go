package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"maxrelay/session/chat"
)

// errSilence ends a wait after which a stream shows that it is alive.
var errSilence = errors.New("nothing to send")

// stream answers as server-sent events. What is ready is written at once and flushed
// once, then the next is waited for. The status goes out with the first chunk or after
// the first silence; until then a failure still has a status of its own.
func (s *Server) stream(ctx context.Context, p *reply) {
	p.pump(ctx)
	w := p.q.write(p.x.start)
	var buf []byte
	wrote := time.Now()
	for left := len(p.turns); left > 0; {
		a := p.nextBefore(ctx, wrote.Add(s.cfg.Heartbeat))
		err := a.err
		switch buf = buf[:0]; {
		case errors.Is(err, errSilence):
			buf, err = p.beat(buf), nil
		case err == nil:
			buf, err = p.take(buf, w, a)
		}
		if err == nil && a.turn != nil && a.turn.ended() {
			left--
		}
		if len(buf) > 0 {
			if !p.write(buf) {
				return
			}
			wrote = time.Now()
		}
		if err != nil {
			p.fail(ctx, err)
			return
		}
		if a.turn != nil {
			p.goOn(ctx, a.turn)
		}
	}
	p.closed = true
	buf = w.End(buf[:0], p.usage()...)
	p.book(ctx, http.StatusOK, len(buf))
	p.write(buf)
}

// take appends what arrived of one answer. With an error, what it appended is still to
// be sent before it.
func (p *reply) take(buf []byte, w writer, a arrival) ([]byte, error) {
	p.see(a.turn)
	if a.step.moved && !w.Restart(a.turn.index) {
		return buf, &chat.Error{Code: chat.CodeWorkerFailed, Message: "the worker that answered was lost: send the request again"}
	}
	for _, e := range a.step.events {
		buf = w.Append(buf, a.turn.index, e)
	}
	if !a.turn.ended() {
		return buf, nil
	}
	if err := a.turn.outcome.Error; err != nil {
		return buf, err
	}
	return w.Finish(buf, a.turn.index)
}

// write sends frames and reports whether the client took them.
func (p *reply) write(frames []byte) bool {
	if !p.x.streamed {
		p.unsee()
		p.headers(p.x.Header())
		p.standingHeaders(p.x.Header())
		p.x.openStream()
	}
	if err := p.x.send(frames); err != nil {
		p.drop()
		return false
	}
	return true
}

func (x *exchange) openStream() {
	h := x.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	h.Set("X-Accel-Buffering", "no") // nginx would gather the stream
	x.streamed = true
	x.WriteHeader(http.StatusOK)
}

func (x *exchange) send(frames []byte) error {
	if _, err := x.Write(frames); err != nil {
		return err
	}
	return x.control.Flush()
}
