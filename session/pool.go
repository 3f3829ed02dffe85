package session

import (
	"context"
	"errors"
	"fmt"
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
	starts   chan struct{} // tokens for starting a process
	wake     chan struct{} // tells the keeper to look again; one pending wake is enough
	stop     context.CancelFunc
	work     sync.WaitGroup // the keeper and processes being stopped
	alive    sync.WaitGroup // processes not yet reaped

	mu       sync.Mutex
	closed   bool
	spares   []*session // oldest first
	idle     map[*session]struct{}
	busy     map[*session]struct{}
	starting int // places reserved for processes being started
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
	p := &Pool{cfg: cfg, log: log, launcher: l, stop: stop,
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
	s, plan, err := p.take(ctx, req)
	if err != nil {
		return chat.Outcome{Error: p.startError(ctx, err)}
	}
	s.attend()
	out := newTurn(s, &p.cfg, req, plan, emit).run(ctx)
	s.unattend()
	p.release(s)
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
	p.mu.Lock()
	s, pl, spent, err := p.chooseLocked(req, chain)
	p.mu.Unlock()
	p.retire(spent...)
	if err != nil || s != nil {
		return s, pl, err
	}
	return p.takeStarted(ctx, req, chain)
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

// chooseLocked returns the session to use, or none when a place was reserved for a new
// process. spent are processes to be stopped to make room.
func (p *Pool) chooseLocked(req *chat.Request, chain []chat.Fingerprint) (s *session, pl plan, spent []*session, err error) {
	if p.closed {
		return nil, plan{}, nil, errClosed
	}
	crowded := p.heldByLocked(req.Tenant.Key) >= p.cfg.MaxSessionsPerKey
	room := len(p.spares) > 0 || p.sizeLocked() < p.cfg.MaxSessions
	s, pl, found := p.bestIdleLocked(chain)
	if found && (pl.worth() || crowded || !room) { // at worst, cut to empty
		p.useLocked(s)
		return s, pl, nil, nil
	}
	if crowded {
		spent = p.spendLocked(func(o *session) bool { return o.key == req.Tenant.Key })
	}
	if spare := p.spareLocked(); spare != nil {
		pl, _ = planFor(nil, chain)
		p.claimLocked(spare, req, chain[0])
		return spare, pl, spent, nil
	}
	if p.sizeLocked() < p.cfg.MaxSessions {
		p.starting++
		return nil, plan{}, spent, nil
	}
	if spent = append(spent, p.spendLocked(func(*session) bool { return true })...); len(spent) == 0 {
		return nil, plan{}, nil, errBusy
	}
	p.starting++
	return nil, plan{}, spent, nil
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

// spendLocked removes the longest idle of the sessions that match from the pool.
func (p *Pool) spendLocked(match func(*session) bool) []*session {
	var oldest *session
	for s := range p.idle {
		if match(s) && (oldest == nil || s.idleSince.Before(oldest.idleSince)) {
			oldest = s
		}
	}
	if oldest == nil {
		return nil
	}
	delete(p.idle, oldest)
	return []*session{oldest}
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
	p.changed(s, true)
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
	delete(p.busy, s)
	spent := s.doomed || s.dead() || p.closed || s.conversations >= p.cfg.MaxConversations
	if !spent {
		s.idleSince = time.Now()
		p.idle[s] = struct{}{}
		p.changed(s, false)
	}
	closed := p.closed
	p.mu.Unlock()
	switch {
	case closed: // Close has killed it, and waits for it
	case spent:
		p.retire(s)
	}
	p.wakeKeeper()
}

// changed tells the directory what s holds. It is called under the mutex, so that the
// news of one process come in order.
func (p *Pool) changed(s *session, busy bool) {
	p.cfg.Changed(Holding{Process: s.id, Chain: s.rec.chain(), Busy: busy})
}

// retire stops processes in the background.
func (p *Pool) retire(sessions ...*session) {
	for _, s := range sessions {
		p.work.Go(s.process.stop)
	}
}

// start starts a process and waits until it answers. The caller has reserved a place.
func (p *Pool) start(ctx context.Context) (*session, error) {
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
		s.kill()
		return nil, fmt.Errorf("the CLI did not start: %w", err)
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
	p.cfg.Changed(Holding{Process: id, Gone: true})
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
func (p *Pool) Close() {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	p.closed = true
	var all []*session
	all = append(all, p.spares...)
	for s := range p.idle {
		all = append(all, s)
	}
	for s := range p.busy {
		s.process.kill()
	}
	p.spares, p.idle = nil, map[*session]struct{}{}
	p.mu.Unlock()
	p.stop()
	p.retire(all...)
	p.work.Wait()
	p.alive.Wait()
	p.launcher.close()
}
