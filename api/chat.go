package api

import (
	"context"
	"crypto/rand"
	"net/http"
	"strings"
	"time"

	"maxrelay/api/openai"
	"maxrelay/queue"
	"maxrelay/session/chat"
)

// question is a request that passed every check.
type question struct {
	asked *openai.Request
	chat  chat.Request
	size  int // bytes of its body
}

// chatCompletions serves POST /v1/chat/completions.
func (s *Server) chatCompletions(x *exchange, r *http.Request) error {
	defer s.letGo(x)
	q, err := s.question(x, r)
	if err != nil {
		return err
	}
	if len(q.asked.Ignored) > 0 {
		x.Header().Set("X-Maxrelay-Ignored", strings.Join(q.asked.Ignored, ", "))
	}
	s.answer(x, r, q)
	return nil
}

func (s *Server) question(x *exchange, r *http.Request) (*question, error) {
	body, err := s.readBody(x, r)
	if err != nil {
		return nil, err
	}
	asked, err := openai.Decode(body)
	if err != nil {
		return nil, err
	}
	if r.Header.Get("X-Maxrelay-Strict") == "true" && len(asked.Ignored) > 0 {
		return nil, chat.Invalid(asked.Ignored[0], "is not applied by this server, and x-maxrelay-strict asks to refuse that")
	}
	model, err := s.resolve(asked.Model)
	if err != nil {
		return nil, err
	}
	messages, err := chat.Canonical(asked.Messages)
	if err != nil {
		return nil, err
	}
	return &question{asked: asked, size: len(body), chat: chat.Request{
		Tenant:   chat.Tenant{Key: x.identity.ID, User: asked.User, Pool: x.identity.Pool},
		Model:    model,
		System:   asked.System,
		Messages: messages,
	}}, nil
}

// job returns the question as the queue takes it. Its id is a secret between the owner
// and the worker and is told to nobody else.
func (s *Server) job(x *exchange, q *question) (queue.Job, error) {
	body, err := chat.EncodeRequest(&q.chat)
	if err != nil {
		return queue.Job{}, err
	}
	return queue.Job{
		ID:        rand.Text(),
		KeyID:     x.identity.ID,
		Pool:      x.identity.Pool,
		Model:     q.chat.Model,
		Body:      body,
		Prefixes:  prefixes(&q.chat),
		Streaming: q.asked.Stream,
		Deadline:  time.Now().Add(s.cfg.TurnTimeout),
	}, nil
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

// answer runs the admitted question and records it, whatever happens.
func (s *Server) answer(x *exchange, r *http.Request, q *question) {
	t := &turn{server: s, x: x, q: q, method: r.Method}
	defer t.record(r.Context())
	job, err := s.job(x, q)
	if err != nil {
		t.fail(err)
		return
	}
	if t.call, err = s.owner.Submit(r.Context(), job); err != nil {
		t.fail(err)
		return
	}
	defer t.settle(r.Context())
	if q.asked.Stream {
		s.stream(r.Context(), t)
	} else {
		s.whole(r.Context(), t)
	}
}

// whole answers at once. Nothing was shown before, so the job may move at any time and
// the answer starts over.
func (s *Server) whole(ctx context.Context, t *turn) {
	var answer openai.Answer
	for !t.ended() {
		step, err := t.next(ctx)
		if err != nil {
			t.fail(err)
			return
		}
		if step.moved {
			answer = openai.Answer{}
		}
		for _, e := range step.events {
			answer.Add(e)
		}
	}
	if t.outcome.Error != nil {
		t.fail(t.outcome.Error)
		return
	}
	t.headers(t.x.Header())
	if err := t.x.json(http.StatusOK, answer.Completion(t.head(), t.usage())); err != nil {
		t.fail(err)
		return
	}
	t.closed = true
}
