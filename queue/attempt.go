package queue

import (
	"math/rand/v2"
	"slices"
	"time"
)

// How long an attempt may be silent. The first is short because moving the job costs nothing yet; the second is long
// because eight starting CLI processes hold two cores for 4 s and the client already has text.
const (
	silenceBeforeContent = 3 * time.Second
	silenceAfterContent  = 10 * time.Second
)

const (
	backoffBase = 500 * time.Millisecond
	backoffMax  = 30 * time.Second
)

// grantLocked gives a waiting job to a worker.
func (o *Owner) grantLocked(c *Call, w *remote, q claim, now time.Time) {
	if q.Place == c.out && !q.Direct {
		c.out, c.seq = 0, 0 // the worker acknowledges the ticket it came with
	}
	o.withdrawLocked(c)
	c.claimed = q
	o.leaveLocked(c)

	c.phase = phaseRunning
	c.epoch++
	c.worker = w
	w.running++
	c.granted, c.seen = now, now
	c.next, c.stuck, c.asked, c.content = 1, 0, time.Time{}, false
	c.waited, c.announce = now.Sub(c.submitted), true
	c.notify()
	o.armLocked(c)
}

// settleLocked takes an attempt's end: it is the client's answer, or the reason for another attempt.
func (o *Owner) settleLocked(c *Call, end End) {
	o.turn += (time.Since(c.granted) - o.turn) / turnWeight
	if end.Retry == RetryElsewhere {
		c.refused++
	}
	delay, again := o.anotherLocked(c, end)
	if !again {
		if left, all := o.allRestLocked(c.job.Pool, c.job.Model, time.Now()); all && end.Retry == RetryElsewhere {
			end.RetryAfter = left
		}
		c.end = &end
		o.finishLocked(c, nil)
		return
	}
	if end.Retry != RetryLater {
		c.avoid = append(c.avoid, c.worker.ID)
	}
	if len(end.Data) > 0 {
		c.former = append(c.former, end.Data)
	}
	o.log.Info().Str("job", c.job.ID).Str("worker", c.worker.ID).Int("attempt", c.epoch).Dur("pause", delay).Msg("attempt failed, trying again")
	o.againLocked(c, delay)
}

// turnWeight is how many turns the average remembers, firstTurnGuess what it starts with.
const (
	turnWeight     = 16
	firstTurnGuess = 10 * time.Second
)

// anotherLocked decides whether a failed attempt is followed by another one, and how long the pause before it is.
func (o *Owner) anotherLocked(c *Call, end End) (pause time.Duration, ok bool) {
	if end.OK || !o.mayMoveLocked(c) {
		return 0, false
	}
	switch end.Retry {
	case RetryElsewhere:
		return 0, o.othersLocked(c, c.worker.ID)
	case RetryAnew:
		if o.othersLocked(c, c.worker.ID) {
			return 0, true
		}
		fallthrough
	case RetryLater:
		pause = max(backoff(c.epoch), end.RetryAfter)
		return pause, c.job.Deadline.IsZero() || time.Now().Add(pause).Before(c.job.Deadline)
	}
	return 0, false
}

func (o *Owner) mayMoveLocked(c *Call) bool {
	return !c.cancelled && !c.shown && c.epoch-c.refused < o.cfg.MaxAttempts
}

// othersLocked tells whether any worker besides one could run the job.
func (o *Owner) othersLocked(c *Call, except string) bool {
	for id, w := range o.workers {
		if id != except && o.eligibleLocked(c, w) {
			return true
		}
	}
	return false
}

// backoff is 0.5 s doubled with each attempt, and up to half of it more.
func backoff(attempts int) time.Duration {
	pause := min(backoffBase<<min(max(attempts-1, 0), 10), backoffMax)
	return pause + rand.N(pause/2)
}

// loseLocked gives up a running attempt whose worker is gone or silent.
func (o *Owner) loseLocked(c *Call, why string) {
	o.log.Warn().Str("job", c.job.ID).Str("worker", c.worker.ID).Int("attempt", c.epoch).Str("why", why).Msg("attempt lost")
	switch {
	case c.cancelled:
		o.finishLocked(c, ErrCancelled)
	case !o.mayMoveLocked(c):
		o.finishLocked(c, ErrWorkerLost)
	default:
		if !slices.Contains(c.avoid, c.worker.ID) {
			c.avoid = append(c.avoid, c.worker.ID)
		}
		o.orderStopLocked(c)
		o.againLocked(c, 0)
	}
}

// againLocked voids what the current attempt produced and lets the job wait for another worker.
func (o *Owner) againLocked(c *Call, pause time.Duration) {
	o.stopRunningLocked(c)
	c.events, c.buffered, c.withheld, c.announce = nil, 0, false, false
	o.publishLocked(o.enterLocked(c, pause))
}

func (o *Owner) stopRunningLocked(c *Call) {
	c.worker.running--
	c.partial, c.inPartial = nil, false
	c.phase = phasePaused
}

// finishLocked ends a call in whatever phase it is. A nil error means that its End was set.
func (o *Owner) finishLocked(c *Call, err error) {
	switch c.phase {
	case phaseEnded:
		return
	case phaseRunning:
		if err != nil && !c.cancelled {
			o.orderStopLocked(c)
		}
		o.stopRunningLocked(c)
	default:
		o.withdrawLocked(c)
		o.leaveLocked(c)
	}
	c.phase = phaseEnded
	c.err = err
	c.job.Body = nil
	c.timer.Stop()
	c.notify()
}

// orderStopLocked tells the worker that an attempt is not wanted any more. Should the message get lost, the answer to
// the worker's next sign of life says it again.
func (o *Owner) orderStopLocked(c *Call) {
	o.sayLocked(downSubject(c.worker.ID, verbCancel), order{Job: c.job.ID, Epoch: c.epoch})
}

// onTimer is the one timer of a call.
func (c *Call) onTimer() {
	o := c.o
	o.mu.Lock()
	defer o.mu.Unlock()
	if c.phase == phaseEnded || o.closed {
		return
	}
	o.dueLocked(c, time.Now())
}

// dueLocked does what time demands of a call and sets its timer again.
func (o *Owner) dueLocked(c *Call, now time.Time) {
	switch {
	case passed(c.job.Deadline, now):
		o.finishLocked(c, ErrDeadline)
	case c.phase == phaseRunning && c.cancelled && passed(c.until, now):
		o.finishLocked(c, ErrCancelled)
	case c.phase == phaseRunning:
		if passed(c.seen.Add(c.patience()), now) {
			o.loseLocked(c, "silence")
		}
	case passed(o.noBrokerAtLocked(), now):
		o.finishLocked(c, ErrNoBroker)
	case passed(c.queueUntil, now):
		o.finishLocked(c, ErrDeadline)
	case passed(o.noWorkerAtLocked(c), now):
		o.finishLocked(c, ErrNoWorker)
	case c.phase == phaseSticky && passed(c.until, now):
		o.fallBackLocked(c)
	case c.phase == phasePaused && passed(c.until, now):
		o.publishLocked(o.placeLocked(c, true))
	}
	o.armLocked(c)
}

func passed(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }

func (c *Call) patience() time.Duration {
	if c.content {
		return silenceAfterContent
	}
	return silenceBeforeContent
}

// noWorkerAtLocked is when a waiting call gives up because its pool has no worker, zero while it has one.
func (o *Owner) noWorkerAtLocked(c *Call) time.Time {
	p := o.pools[c.job.Pool]
	if p.workers > 0 {
		return time.Time{}
	}
	if p.emptySince.Before(c.submitted) {
		return c.submitted.Add(o.cfg.WorkerWait)
	}
	return p.emptySince.Add(o.cfg.WorkerWait)
}

// armLocked sets the timer to the next moment at which dueLocked has something to do.
func (o *Owner) armLocked(c *Call) {
	if c.phase == phaseEnded {
		return
	}
	times := []time.Time{c.job.Deadline}
	switch c.phase {
	case phaseRunning:
		times = append(times, c.seen.Add(c.patience()))
		if c.cancelled {
			times = append(times, c.until)
		}
	case phaseSticky, phasePaused:
		times = append(times, c.queueUntil, o.noWorkerAtLocked(c), o.noBrokerAtLocked(), c.until)
	default:
		times = append(times, c.queueUntil, o.noWorkerAtLocked(c), o.noBrokerAtLocked())
	}
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	c.timer.Reset(max(time.Until(first), 0))
}
