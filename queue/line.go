package queue

import (
	"slices"
	"time"
)

// maxUnclaimed is how many tickets of one key and node may wait for a slot at the same time, and never more than the pool
// has slots. The others wait in the key's line, and each claim lets the next one out, behind the tickets of other keys.
// So a key with thousands of jobs delays one of another key by as many jobs as run at a time, one turn, at most.
const maxUnclaimed = 4

// ticketsLocked is maxUnclaimed in a pool.
func (o *Owner) ticketsLocked(pool string) int {
	return min(maxUnclaimed, max(1, o.slotsLocked(pool)))
}

// slotsLocked counts the slots of a pool's workers that take jobs.
func (o *Owner) slotsLocked(pool string) (slots int) {
	now := time.Now()
	for _, w := range o.workers {
		if _, rests := w.restsFor("", now); w.serves(pool) && !w.Draining && !rests && w.lost.IsZero() {
			slots += w.Slots
		}
	}
	return slots
}

type lineID struct{ pool, key string }

// line holds the waiting calls of one key in one pool. Its bound is OwnerConfig.MaxWaitingPerKey, kept by Submit.
type line struct {
	waiting int     // in any waiting phase
	tickets []*Call // with a ticket out that waits for a slot, oldest first
	calls   []*Call // without one, in their order
}

func (l *line) push(c *Call, front bool) {
	if front {
		l.calls = slices.Insert(l.calls, 0, c)
	} else {
		l.calls = append(l.calls, c)
	}
}

func (l *line) pop() *Call {
	c := l.calls[0]
	l.calls = slices.Delete(l.calls, 0, 1)
	return c
}

// leave takes a call off the line, and reports whether it had a ticket there.
func (l *line) leave(c *Call) (ticketed bool) {
	before := len(l.tickets)
	l.tickets, l.calls = without(l.tickets, c), without(l.calls, c)
	return len(l.tickets) < before
}

func without(calls []*Call, c *Call) []*Call {
	if i := slices.Index(calls, c); i >= 0 {
		return slices.Delete(calls, i, i+1)
	}
	return calls
}

func (o *Owner) lineLocked(id lineID) *line {
	l := o.lines[id]
	if l == nil {
		l = &line{}
		o.lines[id] = l
	}
	return l
}

// releaseLocked lets calls out of a line as far as their tickets are allowed.
func (o *Owner) releaseLocked(l *line) {
	for len(l.calls) > 0 && len(l.tickets) < o.ticketsLocked(l.calls[0].job.Pool) {
		c := l.pop()
		o.publishLocked(o.placeLocked(c, true))
	}
}
