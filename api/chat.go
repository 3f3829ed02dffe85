package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strings"

	"maxrelay/api/openai"
	"maxrelay/queue"
	"maxrelay/session/chat"

	"golang.org/x/sync/errgroup"
)

// question is a request that passed every check.
type question struct {
	asked  *openai.Request
	chat   chat.Request
	size   int      // bytes of its body
	digest [32]byte // of its body, when it has an Idempotency-Key
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
	if r.Header.Get(idempotencyHeader) != "" {
		return s.once(x, r, q)
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
	if err := allowModel(x.identity, asked.Model); err != nil {
		return nil, err
	}
	model, err := s.resolve(asked.Model)
	if err != nil {
		return nil, err
	}
	messages, err := chat.Canonical(asked.Messages)
	if err != nil {
		return nil, err
	}
	q := &question{asked: asked, size: len(body), chat: chat.Request{
		Tenant:     chat.Tenant{Key: x.identity.ID, User: asked.User, Pool: x.identity.Pool},
		Model:      model,
		System:     asked.System,
		Messages:   messages,
		Tools:      asked.Tools,
		ToolChoice: asked.ToolChoice,
		Params:     asked.Params,
	}}
	if r.Header.Get(idempotencyHeader) != "" {
		q.digest = sha256.Sum256(body)
	}
	return q, nil
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
		Pool:      p.x.identity.Pool,
		Model:     p.q.chat.Model,
		Body:      p.body,
		Streaming: p.q.asked.Stream,
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
	choices := make([]openai.Choice, len(p.turns))
	all, ctx := errgroup.WithContext(ctx)
	for i, t := range p.turns {
		all.Go(func() (err error) {
			choices[i], err = t.choice(ctx)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		p.fail(err)
		return
	}
	body, err := json.Marshal(openai.NewCompletion(p.head(), choices, p.usage()))
	if err != nil {
		p.fail(err)
		return
	}
	p.see(p.turns[0])
	p.headers(p.x.Header())
	p.closed = true
	p.book(ctx, http.StatusOK, len(body))
	s.stand(p.x) // without the reservation
	p.x.body(http.StatusOK, body)
}

// choice gathers the answer. One that does not have the format that was asked for is
// made once more.
func (t *turn) choice(ctx context.Context) (openai.Choice, error) {
	for again := false; ; again = true {
		answer, err := t.gather(ctx)
		if err != nil {
			return openai.Choice{}, err
		}
		choice, err := answer.Choice(t.index)
		if err == nil || again {
			return choice, err
		}
		if err := t.anew(ctx); err != nil {
			return openai.Choice{}, err
		}
	}
}

func (t *turn) gather(ctx context.Context) (*openai.Answer, error) {
	answer := openai.NewAnswer(t.reply.q.asked)
	for !t.ended() {
		step, err := t.next(ctx)
		if err != nil {
			return nil, err
		}
		if step.moved {
			answer = openai.NewAnswer(t.reply.q.asked)
		}
		for _, e := range step.events {
			answer.Add(e)
		}
	}
	if t.outcome.Error != nil {
		return nil, t.outcome.Error
	}
	return answer, nil
}
