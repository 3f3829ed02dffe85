package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"net/http"
	"strings"
	"time"

	"maxrelay/queue"
	"maxrelay/session/chat"

	"golang.org/x/sync/errgroup"
)

// question is a request that passed every check, in whatever API it was asked.
type question struct {
	model   string // as the client names it
	stream  bool
	answers int      // independent ones, 1 or more
	ignored []string // parameters that were given and are not applied
	chat    chat.Request
	write   func(created time.Time) writer // of the answers

	size   int      // bytes of its body
	digest [32]byte // of what was asked, when it has an Idempotency-Key
}

// ask serves a question to the model.
func (s *Server) ask(x *exchange, r *http.Request) error {
	defer s.letGo(x)
	q, err := s.question(x, r)
	if err != nil {
		return err
	}
	if len(q.ignored) > 0 {
		x.Header().Set("X-Maxrelay-Ignored", strings.Join(q.ignored, ", "))
	}
	if r.Header.Get(idempotencyHeader) != "" {
		return s.once(x, r, q)
	}
	return s.answer(x, r, q)
}

func (s *Server) question(x *exchange, r *http.Request) (*question, error) {
	body, err := s.readBody(x, r)
	if err != nil {
		return nil, err
	}
	q, err := x.speaks.read(body)
	if err != nil {
		return nil, err
	}
	if r.Header.Get("X-Maxrelay-Strict") == "true" && len(q.ignored) > 0 {
		return nil, chat.Invalid(q.ignored[0], "is not applied by this server, and x-maxrelay-strict asks to refuse that")
	}
	if err := allowModel(x.identity, q.model); err != nil {
		return nil, err
	}
	if q.chat.Model, err = s.resolve(q.model); err != nil {
		return nil, err
	}
	q.chat.Tenant.Key, q.chat.Tenant.Pool = x.identity.ID, x.identity.Pool
	q.size = len(body)
	if r.Header.Get(idempotencyHeader) != "" {
		q.digest = digest(x.route, body)
	}
	return q, nil
}

// digest stands for what was asked, and in which API.
func digest(route string, body []byte) (sum [32]byte) {
	h := sha256.New()
	io.WriteString(h, route)
	h.Write(body)
	h.Sum(sum[:0])
	return sum
}

// job returns the question as the queue takes it. Its id is a secret between the owner
// and the worker and is told to nobody else.
//
// Only the first of several answers is looked for where the conversation is warm: its
// process has one turn at a time, and the others would wait for it.
func (p *reply) job(index int) queue.Job {
	j := queue.Job{
		ID:        rand.Text(),
		KeyID:     p.x.identity.ID,
		Request:   p.x.label,
		Pool:      p.x.identity.Pool,
		Model:     p.q.chat.Model,
		Body:      p.body,
		Streaming: p.q.stream,
		Deadline:  p.x.start.Add(p.server.cfg.TurnTimeout),
	}
	if index == 0 {
		j.Prefixes = prefixes(&p.q.chat)
	}
	return j
}

func (t *turn) submit(ctx context.Context) (err error) {
	t.call, err = t.reply.server.owner.Submit(ctx, t.reply.job(t.index))
	return err
}

// prefixes are the fingerprints of what was said before the last message.
func prefixes(r *chat.Request) []queue.Key {
	chain := chat.Chain(r)
	keys := make([]queue.Key, 0, len(chain))
	for _, f := range chain[1 : len(chain)-1] {
		keys = append(keys, queue.Key(f))
	}
	return keys
}

// whole answers at once. Nothing was shown before, so a job may move at any time and
// its answer starts over.
func (s *Server) whole(ctx context.Context, p *reply) {
	w := p.q.write(p.x.start)
	all, ctx := errgroup.WithContext(ctx)
	for _, t := range p.turns {
		all.Go(func() error { return t.complete(ctx, w) })
	}
	if err := all.Wait(); err != nil {
		p.fail(ctx, err)
		return
	}
	body := w.End(nil, p.usage()...)
	p.see(p.turns[0])
	p.headers(p.x.Header())
	p.closed = true
	p.book(ctx, http.StatusOK, len(body))
	s.stand(p.x) // without the reservation
	p.x.body(http.StatusOK, body)
}

// complete gathers the answer. One that does not have the format that was asked for is
// made once more.
func (t *turn) complete(ctx context.Context, w writer) error {
	for again := false; ; again = true {
		if err := t.gather(ctx, w); err != nil {
			return err
		}
		_, err := w.Finish(nil, t.index)
		if err == nil || again {
			return err
		}
		w.Restart(t.index)
		if err := t.anew(ctx); err != nil {
			return err
		}
	}
}

func (t *turn) gather(ctx context.Context, w writer) error {
	for !t.ended() {
		step, err := t.next(ctx)
		if err != nil {
			return err
		}
		if step.moved {
			w.Restart(t.index)
		}
		for _, e := range step.events {
			w.Append(nil, t.index, e)
		}
	}
	if t.outcome.Error != nil {
		return t.outcome.Error
	}
	return nil
}
