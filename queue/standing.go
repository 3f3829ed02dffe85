package queue

import (
	"slices"
	"time"
)

// Waits reports whether nobody has the job, though some may have had it before.
func (c *Call) Waits() bool {
	c.o.mu.Lock()
	defer c.o.mu.Unlock()
	return c.phase != phaseRunning && c.phase != phaseEnded
}

// Standing is where a waiting job stands among those of its pool, as far as this node knows them.
type Standing struct {
	Position int           // 1 is the next to be taken
	Estimate time.Duration // until it is taken, by the mean turn, or given up; 0: a slot is free
}

// Standing tells where the job stands. ok is false while it does not wait for its turn: it runs, is over, waits for one
// certain worker, or for another attempt.
func (c *Call) Standing() (s Standing, ok bool) {
	c.o.mu.Lock()
	defer c.o.mu.Unlock()
	return c.o.standingLocked(c)
}

func (o *Owner) standingLocked(c *Call) (s Standing, ok bool) {
	if c.phase != phaseInLine && c.phase != phaseTicketed {
		return Standing{}, false
	}
	s.Position = o.aheadLocked(c) + 1
	free := 0
	for _, w := range o.workers {
		if o.eligibleLocked(c, w) {
			free += max(0, w.free())
		}
	}
	if free < s.Position {
		turns := time.Duration(s.Position) * o.turn / time.Duration(max(1, o.slotsLocked(c.job.Pool)))
		s.Estimate = c.stoodLocked(s.Position, turns, time.Now())
	}
	return s, true
}

// stoodLocked takes off an estimate what was waited since the job was first seen to stand there. Some of it is left as
// long as the job waits, but no more than there is until it is given up.
func (c *Call) stoodLocked(position int, estimate time.Duration, now time.Time) time.Duration {
	if position != c.position {
		c.position, c.stands = position, now
	}
	estimate = max(estimate-now.Sub(c.stands), min(estimate, time.Second))
	return max(0, min(estimate, c.queueUntil.Sub(now)))
}

// aheadLocked counts the jobs that are to be taken before a waiting one: those of its key that stand before it, and of
// each other key as many as have their turn meanwhile.
func (o *Owner) aheadLocked(c *Call) int {
	id := c.line()
	l := o.lines[id]
	own := slices.Index(l.tickets, c)
	if own < 0 {
		own = len(l.tickets) + slices.Index(l.calls, c)
	}
	ahead := own
	for other, line := range o.lines {
		if other != id && other.pool == id.pool {
			ahead += min(line.waiting, own+1)
		}
	}
	return ahead
}
