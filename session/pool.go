package session

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"maxrelay/session/chat"
)

// errBusy is what a full pool answers when every process has a turn.
var errBusy = errors.New("every session is busy")

// startsAtOnce bounds how many processes start at a time: on two cores eight at once
// take 4 s each, one alone 0.4 s.
const startsAtOnce = 2

// Pool keeps CLI processes and runs turns on them.
type Pool struct {
	cfg      Config
	log      zerolog.Logger
	launcher *launcher
	starts   chan struct{}   // tokens for starting a process
	wake     chan struct{}   // tells the keeper to look again; one pending wake is enough
	closing  context.Context // ends when Close begins
	stop     context.CancelFunc
	once     sync.Once      // of Close
	work     sync.WaitGroup // the keeper and processes being stopped; added to under the mutex
	alive    sync.WaitGroup // processes not yet reaped

	mu       sync.Mutex
	closed   bool
	spares   []*session // oldest first
	idle     map[*session]struct{}
	busy     map[*session]struct{}
	starting int           // places reserved for processes being started
	coming   chan struct{} // closed when the spare that the keeper starts is there, or failed; nil without one
	serial   int
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
	p := &Pool{cfg: cfg, log: log, launcher: l, closing: ctx, stop: stop,
		starts: make(chan struct{}, startsAtOnce), wake: make(chan struct{}, 1),
		idle: make(map[*session]struct{}), busy: make(map[*session]struct{})}
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
	s, plan, err := p.take(ctx, req)
	if err != nil {
		return chat.Outcome{Error: p.startError(ctx, err)}
	}
	s.attend()
	out, err := newTurn(s, &p.cfg, req, plan, emit).run(ctx)
	s.unattend()
	p.release(s)
	if out.Error != nil && out.Error.Code == chat.CodeWorkerFailed {
		p.log.Warn().Err(err).Str("process", s.id).Msg("a process failed in its turn")
	}
	return out
}

func (p *Pool) startError(ctx context.Context, err error) *chat.Error {
	if ctx.Err() != nil {
		return &chat.Error{Code: chat.CodeCancelled, Message: "the request was given up before a process was ready"}
	}
	p.log.Error().Err(err).Msg("no process for a turn")
	return &chat.Error{Code: chat.CodeWorkerFailed, Message: "no CLI process could be had for the answer"}
}

// take finds the session that serves req with the least work and makes it busy.
func (p *Pool) take(ctx context.Context, req *chat.Request) (*session, plan, error) {
	chain := chat.Chain(req)
	for {
		if ctx.Err() != nil {
			return nil, plan{}, context.Cause(ctx)
		}
		p.mu.Lock()
		s, pl, err := p.chooseLocked(req, chain)
		coming := p.coming
		p.mu.Unlock()
		switch {
		case s != nil:
			return s, pl, nil
		case err == nil:
			return p.takeStarted(ctx, req, chain)
		case !errors.Is(err, errBusy) || coming == nil:
			return nil, plan{}, err
		}
		select { // the last place is taken by a spare that is not ready yet
		case <-coming:
		case <-ctx.Done():
		}
	}
}

// takeStarted starts a process in the place that was reserved for it.
func (p *Pool) takeStarted(ctx context.Context, req *chat.Request, chain []chat.Fingerprint) (*session, plan, error) {
	s, err := p.start(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starting--
	if err == nil && p.closed {
		s.kill()
		err = errClosed
	}
	if err != nil {
		return nil, plan{}, err
	}
	pl, _ := planFor(nil, chain)
	p.claimLocked(s, req, chain[0])
	return s, pl, nil
}

// chooseLocked returns the session to use, or none and no error when a place was
// reserved for a new process.
func (p *Pool) chooseLocked(req *chat.Request, chain []chat.Fingerprint) (*session, plan, error) {
	if p.closed {
		return nil, plan{}, errClosed
	}
	key := req.Tenant.Key
	crowded := p.heldByLocked(key) >= p.cfg.MaxSessionsPerKey
	room := len(p.spares) > 0 || p.sizeLocked() < p.cfg.MaxSessions
	s, pl, found := p.bestIdleLocked(chain)
	if found && (pl.worth() || crowded || !room) { // at worst, cut to empty
		p.useLocked(s)
		return s, pl, nil
	}
	for p.heldByLocked(key) >= p.cfg.MaxSessionsPerKey && p.spendLocked(func(o *session) bool { return o.key == key }) {
	}
	if spare := p.spareLocked(); spare != nil {
		pl, _ = planFor(nil, chain)
		p.claimLocked(spare, req, chain[0])
		return spare, pl, nil
	}
	if p.sizeLocked() >= p.cfg.MaxSessions && !p.spendLocked(func(*session) bool { return true }) {
		return nil, plan{}, errBusy
	}
	p.starting++
	return nil, plan{}, nil
}

// bestIdleLocked returns the idle session with the cheapest plan; among equals the one
// that was idle longest.
func (p *Pool) bestIdleLocked(chain []chat.Fingerprint) (best *session, pl plan, found bool) {
	for s := range p.idle {
		q, ok := planFor(&s.rec, chain)
		if !ok || s.dead() {
			continue
		}
		if !found || q.better(pl) || (!pl.better(q) && s.idleSince.Before(best.idleSince)) {
			best, pl, found = s, q, true
		}
	}
	return best, pl, found
}

// spendLocked stops the longest idle of the sessions that match, if there is one.
func (p *Pool) spendLocked(match func(*session) bool) bool {
	var oldest *session
	for s := range p.idle {
		if match(s) && (oldest == nil || s.idleSince.Before(oldest.idleSince)) {
			oldest = s
		}
	}
	if oldest == nil {
		return false
	}
	p.retireLocked(oldest)
	return true
}

func (p *Pool) spareLocked() *session {
	for len(p.spares) > 0 {
		s := p.spares[0]
		p.spares = p.spares[1:]
		p.wakeKeeper()
		if !s.dead() {
			return s
		}
	}
	return nil
}

func (p *Pool) claimLocked(s *session, req *chat.Request, origin chat.Fingerprint) {
	s.claim(req, origin)
	p.useLocked(s)
}

func (p *Pool) useLocked(s *session) {
	delete(p.idle, s)
	p.busy[s] = struct{}{}
	p.changedLocked(s, true)
}

func (p *Pool) heldByLocked(key string) (n int) {
	for s := range p.idle {
		if s.key == key {
			n++
		}
	}
	for s := range p.busy {
		if s.key == key {
			n++
		}
	}
	return n
}

func (p *Pool) sizeLocked() int {
	return len(p.spares) + len(p.idle) + len(p.busy) + p.starting
}

// release gives a session back after its turn.
func (p *Pool) release(s *session) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.busy, s)
	switch {
	case p.closed: // Close has killed it, and waits for it
	case s.doomed || s.dead() || s.conversations >= p.cfg.MaxConversations:
		p.retireLocked(s)
	default:
		s.idleSince = time.Now()
		p.idle[s] = struct{}{}
		p.changedLocked(s, false)
	}
	p.wakeKeeper()
}

// changedLocked tells the directory what s holds. Under the mutex the news of one
// process come in order; that it is gone is the last of them.
func (p *Pool) changedLocked(s *session, busy bool) {
	if !s.gone {
		p.cfg.Changed(Holding{Process: s.id, Chain: s.rec.chain(), Busy: busy})
	}
}

func (p *Pool) goneLocked(s *session, id string) {
	if !s.gone {
		s.gone = true
		p.cfg.Changed(Holding{Process: id, Gone: true})
	}
}

// retireLocked takes a session out of the pool and stops its process in the background.
func (p *Pool) retireLocked(s *session) {
	delete(p.idle, s)
	p.goneLocked(s, s.id)
	p.work.Go(s.process.stop)
}

// start starts a process and waits until it answers. The caller has reserved a place.
func (p *Pool) start(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.closing, func() { cancel(errClosed) })()
	select {
	case p.starts <- struct{}{}:
		defer func() { <-p.starts }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	id, err := p.enrol()
	if err != nil {
		return nil, err
	}
	s := &session{fresh: true}
	s.process, err = p.launcher.spawn(id, p.cfg, func() { p.ended(s, id) })
	if err != nil {
		p.alive.Done()
		return nil, err
	}
	if _, err := s.greet(ctx, p.cfg.StartTimeout); err != nil {
		return nil, s.failedStart(err)
	}
	return s, nil
}

// enrol counts a process that is about to be started and names it.
func (p *Pool) enrol() (id string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return "", errClosed
	}
	p.alive.Add(1)
	p.serial++
	return strconv.Itoa(p.serial), nil
}

// ended runs once for each process, after it was reaped.
func (p *Pool) ended(s *session, id string) {
	defer p.alive.Done()
	p.mu.Lock()
	delete(p.idle, s)
	p.goneLocked(s, id)
	p.mu.Unlock()
	p.wakeKeeper()
}

// Stats is a snapshot of the pool.
type Stats struct{ Spares, Idle, Busy, Starting int }

// Stats counts the processes by state.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{Spares: len(p.spares), Idle: len(p.idle), Busy: len(p.busy), Starting: p.starting}
}

// Close stops every process and returns when all are reaped. Turns that still run
// lose their process; whoever wants them to finish waits before closing.
func (p *Pool) Close() { p.once.Do(p.close) }

func (p *Pool) close() {
	p.mu.Lock()
	p.closed = true
	for _, s := range p.spares {
		p.retireLocked(s)
	}
	for s := range p.idle {
		p.retireLocked(s)
	}
	for s := range p.busy {
		s.process.kill()
	}
	p.spares = nil
	p.mu.Unlock()
	p.stop()
	p.work.Wait()
	p.alive.Wait()
	p.launcher.close()
}
