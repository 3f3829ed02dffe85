package limit

import (
	"sort"
	"time"
)

// window is the admitted requests of a key, oldest first. Its times never go back, as
// the broker's may when another of its nodes becomes the leader.
type window struct {
	times []time.Time
}

// take admits a request of time t if the rate has room for it.
func (w *window) take(t time.Time, r Rate) bool {
	w.forget(t.Add(-r.Period))
	if r.Requests > 0 && len(w.times) >= r.Requests {
		return false
	}
	if n := len(w.times); n > 0 && t.Before(w.times[n-1]) {
		t = w.times[n-1]
	}
	w.times = append(w.times, t)
	return true
}

// forget drops what happened at t or before.
func (w *window) forget(t time.Time) {
	w.times = w.times[w.first(t):]
}

// first is the index of the first request after t.
func (w *window) first(t time.Time) int {
	return sort.Search(len(w.times), func(i int) bool { return w.times[i].After(t) })
}

// view is what a window looks like at one moment, against a rate that has a limit.
type view struct {
	left  int           // requests it has room for
	next  time.Duration // until it has room for one
	empty time.Duration // until it holds none
}

func (w *window) at(now time.Time, r Rate) view {
	held := w.times[w.first(now.Add(-r.Period)):]
	n := len(held)
	v := view{left: max(0, r.Requests-n)}
	if n > 0 {
		v.empty = held[n-1].Add(r.Period).Sub(now)
	}
	if v.left == 0 {
		v.next = held[n-r.Requests].Add(r.Period).Sub(now)
	}
	return v
}
