package session

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"maxrelay/session/chat"
)

// Pool keeps CLI processes and runs turns on them.
//
// Each living process counts in one place: among the starts, the spares, the idle, the
// busy or those being stopped. Together they are never more than MaxSessions.
type Pool struct {
	cfg      Config
	log      zerolog.Logger
	launcher *launcher
	meters   *meters
	wake     chan struct{}   // tells the keeper to look again; one pending wake is enough
	closing  context.Context // ends when Close begins
	stop     context.CancelFunc
	once     sync.Once      // of Close
	work     sync.WaitGroup // the keeper, starts and processes being stopped; added to under the mutex
	alive    sync.WaitGroup // processes not yet reaped
	vetting  sync.Mutex     // held while Vet runs; taken before mu, never under it

	mu       sync.Mutex
	closed   bool
	spares   []*session // oldest first
	idle     map[*session]struct{}
	busy     map[*session]struct{}
	stopping map[*session]struct{} // retired, not yet reaped
	starts   []*launch             // oldest first; at most startsAtOnce
	waiting  []*waiter             // turns without a process, oldest first; see refuseLocked for the bound
	serial   int
	backoff  backoff  // between failed starts of processes that no turn waits for
	guess    estimate // of what a process not yet measured takes
	renewal  renewal
	count    counts
}

// Open returns a pool that keeps cfg.Spares processes ready.
func Open(cfg Config, log zerolog.Logger) (*Pool, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	l, err := newLauncher()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &Pool{cfg: cfg, log: log, launcher: l, meters: newMeters(), closing: ctx, stop: stop, wake: make(chan struct{}, 1),
		idle: make(map[*session]struct{}), busy: make(map[*session]struct{}), stopping: make(map[*session]struct{}),
		guess: estimate{mean: firstGuess}, renewal: renewal{verdicts: make(map[edition]error)}}
	p.work.Go(func() { p.keep(ctx) })
	return p, nil
}

// Turn answers one request. emit gets the events in order, from this goroutine, and
// must not block for long: while it does the child waits. When ctx ends the answer is
// interrupted, and Turn returns as soon as the process is clean again or killed. The
// outcome's error, if any, is of one of the codes of package chat.
func (p *Pool) Turn(ctx context.Context, req *chat.Request, emit func(chat.Event)) chat.Outcome {
	if n := len(req.Messages); n == 0 || req.Messages[n-1].Role != chat.RoleUser {
		return chat.Outcome{Error: chat.Invalid("messages", "the last message must be the user's")}
	}
	begun := time.Now()
	out, asked := p.turn(ctx, req, emit)
	p.meters.turn(out, begun, asked)
	return out
}

// turn returns, besides the outcome, when the last message was asked; zero if never.
func (p *Pool) turn(ctx context.Context, req *chat.Request, emit func(chat.Event)) (out chat.Outcome, asked time.Time) {
	s, plan, err := p.take(ctx, req)
	if err != nil {
		return chat.Outcome{Error: p.startError(ctx, err)}, asked
	}
	s.attend()
	t := newTurn(s, &p.cfg, req, plan, emit)
	out, err = t.run(ctx)
	s.unattend()
	p.release(s, err)
	if out.Error != nil && out.Error.Code == chat.CodeWorkerFailed {
		p.log.Warn().Err(err).Str("process", s.id).Msg("a process failed in its turn")
	}
	return out, t.askedAt
}

func (p *Pool) startError(ctx context.Context, err error) *chat.Error {
	if ctx.Err() != nil {
		return &chat.Error{Code: chat.CodeCancelled, Message: "the request was given up before a process was ready"}
	}
	if errors.Is(err, errBusy) {
		return &chat.Error{Code: chat.CodeQueueFull, Message: "every process of the worker is busy: try again later"}
	}
	p.log.Error().Err(err).Msg("no process for a turn")
	return &chat.Error{Code: chat.CodeWorkerFailed, Message: "no CLI process could be had for the answer"}
}

// useLocked makes a session busy.
func (p *Pool) useLocked(s *session) {
	delete(p.idle, s)
	p.busy[s] = struct{}{}
	p.changedLocked(s, true)
}

// release gives a session back after its turn, which ended with err.
func (p *Pool) release(s *session, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.busy, s)
	if p.closed {
		return // Close has killed it, and waits for it
	}
	if why, over := p.overLocked(s, err); over {
		p.retireLocked(s, why)
		p.balanceLocked()
	} else {
		s.idleSince = time.Now()
		p.idle[s] = struct{}{}
		p.changedLocked(s, false)
		p.balanceLocked()
		p.trimLocked(s.key)
	}
	p.wakeKeeper()
}

// overLocked says whether a process ends with its turn, and why.
func (p *Pool) overLocked(s *session, err error) (why Ending, over bool) {
	switch {
	case errors.Is(err, errDied), s.dead() && !s.doomed:
		return EndDied, true
	case s.doomed:
		return EndFailed, true
	case p.usedUp(s) && len(s.rec.entries) == 0:
		return EndUses, true
	case p.bloated(s):
		return EndSize, true
	case p.renewal.outdated(s):
		return EndOutdated, true
	}
	return 0, false
}

// changedLocked tells the directory what s holds. Under the mutex the news of one
// process come in order; that it is gone is the last of them.
func (p *Pool) changedLocked(s *session, busy bool) {
	if !s.gone {
		p.cfg.Changed(Holding{Process: s.id, Key: s.key, Chain: s.rec.chain(), Busy: busy})
	}
}

func (p *Pool) goneLocked(s *session, id string) {
	if !s.gone {
		s.gone = true
		p.cfg.Changed(Holding{Process: id, Gone: true})
	}
}

// retireLocked takes a session out of the pool and stops its process in the
// background. Until it is reaped it keeps its place and counts its memory.
func (p *Pool) retireLocked(s *session, why Ending) {
	p.count.ended[why]++
	p.discardLocked(s)
}

func (p *Pool) discardLocked(s *session) {
	delete(p.idle, s)
	if !s.reaped {
		p.stopping[s] = struct{}{}
	}
	p.goneLocked(s, s.id)
	p.work.Go(s.process.stop)
}

// ended runs once for each process, after it was reaped.
func (p *Pool) ended(s *session, id string) {
	defer p.alive.Done()
	p.mu.Lock()
	defer p.mu.Unlock()
	s.reaped = true
	if p.forgetLocked(s) {
		p.count.ended[EndDied]++
	}
	delete(p.stopping, s)
	p.goneLocked(s, id)
	p.balanceLocked()
	p.wakeKeeper()
}

// forgetLocked removes a session that nobody uses, and says whether there was one.
func (p *Pool) forgetLocked(s *session) bool {
	n := len(p.idle) + len(p.spares)
	delete(p.idle, s)
	p.spares = without(p.spares, s)
	return len(p.idle)+len(p.spares) < n
}

// Close stops every process and returns when all are reaped. Turns that still run
// lose their process; whoever wants them to finish waits before closing.
func (p *Pool) Close() { p.once.Do(p.close) }

func (p *Pool) close() {
	p.mu.Lock()
	p.closed = true
	for _, s := range p.spares {
		p.discardLocked(s)
	}
	for s := range p.idle {
		p.discardLocked(s)
	}
	for s := range p.busy {
		s.process.kill()
	}
	p.spares = nil
	p.failLocked(len(p.waiting), errClosed)
	p.mu.Unlock()
	p.stop()
	p.work.Wait()
	p.alive.Wait()
	p.launcher.close()
}
