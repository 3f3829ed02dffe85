package session

import (
	"context"
	"time"
)

// keep runs for the life of the pool: it starts spares, one at a time, and stops
// sessions that nobody has used for IdleTTL.
func (p *Pool) keep(ctx context.Context) {
	const soonest, latest = 500 * time.Millisecond, 30 * time.Second
	pause := soonest // after a failed start; doubles while starts fail
	for ctx.Err() == nil {
		var again <-chan time.Time
		switch started, err := p.refill(ctx); {
		case ctx.Err() != nil:
			return
		case err != nil:
			p.log.Warn().Err(err).Dur("retry_in", pause).Msg("no spare process")
			again = time.After(pause)
			pause = min(2*pause, latest)
		case started:
			pause = soonest
			continue
		default:
			again = time.After(p.expire())
		}
		select {
		case <-ctx.Done():
		case <-again:
		case <-p.wake:
		}
	}
}

// wakeKeeper never blocks: one pending wake is enough.
func (p *Pool) wakeKeeper() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// refill starts one spare if one is missing and there is room for it.
func (p *Pool) refill(ctx context.Context) (started bool, err error) {
	p.mu.Lock()
	missing := len(p.spares) < p.cfg.Spares && p.sizeLocked() < p.cfg.MaxSessions
	if missing {
		p.starting++
	}
	p.mu.Unlock()
	if !missing {
		return false, nil
	}
	s, err := p.start(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starting--
	if err != nil {
		return false, err
	}
	if p.closed {
		p.retire(s)
		return false, nil
	}
	p.spares = append(p.spares, s)
	return true, nil
}

// expire stops sessions that were idle for IdleTTL, drops dead spares, and returns
// when to look again.
func (p *Pool) expire() (next time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next = p.cfg.IdleTTL
	now := time.Now()
	for s := range p.idle {
		left := p.cfg.IdleTTL - now.Sub(s.idleSince)
		if left <= 0 {
			delete(p.idle, s)
			p.retire(s)
			continue
		}
		next = min(next, left)
	}
	living := p.spares[:0]
	for _, s := range p.spares {
		if s.dead() {
			p.wakeKeeper()
			continue
		}
		living = append(living, s)
	}
	p.spares = living
	return next
}
