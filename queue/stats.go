package queue

import (
	"cmp"
	"slices"
	"time"
)

// Stats is what an owner holds at a moment.
type Stats struct {
	Waiting  int           `json:"waiting"`
	Running  int           `json:"running"`
	Slots    int           `json:"slots"`
	Busy     int           `json:"busy"`
	MeanTurn time.Duration `json:"mean_turn"`
	Keys     []KeyStats    `json:"keys"` // those with open jobs, the most waiting first
}

// KeyStats counts the open jobs of one key in one pool.
type KeyStats struct {
	Pool    string `json:"pool"`
	KeyID   string `json:"key"`
	Waiting int    `json:"waiting"`
	Running int    `json:"running"`
}

// Stats counts what waits and runs.
func (o *Owner) Stats() Stats {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := Stats{Waiting: o.waiting, MeanTurn: o.turn}
	for _, w := range o.workers {
		s.Slots += w.Slots
		s.Busy += w.Busy
	}
	keys := make(map[lineID]*KeyStats)
	for _, c := range o.calls {
		if c.phase == phaseEnded {
			continue
		}
		k := keys[c.line()]
		if k == nil {
			k = &KeyStats{Pool: c.job.Pool, KeyID: c.job.KeyID}
			keys[c.line()] = k
		}
		if c.phase == phaseRunning {
			k.Running++
			s.Running++
		} else {
			k.Waiting++
		}
	}
	for _, k := range keys {
		s.Keys = append(s.Keys, *k)
	}
	slices.SortFunc(s.Keys, func(a, b KeyStats) int {
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), cmp.Compare(b.Running, a.Running), cmp.Compare(a.KeyID, b.KeyID), cmp.Compare(a.Pool, b.Pool))
	})
	return s
}

// Bounds of a retry-after: a client that comes back at once only adds load, and nobody plans beyond a minute.
const (
	minRetryAfter = time.Second
	maxRetryAfter = time.Minute
)

// retryAfterLocked estimates when the queue of a pool has room: what waits, times the mean turn, over the slots.
func (o *Owner) retryAfterLocked(pool string) time.Duration {
	slots := 0
	for _, w := range o.workers {
		if w.serves(pool) {
			slots += w.Slots
		}
	}
	estimate := time.Duration(o.waiting) * o.turn / time.Duration(max(slots, 1))
	return min(max(estimate.Round(time.Second), minRetryAfter), maxRetryAfter)
}
