package admin

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	maxAttempts    = 5
	attemptsWindow = time.Minute

	// maxSources bounds the memory of failed sign-ins. Beyond it the source whose last
	// one is the longest ago is forgotten: somebody with so many addresses to guess from
	// is not held up by one of them.
	maxSources = 10_000
)

// attempts counts sign-ins that failed, for each source of the last minute. Nodes count
// by themselves.
type attempts struct {
	now func() time.Time

	mu      sync.Mutex
	sources map[netip.Prefix][]time.Time // oldest first, at most maxAttempts each
}

// sourceOf is what counts as one caller: an IPv6 customer has a /64 and more of them.
func sourceOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	p, _ := addr.Prefix(bits) // no address, no prefix: those share one count
	return p
}

// begin counts an attempt as failed before it is looked at, so that many at once are
// many. wait is positive where there were too many.
func (a *attempts) begin(addr netip.Addr) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	source, now := sourceOf(addr), a.now()
	failed := slices.DeleteFunc(a.sources[source], func(t time.Time) bool { return now.Sub(t) >= attemptsWindow })
	if len(failed) >= maxAttempts {
		return failed[0].Add(attemptsWindow).Sub(now)
	}
	if a.sources == nil {
		a.sources = make(map[netip.Prefix][]time.Time)
	}
	a.sources[source] = append(failed, now)
	a.shrinkLocked(now)
	return 0
}

// succeed forgets the failures of a source.
func (a *attempts) succeed(addr netip.Addr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.sources, sourceOf(addr))
}

func (a *attempts) shrinkLocked(now time.Time) {
	if len(a.sources) <= maxSources {
		return
	}
	var oldest netip.Prefix
	last := now
	for source, failed := range a.sources {
		t := failed[len(failed)-1]
		if now.Sub(t) >= attemptsWindow {
			delete(a.sources, source)
		} else if t.Before(last) {
			oldest, last = source, t
		}
	}
	if len(a.sources) > maxSources {
		delete(a.sources, oldest)
	}
}
