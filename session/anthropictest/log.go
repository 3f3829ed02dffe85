package anthropictest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// log is the bounded record of requests.
type log struct {
	now  func() time.Time
	keep int // 0: no bound

	mu      sync.Mutex
	seen    int           // requests since the last reset, also those no longer kept
	entries []*Request    // the last of them, in order
	changed chan struct{} // closed and replaced at every change
}

func newLog() *log { return &log{now: time.Now, changed: make(chan struct{})} }

// add stamps and records a request. What it returns is the log's own: to be changed by update only.
func (l *log) add(r *Request) *Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen++
	r.N, r.At = l.seen, l.now()
	entry := *r
	l.entries = append(l.entries, &entry)
	if l.keep > 0 && len(l.entries) > l.keep {
		l.entries = slices.Delete(l.entries, 0, len(l.entries)-l.keep)
	}
	l.announceLocked()
	return &entry
}

// update changes an entry under the lock; all fields that change after add are written here.
func (l *log) update(r *Request, change func(r *Request, now time.Time)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(r, l.now())
	l.announceLocked()
}

func (l *log) announceLocked() {
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *log) all() []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]Request, len(l.entries))
	for i, r := range l.entries {
		out[i] = *r
	}
	return out
}

func (l *log) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen, l.entries = 0, nil
	l.announceLocked()
}

func (l *log) wait(ctx context.Context, n int, ready func(Request) bool) (Request, error) {
	for {
		r, ok, changed, err := l.look(n)
		if err != nil {
			return Request{}, err
		}
		if ok && ready(r) {
			return r, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Request{}, fmt.Errorf("waiting for request %d: %w", n, context.Cause(ctx))
		}
	}
}

func (l *log) look(n int) (Request, bool, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n > l.seen {
		return Request{}, false, l.changed, nil
	}
	i := n - 1 - (l.seen - len(l.entries))
	if i < 0 {
		return Request{}, false, nil, fmt.Errorf("request %d: %w", n, errForgotten)
	}
	return *l.entries[i], true, l.changed, nil
}
