package totals

import (
	"iter"
	"maps"
	"slices"
	"sync"
	"time"
)

// Totals are the sums of all events that were folded into it. One goroutine changes
// them, through a Draft; any may read.
type Totals struct {
	mu   sync.RWMutex
	keys map[string]*account
	days map[Day]Sum // of all keys
}

// account is what one key used.
type account struct {
	all    Sum
	errors int64
	days   map[Day]map[line]Sum
}

// line is a Cell within its key and day.
type line struct{ model, code string }

// Use is all that a key has used.
type Use struct {
	Requests, Errors, Tokens int64
	LastUsed                 time.Time // zero: never
}

// New returns totals of nothing.
func New() *Totals {
	return &Totals{keys: make(map[string]*account), days: make(map[Day]Sum)}
}

// Load adds a sum of cells that are not there yet, for what was kept elsewhere.
func (t *Totals) Load(c Cell, s Sum) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addLocked(c, s)
}

// addLocked adds more to a cell.
func (t *Totals) addLocked(c Cell, more Sum) {
	a := t.keys[c.Key]
	if a == nil {
		a = &account{days: make(map[Day]map[line]Sum)}
		t.keys[c.Key] = a
	}
	day := a.days[c.Day]
	if day == nil {
		day = make(map[line]Sum)
		a.days[c.Day] = day
	}
	at := line{c.Model, c.Code}
	day[at] = day[at].Plus(more)
	a.count(c, more)
	t.days[c.Day] = t.days[c.Day].Plus(more)
}

func (a *account) count(c Cell, more Sum) {
	a.all = a.all.Plus(more)
	if c.Failed() {
		a.errors += more.Requests
	}
}

// at is for the goroutine that changes the totals, which needs no lock to read.
func (t *Totals) at(c Cell) Sum {
	a := t.keys[c.Key]
	if a == nil {
		return Sum{}
	}
	return a.days[c.Day][line{c.Model, c.Code}]
}

// Forget drops all days before one.
func (t *Totals) Forget(before Day) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := func(d Day, _ Sum) bool { return d < before }
	maps.DeleteFunc(t.days, old)
	for key, a := range t.keys {
		if a.forget(key, before); len(a.days) == 0 {
			delete(t.keys, key)
		}
	}
}

func (a *account) forget(key string, before Day) {
	days := len(a.days)
	maps.DeleteFunc(a.days, func(d Day, _ map[line]Sum) bool { return d < before })
	if len(a.days) == days {
		return
	}
	a.all, a.errors = Sum{}, 0
	for d, lines := range a.days {
		for l, s := range lines {
			a.count(Cell{d, key, l.model, l.code}, s)
		}
	}
}

// Use is what a key has used on all days.
func (t *Totals) Use(key string) Use {
	t.mu.RLock()
	defer t.mu.RUnlock()
	a := t.keys[key]
	if a == nil {
		return Use{}
	}
	return Use{Requests: a.all.Requests, Errors: a.errors, Tokens: a.all.Tokens(), LastUsed: time.UnixMilli(a.all.Last).UTC()}
}

// OfKey yields a key's cells from one day to another, both included, in no order. The
// totals do not change meanwhile.
func (t *Totals) OfKey(key string, from, to Day) iter.Seq2[Cell, Sum] {
	return func(yield func(Cell, Sum) bool) {
		t.mu.RLock()
		defer t.mu.RUnlock()
		if a := t.keys[key]; a != nil {
			a.each(key, from, to, yield)
		}
	}
}

// OfAll does so for all keys.
func (t *Totals) OfAll(from, to Day) iter.Seq2[Cell, Sum] {
	return func(yield func(Cell, Sum) bool) {
		t.mu.RLock()
		defer t.mu.RUnlock()
		for key, a := range t.keys {
			if !a.each(key, from, to, yield) {
				return
			}
		}
	}
}

func (a *account) each(key string, from, to Day, yield func(Cell, Sum) bool) bool {
	for d, lines := range a.days {
		if d < from || d > to {
			continue
		}
		for l, s := range lines {
			if !yield(Cell{d, key, l.model, l.code}, s) {
				return false
			}
		}
	}
	return true
}

// DaySum is what all keys used on one day.
type DaySum struct {
	Day Day
	Sum
}

// Days returns the days that have any, in their order.
func (t *Totals) Days() []DaySum {
	t.mu.RLock()
	defer t.mu.RUnlock()
	all := make([]DaySum, 0, len(t.days))
	for _, d := range slices.Sorted(maps.Keys(t.days)) {
		all = append(all, DaySum{d, t.days[d]})
	}
	return all
}
