package session

import (
	"context"
	"time"
)

// keep runs for the life of the pool. It does what is due by time and not by an event:
// it measures memory, ends what nobody has used for IdleTTL, looks whether the CLI was
// replaced, and tries again after starts that failed.
func (p *Pool) keep(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-p.wake:
		}
		timer.Reset(p.tend())
	}
}

// wakeKeeper never blocks: one pending wake is enough.
func (p *Pool) wakeKeeper() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// tend does what is due and returns when to look again.
func (p *Pool) tend() (next time.Duration) {
	p.look()
	p.measure()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return p.cfg.rhythm.tick
	}
	next = min(p.cfg.rhythm.tick, p.expireLocked(), p.renewLocked())
	p.balanceLocked()
	if wait := p.backoff.left(); wait > 0 {
		next = min(next, wait)
	}
	return next
}

// expireLocked stops sessions that were idle for IdleTTL, and spares beyond Spares,
// left by turns that went away, of the same age. It returns when the next one is due.
func (p *Pool) expireLocked() (next time.Duration) {
	next = p.cfg.IdleTTL
	for s := range p.idle {
		if left := p.cfg.IdleTTL - time.Since(s.idleSince); left > 0 {
			next = min(next, left)
		} else {
			p.retireLocked(s, EndTTL)
		}
	}
	for len(p.spares) > p.cfg.Spares && time.Since(p.spares[0].idleSince) >= p.cfg.IdleTTL {
		p.retireSpareLocked(0, EndTTL)
	}
	return next
}
