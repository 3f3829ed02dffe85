package session

import (
	"context"
	"slices"
	"time"
)

// keep runs for the life of the pool: it starts spares, one at a time, and stops
// sessions that nobody has used for IdleTTL.
func (p *Pool) keep(ctx context.Context) {
	const soonest, latest = 500 * time.Millisecond, 30 * time.Second
	pause := soonest        // after a failed start; doubles while starts fail
	var notBefore time.Time // of the next start, whatever wakes the keeper
	for ctx.Err() == nil {
		next := p.expire()
		if wait := time.Until(notBefore); wait > 0 {
			next = min(next, wait)
		} else if started, err := p.refill(ctx); ctx.Err() != nil {
			return
		} else if err != nil {
			p.log.Warn().Err(err).Dur("retry_in", pause).Msg("no spare process")
			notBefore, next = time.Now().Add(pause), min(next, pause)
			pause = min(2*pause, latest)
		} else if started {
			pause = soonest
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(next):
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
		p.coming = make(chan struct{})
	}
	p.mu.Unlock()
	if !missing {
		return false, nil
	}
	s, err := p.start(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starting--
	close(p.coming)
	p.coming = nil
	if err != nil {
		return false, err
	}
	if p.closed {
		p.retireLocked(s)
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
			p.retireLocked(s)
			continue
		}
		next = min(next, left)
	}
	p.spares = slices.DeleteFunc(p.spares, func(s *session) bool { return s.dead() })
	return next
}
