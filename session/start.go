package session

import (
	"context"
	"errors"
	"strconv"
	"time"
)

// startsAtOnce bounds how many processes start at a time: on two cores eight at once
// take 4 s each, one alone 0.4 s (Claude Code 2.1.330).
const startsAtOnce = 2

// errUnwanted is the cause of a start that is given up because nobody needs it any more.
var errUnwanted = errors.New("nobody waits for the process any more")

// launch is a process being started. Every process is started unspecialised, so it
// suits whoever waits when it is ready.
type launch struct {
	cancel context.CancelCauseFunc
}

// backoff spaces out starts that no turn asks for while they fail.
type backoff struct {
	pause     time.Duration // before the next one, doubled by each failure; 0 after a success
	notBefore time.Time
}

func (b *backoff) fail() {
	const soonest, latest = 500 * time.Millisecond, 30 * time.Second
	b.pause = min(max(2*b.pause, soonest), latest)
	b.notBefore = time.Now().Add(b.pause)
}

func (b *backoff) left() time.Duration { return time.Until(b.notBefore) }

// startLocked starts what is missing: processes for turns that wait, as many at a time
// as start quickly, and one spare at a time. For a turn, idle sessions have to make
// room; never for a spare.
func (p *Pool) startLocked() {
	for len(p.starts) < min(startsAtOnce, len(p.waiting)) {
		switch {
		case p.roomLocked(atOnce):
			p.launchLocked()
		case p.roomLocked(afterStops):
			return // comes with the end of those being stopped
		case !p.spendLocked(p.waiting[len(p.starts)].req.Tenant.Key):
			return
		}
	}
	if len(p.starts) > 0 || p.backoff.left() > 0 {
		return
	}
	if scout := p.renewal.scout(); (scout || len(p.spares) < p.cfg.Spares) && p.roomLocked(atOnce) && p.affordLocked() {
		p.launchLocked()
	} else if scout && !p.roomLocked(afterStops) {
		p.retireIdleLocked(EndOutdated, anyone)
	}
}

func (p *Pool) launchLocked() {
	ctx, cancel := context.WithCancelCause(p.closing)
	l := &launch{cancel: cancel}
	p.starts = append(p.starts, l)
	p.work.Go(func() { p.launch(ctx, l) })
}

// abandonLocked gives up the newest start when more are under way than are needed.
func (p *Pool) abandonLocked() {
	needed := len(p.waiting) + max(0, p.cfg.Spares-len(p.spares))
	if p.renewal.scout() {
		needed++
	}
	if n := len(p.starts); n > needed {
		p.starts[n-1].cancel(errUnwanted)
	}
}

// launch starts a process. What becomes of it, or of the failure, is settled here.
func (p *Pool) launch(ctx context.Context, l *launch) {
	defer l.cancel(nil)
	s, err := p.start(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starts = without(p.starts, l)
	switch {
	case p.closed:
		if err == nil {
			p.discardLocked(s)
		}
		return
	case err == nil && s.dead():
		p.failedStartLocked(errDied)
	case err == nil:
		p.readyLocked(s)
	case !errors.Is(err, errUnwanted):
		p.failedStartLocked(err)
	}
	p.balanceLocked()
	p.wakeKeeper()
}

func (p *Pool) readyLocked(s *session) {
	p.backoff = backoff{}
	p.count.starts++
	s.idleSince = time.Now()
	s.memory = p.guess.mean
	p.spares = append(p.spares, s)
}

// failedStartLocked tells the turn that has waited longest, or the log.
func (p *Pool) failedStartLocked(err error) {
	p.backoff.fail()
	refused := errors.Is(err, errRefusedCLI) // nothing was started, and the log has the reason
	if !refused {
		p.count.failedStarts++
	}
	switch {
	case len(p.waiting) > 0:
		p.failLocked(1, err)
	case !refused:
		p.log.Warn().Err(err).Dur("retry_in", p.backoff.pause).Msg("no spare process")
	}
}

// start returns a process of a CLI that may serve. When a new one is found wanting, the
// former is started, if it is still there.
func (p *Pool) start(ctx context.Context) (*session, error) {
	for range 2 {
		file, err := p.candidate()
		if err != nil {
			return nil, err
		}
		s, err := p.greeted(ctx, file)
		if err != nil {
			return nil, err
		}
		err = p.admit(s.edition)
		if err == nil {
			err = context.Cause(ctx)
		}
		if err == nil {
			return s, nil
		}
		s.kill()
		<-s.done
		if !errors.Is(err, errRefusedCLI) {
			return nil, err
		}
	}
	return nil, errRefusedCLI
}

// greeted starts a process and waits until it answers.
func (p *Pool) greeted(ctx context.Context, file executable) (*session, error) {
	begun := time.Now()
	id, err := p.enrol()
	if err != nil {
		return nil, err
	}
	cfg := p.cfg
	cfg.Path = file.start
	s := &session{fresh: true}
	s.process, err = p.launcher.spawn(id, cfg, func() { p.ended(s, id) })
	if err != nil {
		p.alive.Done()
		return nil, err
	}
	version, err := s.greet(ctx, p.cfg.StartTimeout)
	if err != nil {
		return nil, s.failedStart(err)
	}
	p.meters.start.Observe(time.Since(begun).Seconds())
	s.edition = edition{file.identity, version}
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
