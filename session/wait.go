package session

import (
	"context"
	"errors"
	"slices"

	"maxrelay/session/chat"
)

// errBusy is what a turn gets for which no process can come free.
var errBusy = errors.New("every session is busy")

// waiter is a turn that has no process yet. It does not start one itself: starts are
// the pool's, and whatever comes free first, a spare, a session of its tenant or a
// process just started, goes to the first waiter that it suits.
type waiter struct {
	req   *chat.Request
	chain []chat.Fingerprint
	got   chan claim // has room for the one answer
}

// claim is a session made busy for a turn, or why there is none.
type claim struct {
	s    *session
	plan plan
	err  error
}

// take finds the session that serves req with the least work and makes it busy.
func (p *Pool) take(ctx context.Context, req *chat.Request) (*session, plan, error) {
	if ctx.Err() != nil {
		return nil, plan{}, context.Cause(ctx)
	}
	w := &waiter{req: req, chain: chat.Chain(req), got: make(chan claim, 1)}
	p.join(w)
	select {
	case c := <-w.got:
		return c.s, c.plan, c.err
	case <-ctx.Done():
		p.leave(w)
		return nil, plan{}, context.Cause(ctx)
	}
}

func (p *Pool) join(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = append(p.waiting, w)
	if p.closed {
		p.failLocked(1, errClosed)
		return
	}
	p.balanceLocked()
}

// leave is for a turn that was given up. It may have got its session at that moment.
func (p *Pool) leave(w *waiter) {
	p.mu.Lock()
	n := len(p.waiting)
	p.waiting = without(p.waiting, w)
	waited := len(p.waiting) < n
	p.balanceLocked()
	p.mu.Unlock()
	if waited {
		return
	}
	if c := <-w.got; c.err == nil {
		p.release(c.s, nil)
	}
}

// balanceLocked brings turns and processes together after any change: it serves who
// waits, gives up starts that are not needed any more, starts what is missing, and
// refuses what cannot be had. It never blocks.
func (p *Pool) balanceLocked() {
	if p.closed {
		return
	}
	p.serveLocked()
	p.abandonLocked()
	p.startLocked()
	p.refuseLocked()
}

// serveLocked gives waiting turns what suits them, in their order.
func (p *Pool) serveLocked() {
	left := p.waiting[:0]
	for _, w := range p.waiting {
		if s, pl, ok := p.chooseLocked(w, len(left)); ok {
			p.useLocked(s)
			w.got <- claim{s: s, plan: pl}
		} else {
			left = append(left, w)
		}
	}
	clear(p.waiting[len(left):])
	p.waiting = left
}

// chooseLocked returns the session for w. ahead turns wait before it. At worst an idle
// one is cut to empty and loses what it holds; one that had its share of conversations
// loses it by ending.
func (p *Pool) chooseLocked(w *waiter, ahead int) (*session, plan, bool) {
	crowded := p.keptByLocked(w.req.Tenant.Key) >= p.cfg.MaxSessionsPerKey
	room := len(p.spares) > 0 || len(p.starts) > ahead || p.roomLocked(afterStops)
	s, pl, found := p.bestIdleLocked(w)
	switch {
	case !found || !pl.worth() && room && !crowded:
	case !pl.worth() && p.usedUp(s):
		p.retireLocked(s, EndUses)
	default:
		return s, pl, true
	}
	if s := p.spareLocked(); s != nil {
		s.claim(w.req, w.chain[0])
		pl, _ := planFor(nil, w.chain)
		return s, pl, true
	}
	return nil, plan{}, false
}

// bestIdleLocked returns the idle session with the cheapest plan; among equals the one
// that was idle longest. One that has grown too large is not begun anew.
func (p *Pool) bestIdleLocked(w *waiter) (best *session, pl plan, found bool) {
	for s := range p.idle {
		q, ok := planFor(&s.rec, w.chain)
		if !ok || s.dead() || !s.tools.takes(w.req.Tools) || !q.worth() && s.private > p.cfg.MaxPrivate {
			continue
		}
		if !found || q.better(pl) || (!pl.better(q) && s.idleSince.Before(best.idleSince)) {
			best, pl, found = s, q, true
		}
	}
	return best, pl, found
}

func (p *Pool) usedUp(s *session) bool { return s.conversations >= p.cfg.MaxConversations }

func (p *Pool) spareLocked() *session {
	for len(p.spares) > 0 {
		s := p.spares[0]
		p.spares = p.spares[1:]
		if !s.dead() {
			return s
		}
		p.count.ended[EndDied]++
	}
	return nil
}

// refuseLocked fails turns that wait for nothing. A turn waits as long as a process
// starts or ends, because one of these becomes its own: so no more may wait than there
// are processes without a turn. When all have one, or memory has no room for another,
// the job goes elsewhere.
func (p *Pool) refuseLocked() {
	if over := len(p.busy) + len(p.waiting) - p.cfg.MaxSessions; over > 0 {
		slices.Reverse(p.waiting) // the newest goes
		p.failLocked(min(over, len(p.waiting)), errBusy)
		slices.Reverse(p.waiting)
	}
	if len(p.starts) == 0 && len(p.stopping) == 0 {
		p.failLocked(len(p.waiting), errBusy)
	}
}

// failLocked tells the first n that wait why they get no session.
func (p *Pool) failLocked(n int, err error) {
	for _, w := range p.waiting[:n] {
		w.got <- claim{err: err}
	}
	p.waiting = slices.Delete(p.waiting, 0, n)
}

func without[T comparable](list []T, gone T) []T {
	return slices.DeleteFunc(list, func(one T) bool { return one == gone })
}
