package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"

	"maxrelay/queue"
	"maxrelay/session/chat"
)

// idempotencyHeader names a request: one that is sent again under the same name gets
// the answer of the first, and the model is not asked twice.
const idempotencyHeader = "Idempotency-Key"

const maxIdempotencyKey = 255

var (
	errReused    = errors.New("the name stands for another request")
	errAbandoned = errors.New("nobody waits for the answer")
)

// once answers a named question: as a new one, or with the answer that the name has
// already, from its beginning and as it comes. Only who makes an answer is admitted and
// pays; to be given it again costs neither a place in the key's rate nor tokens.
func (s *Server) once(x *exchange, r *http.Request, q *question) error {
	name := r.Header.Get(idempotencyHeader)
	if len(name) > maxIdempotencyKey {
		return chat.Invalid("", "the header Idempotency-Key is longer than %d bytes", maxIdempotencyKey)
	}
	a, made, err := s.answers.join(nameOf(x.identity.ID, name), q.digest)
	if err != nil {
		return joining(err)
	}
	if made {
		s.make(x, r, q, a)
	} else {
		x.Header().Set("Idempotent-Replayed", "true")
		s.stand(x)
	}
	defer s.answers.leave(a)
	a.copyTo(r.Context(), x)
	return nil
}

// make lets the answer be made apart from the request that asked first, so that it
// lives as long as anybody waits for it.
func (s *Server) make(x *exchange, r *http.Request, q *question, a *answer) {
	var ctx context.Context
	ctx, a.cancel = context.WithCancelCause(context.WithoutCancel(r.Context()))
	stop := context.AfterFunc(s.running, func() { a.cancel(errStopping) })
	inner := s.newExchange(a, r)
	inner.id, inner.label, inner.start, inner.asked, inner.route, inner.identity = x.id, x.label, x.start, x.asked, x.route, x.identity
	inner.holds, x.holds = x.holds, 0 // the body is the answer's now
	s.making.Go(func() {
		defer stop()
		defer a.cancel(nil)
		defer s.letGo(inner)
		defer s.made(ctx, a, inner)
		defer s.catchMaking(inner)
		if err := s.owner.Mark(ctx, a.name); err != nil {
			s.fail(inner, marking(err))
			return
		}
		if err := s.answer(inner, r.WithContext(ctx), q); err != nil {
			s.fail(inner, err)
		}
	})
}

// made ends the answer. Only a whole one is kept: whoever repeats a request that
// failed wants it tried again.
func (s *Server) made(ctx context.Context, a *answer, x *exchange) {
	if !s.answers.finish(a, x.code) {
		s.owner.Unmark(context.WithoutCancel(ctx), a.name)
	}
}

// catchMaking is catch for an answer that is made apart from its connections.
func (s *Server) catchMaking(x *exchange) {
	if p := recover(); p != nil {
		s.tellPanic(x, p)
	}
}

func joining(err error) error {
	if errors.Is(err, errReused) {
		return &chat.Error{Code: chat.CodeKeyReused, Message: "this Idempotency-Key was used for another request: use a new one for each"}
	}
	return keepsTooMany()
}

func marking(err error) error {
	switch {
	case errors.Is(err, queue.ErrMarked):
		return &chat.Error{Code: chat.CodeKeyElsewhere, Message: "another node of this server has the answer to this Idempotency-Key: ask there, or here later"}
	case errors.Is(err, queue.ErrMarksFull):
		return keepsTooMany()
	}
	return errors.Join(&chat.Error{Code: chat.CodeNoWorker, Message: "the broker cannot be reached: try again later"}, err)
}

func keepsTooMany() error {
	return &chat.Error{Code: chat.CodeQueueFull, Message: "too many answers are being kept: try again later, or without an Idempotency-Key"}
}

// nameOf keeps the names of different keys apart, and what a client wrote out of the
// broker.
func nameOf(keyID, name string) string {
	sum := sha256.Sum256([]byte(keyID + "\x00" + name))
	return hex.EncodeToString(sum[:16])
}
