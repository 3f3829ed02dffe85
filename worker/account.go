package worker

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"maxrelay/queue"
	"maxrelay/session"
)

const (
	// restUnknown is how long an account rests whose limit did not say when it resets.
	restUnknown = 5 * time.Minute

	// restMore is how long an account rests that is refused after its reset. This machine's clock may be ahead of the
	// upstream's.
	restMore = 5 * time.Second

	// doubtFor is how long an account that the upstream refused for another reason than its use is asked last. It does
	// not rest: some refusals concern one request, and one caller must not cost others their worker.
	doubtFor = 30 * time.Second
)

// account is what the worker knows of its CLI's account: how much of it is used, and when it must rest.
//
// A rest is not kept over a restart. The first job then asks the upstream again, is refused, and moves before anything
// was shown; in return, a restart is all it takes when the operator has signed in with another account.
type account struct {
	mu      sync.Mutex
	kind    session.Account
	windows map[string]session.Window // by name, as last told
	rests   map[string]rest           // by family of models; "" is all of them
	doubt   time.Time                 // until when it is asked last
}

// rest is why and until when models of a family are not asked.
type rest struct {
	window string // that is used up, "" if it is not known
	until  time.Time
}

func newAccount(kind session.Account) *account {
	return &account{kind: kind, windows: make(map[string]session.Window), rests: make(map[string]rest)}
}

// hear takes what a CLI says. Whether it tells of a rest that was not known is returned, with its end: while many turns
// are refused at the same time, one of them is news.
func (a *account) hear(l session.Limits, now time.Time) (until time.Time, news bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range l.Windows {
		a.windows[w.Name] = w
	}
	if l.Reached == nil {
		return time.Time{}, false
	}
	until = l.Reached.Resets
	if until.IsZero() {
		until = now.Add(restUnknown)
	}
	if !until.After(now) {
		until = now.Add(restMore)
	}
	former := a.rests[l.Reached.Family]
	if former.until.After(now) && l.Reached.Resets.IsZero() {
		return former.until, false // the former may know better
	}
	a.rests[l.Reached.Family] = rest{l.Reached.Window, until}
	return until, !former.until.After(now)
}

// refused notes that the upstream did not take the account for another reason than its use.
func (a *account) refused(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.doubt = now.Add(doubtFor)
}

// wake ends all rests. The next refusal begins another.
func (a *account) wake() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.rests)
	a.doubt = time.Time{}
}

func (a *account) signIn(kind session.Account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kind = kind
}

func (a *account) signedOut() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.kind.SignedIn()
}

// standing is what the queue is told: the used share of the fullest window that counts all models, and the rests that
// are not over.
func (a *account) standing(now time.Time) (use float64, rests []queue.Rest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kind == session.AccountNone {
		rests = append(rests, queue.Rest{})
	}
	for _, family := range slices.Sorted(maps.Keys(a.rests)) {
		if r := a.rests[family]; r.until.After(now) {
			rests = append(rests, queue.Rest{Models: family, Until: r.until})
		}
	}
	if a.doubt.After(now) {
		return 1, rests
	}
	for _, w := range a.windows {
		if w.Family == "" && (w.Resets.IsZero() || w.Resets.After(now)) {
			use = max(use, w.Used)
		}
	}
	return min(use, 1), rests
}

// changesIn is how long what standing says stays true, if nothing is heard.
func (a *account) changesIn(now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	times := []time.Time{a.doubt}
	for _, r := range a.rests {
		times = append(times, r.until)
	}
	for _, w := range a.windows {
		times = append(times, w.Resets)
	}
	next := now.Add(time.Hour)
	for _, t := range times {
		if t.After(now) && t.Before(next) {
			next = t
		}
	}
	return next.Sub(now)
}

// limits is what people are told of the windows.
func (a *account) limits(now time.Time) (all []Limit) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.windows {
		if w.Resets.IsZero() || w.Resets.After(now) {
			all = append(all, Limit{Window: w.Name, Used: w.Used, ResetsAt: w.Resets})
		}
	}
	for family, r := range a.rests {
		if r.until.After(now) {
			all = reached(all, Limit{Window: r.window, Models: family, Used: 1, ResetsAt: r.until, Reached: true})
		}
	}
	slices.SortFunc(all, func(x, y Limit) int { return strings.Compare(x.Window, y.Window) })
	return all
}

// reached puts a used-up window in the place of what was known of it.
func reached(all []Limit, l Limit) []Limit {
	all = slices.DeleteFunc(all, func(known Limit) bool { return known.Window == l.Window })
	return append(all, l)
}
