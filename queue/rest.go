package queue

import (
	"slices"
	"strings"
	"time"
)

// Rest is a time in which a worker takes no jobs: its account is used up.
type Rest struct {
	Models string    `json:"models,omitempty"` // part of the names of those that rest; "" for all
	Until  time.Time `json:"until,omitzero"`   // zero: until the worker says otherwise
}

func (r Rest) over(now time.Time) bool { return passed(r.Until, now) }

func (r Rest) holdsFor(model string) bool { return strings.Contains(model, r.Models) }

// Bounds of what a worker may say of its rests.
const (
	maxRests = 16
	maxRest  = 366 * 24 * time.Hour
)

// restWire is a rest on its way to the owners. It has the time left, because clocks of machines differ.
type restWire struct {
	Models string `json:"models,omitempty"`
	LeftMS int64  `json:"left_ms,omitempty"` // 0: no end is known
}

func packRests(rests []Rest, now time.Time) (out []restWire) {
	for _, r := range rests {
		switch {
		case r.Until.IsZero():
			out = append(out, restWire{Models: r.Models})
		case !r.over(now):
			out = append(out, restWire{r.Models, max(1, r.Until.Sub(now).Milliseconds())})
		}
	}
	return out[:min(len(out), maxRests)]
}

func unpackRests(wire []restWire, now time.Time) (out []Rest) {
	for _, r := range wire[:min(len(wire), maxRests)] {
		rest := Rest{Models: r.Models}
		if r.LeftMS > 0 {
			rest.Until = now.Add(millis(min(r.LeftMS, maxRest.Milliseconds())))
		}
		if len(r.Models) <= maxModel {
			out = append(out, rest)
		}
	}
	return out
}

// left is 0 where no end is known.
func (r Rest) left(now time.Time) time.Duration {
	if r.Until.IsZero() {
		return 0
	}
	return r.Until.Sub(now)
}

// unused is what a worker has left, from 1 to 0: the free share of its slots, times the unused share of its account.
// The worker with the most left is served first. Where accounts have no limit that is the least loaded one; where all
// are idle, the one whose account was used least.
func unused(free, slots int, use float64) float64 {
	return float64(free) / float64(max(slots, 1)) * (1 - use)
}

// SetAccount says how much of its account the worker has used, from 0 to 1, and when it rests. It replaces what was
// said before, and owners are told at once. What runs goes on.
func (w *Worker) SetAccount(use float64, rests []Rest) {
	use = min(max(use, 0), 1)
	w.mu.Lock()
	w.loadChangedLocked(!slices.Equal(w.rests, rests) || decile(w.use) != decile(use))
	w.use, w.rests = use, slices.Clone(rests)
	w.mu.Unlock()
	w.kickPullers()
}

func (w *Worker) restWire() []restWire {
	w.mu.Lock()
	defer w.mu.Unlock()
	return packRests(w.rests, time.Now())
}

// restLocked is how long the worker takes no jobs for a model, "" for any. ok is false when it does not rest.
func (w *Worker) restLocked(model string, now time.Time) (left time.Duration, ok bool) {
	for _, r := range w.rests {
		if r.holdsFor(model) && !r.over(now) {
			ok = true
			left = max(left, r.left(now))
		}
	}
	return left, ok
}

// restsFor tells whether the worker rests for a model, and until when; zero where no end is known.
func (w *remote) restsFor(model string, now time.Time) (until time.Time, ok bool) {
	for _, r := range w.rests {
		if !r.holdsFor(model) || r.over(now) {
			continue
		}
		if r.Until.IsZero() {
			return time.Time{}, true
		}
		if ok = true; r.Until.After(until) {
			until = r.Until
		}
	}
	return until, ok
}

// tiredLocked tells whether a worker of the call's pool rests for its model, but not for all: it still pulls tickets,
// and should not get this one.
func (o *Owner) tiredLocked(c *Call) bool {
	now := time.Now()
	for _, w := range o.workers {
		_, rests := w.restsFor(c.job.Model, now)
		if _, all := w.restsFor("", now); rests && !all && w.serves(c.job.Pool) {
			return true
		}
	}
	return false
}

// allRestLocked tells whether every worker that could take such jobs rests, and how long the first of them still
// does: 0 where no end is known. One that lost its connection may be back in a moment.
func (o *Owner) allRestLocked(pool, model string, now time.Time) (left time.Duration, all bool) {
	var first time.Time
	for _, w := range o.workers {
		if !w.serves(pool) || w.Draining {
			continue
		}
		until, rests := w.restsFor(model, now)
		if !rests || !w.lost.IsZero() {
			return 0, false
		}
		if all = true; first.IsZero() || !until.IsZero() && until.Before(first) {
			first = until
		}
	}
	if first.IsZero() {
		return 0, all
	}
	return max(first.Sub(now), time.Second), all
}

// giveUpLocked ends the waiting calls of pools in which nobody will take them soon.
func (o *Owner) giveUpLocked(pools []string) {
	if o.waiting == 0 {
		return
	}
	now := time.Now()
	for _, c := range o.calls {
		if c.phase == phaseRunning || c.phase == phaseEnded || !slices.Contains(pools, c.job.Pool) {
			continue
		}
		if left, all := o.allRestLocked(c.job.Pool, c.job.Model, now); all {
			o.finishLocked(c, ErrResting{RetryAfter: left})
		}
	}
}
