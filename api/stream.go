package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"maxrelay/api/openai"
	"maxrelay/session/chat"
)

// errSilence ends a wait after which a stream shows that it is alive.
var errSilence = errors.New("nothing to send")

// comment is a line that clients of server-sent events skip.
const comment = ": waiting for the model\n\n"

// stream answers as server-sent events. What is ready is written at once and flushed
// once, then the next is waited for. The status goes out with the first chunk or after
// the first silence; until then a failure still has a status of its own.
func (s *Server) stream(ctx context.Context, t *turn) {
	enc := openai.NewStream(t.head(), t.q.asked.IncludeUsage)
	var buf []byte
	wrote := time.Now()
	for !t.ended() {
		step, err := t.nextBefore(ctx, wrote.Add(s.cfg.Heartbeat))
		switch {
		case errors.Is(err, errSilence):
			buf = append(buf[:0], comment...)
		case err != nil:
			t.fail(err)
			return
		case step.moved && enc.Begun():
			t.fail(&chat.Error{Code: chat.CodeWorkerFailed, Message: "the worker that answered was lost: send the request again"})
			return
		default:
			buf = buf[:0]
			for _, e := range step.events {
				buf = enc.Append(buf, e)
			}
		}
		if len(buf) == 0 || t.ended() {
			continue
		}
		if !t.write(buf) {
			return
		}
		wrote = time.Now()
	}
	s.finish(t, enc, buf)
}

// finish ends the stream, with what is left to send before.
func (s *Server) finish(t *turn, enc *openai.Stream, rest []byte) {
	if t.outcome.Error == nil {
		t.write(enc.Finish(rest, t.usage()))
		t.closed = true
		return
	}
	if len(rest) == 0 || t.write(rest) {
		t.fail(t.outcome.Error)
	}
}

// nextBefore is next with errSilence at the deadline.
func (t *turn) nextBefore(ctx context.Context, deadline time.Time) (step, error) {
	ctx, cancel := context.WithDeadlineCause(ctx, deadline, errSilence)
	defer cancel()
	return t.next(ctx)
}

// write sends frames and reports whether the client took them.
func (t *turn) write(frames []byte) bool {
	if !t.x.streamed {
		t.headers(t.x.Header())
		t.x.openStream()
	}
	if err := t.x.send(frames); err != nil {
		t.drop()
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
