package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"maxrelay/api/limit"
	"maxrelay/queue"
	"maxrelay/session/chat"
)

// reply is the response to an admitted question: the answers that were asked for, each
// made by a job of its own. It belongs to the goroutine of the request.
type reply struct {
	server *Server
	x      *exchange
	q      *question
	method string
	body   []byte // the question as all jobs carry it
	input  int    // estimate of its prompt's tokens
	turns  []*turn
	closed bool // the client was told how it ended, or was given up
	booked bool // its usage is recorded and its ticket settled

	ticket    *limit.Ticket
	allowance *allowance // of all turns

	arrivals chan arrival   // of the pumps
	pumps    sync.WaitGroup // one for each turn, when there are several
	halt     func()         // ends the pumps, whose turns are the reply's afterwards
	first    come           // of the first answer, as last seen
}

// come is how an answer was come by.
type come struct {
	turn    *turn
	attempt int
	worker  string
	waited  time.Duration
	session chat.Session
}

// see notes how the first answer is come by, while its turn is the reply's; until that
// is known, how another one is.
func (p *reply) see(t *turn) {
	again := t == p.first.turn && t.attempt > p.first.attempt
	if again || t.index == 0 && t.session != "" || p.first.session == "" {
		p.first = come{t, t.attempt, t.worker, t.waited, t.session}
	}
}

// answer admits the question, runs it and records it, whatever happens. Its error is why
// the question was refused admission: it leaves no record, and nothing was answered.
func (s *Server) answer(x *exchange, r *http.Request, q *question) error {
	p := &reply{server: s, x: x, q: q, method: r.Method, arrivals: make(chan arrival), halt: func() {}}
	if err := p.admit(r.Context()); err != nil {
		return err
	}
	defer func() { p.book(r.Context(), x.status, 0) }()
	if err := p.submit(r.Context()); err != nil {
		p.fail(r.Context(), err)
		return nil
	}
	ctx, cancel := context.WithCancel(r.Context())
	p.halt = func() {
		cancel()
		p.pumps.Wait()
	}
	defer p.halt()
	if q.stream {
		s.stream(ctx, p)
	} else {
		s.whole(ctx, p)
	}
	return nil
}

// admit reserves the prompt and the answer once for each answer that is asked for, with
// what the CLI adds, so that many at once do not overspend by that. A caller who has
// tokens left for the prompt alone is not refused for it.
func (p *reply) admit(ctx context.Context) (err error) {
	p.input = p.q.chat.EstimatePrompt()
	answers, most := int64(p.q.answers), int64(p.q.chat.Params.MaxTokens)
	input := answers * int64(p.input)
	p.ticket, err = p.server.admit(ctx, p.x, limit.Ask{Input: input, MaxTokens: answers * (cmp.Or(most, limit.DefaultAnswer) + p.server.cfg.OwnPrompt)})
	if err != nil {
		return err
	}
	p.allowance = newAllowance(p.ticket, input, answers*most)
	return nil
}

// submit gives the queue one job for each answer.
func (p *reply) submit(ctx context.Context) (err error) {
	if p.body, err = chat.EncodeRequest(&p.q.chat); err != nil {
		return err
	}
	for i := range p.q.answers {
		t := &turn{reply: p, index: i, resume: make(chan struct{}), drawn: int64(p.input)}
		p.turns = append(p.turns, t)
		if err := t.submit(ctx); err != nil {
			return err
		}
	}
	return nil
}

// arrival is what one wait brought to one of the answers.
type arrival struct {
	turn *turn
	step step
	err  error
}

// pump lets the turns wait side by side, when there are several. Between an arrival
// and the turn's resume the turn is the reply's.
func (p *reply) pump(ctx context.Context) {
	if len(p.turns) == 1 {
		return
	}
	for _, t := range p.turns {
		p.pumps.Go(func() { t.pump(ctx) })
	}
}

func (t *turn) pump(ctx context.Context) {
	for {
		step, err := t.next(ctx)
		select {
		case t.reply.arrivals <- arrival{t, step, err}:
		case <-ctx.Done():
			return
		}
		select {
		case <-t.resume:
			if t.ended() {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// nextBefore waits for the next events of any answer, and gives errSilence at the
// deadline.
func (p *reply) nextBefore(ctx context.Context, deadline time.Time) arrival {
	ctx, cancel := context.WithDeadlineCause(ctx, deadline, errSilence)
	defer cancel()
	if len(p.turns) == 1 {
		step, err := p.turns[0].next(ctx)
		return arrival{p.turns[0], step, err}
	}
	select {
	case a := <-p.arrivals:
		return a
	case <-ctx.Done():
		return arrival{err: context.Cause(ctx)}
	}
}

// goOn lets an answer's pump wait for more.
func (p *reply) goOn(ctx context.Context, t *turn) {
	if len(p.turns) == 1 {
		return
	}
	select {
	case t.resume <- struct{}{}:
	case <-ctx.Done():
	}
}

// usage is what the client is told of the cost of each answer.
func (p *reply) usage() []chat.Usage {
	all := make([]chat.Usage, len(p.turns))
	for i, t := range p.turns {
		all[i] = t.usage()
	}
	return all
}

// headers tells how the first answer was come by, as far as that is known.
func (p *reply) headers(h http.Header) {
	if p.first.attempt == 0 {
		return
	}
	h.Set("X-Maxrelay-Worker", p.first.worker)
	h.Set("X-Maxrelay-Queue-Ms", strconv.FormatInt(p.first.waited.Milliseconds(), 10))
	if p.first.session != "" {
		h.Set("X-Maxrelay-Session", string(p.first.session))
	}
}

// fail tells the client what went wrong in the one way that is left. Who does not read
// is told nothing: a write would wait for them.
func (p *reply) fail(ctx context.Context, err error) {
	p.closed = true
	if errors.Is(err, queue.ErrSlowClient) {
		p.drop()
		return
	}
	p.halt()
	for _, t := range p.turns {
		p.see(t)
	}
	f := p.x.failureOf(err)
	if f.Status >= http.StatusInternalServerError {
		p.logFailure(err)
	}
	if p.x.streamed {
		_ = p.x.send(f.Event) // a client that left needs no error
		return
	}
	p.headers(p.x.Header())
	p.book(ctx, f.Status, len(f.Body))
	p.server.stand(p.x) // without the reservation
	p.x.refuse(f)
}

func (p *reply) logFailure(err error) {
	e := p.server.log.Warn().Err(err).Str("request", p.x.label).Str("pool", p.x.identity.Pool)
	for _, t := range p.turns {
		e.Str("worker", t.workerID).Int("attempt", t.attempt)
	}
	e.Msg("turn failed")
}

// drop gives the client up.
func (p *reply) drop() {
	p.closed = true
	p.x.code = string(chat.CodeCancelled)
}

// settle ends the jobs that have not ended, and waits a moment for their last words, in
// which the workers tell what was used.
func (p *reply) settle(ctx context.Context) {
	for _, t := range p.turns {
		if t.call == nil {
			continue
		}
		defer t.call.Close()
		if !t.ended() {
			t.call.Cancel()
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWait)
	defer cancel()
	for _, t := range p.turns {
		if t.call != nil {
			t.settle(ctx)
		}
	}
}

// settleWait is a little longer than an owner waits for a cancelled attempt.
const settleWait = 6 * time.Second

func (t *turn) settle(ctx context.Context) {
	for !t.ended() {
		if _, err := t.next(ctx); err != nil {
			t.reply.server.log.Debug().Err(err).Str("request", t.reply.x.label).Msg("cancelled turn has no end")
			return
		}
	}
}
