package totals

import (
	"iter"
	"maps"

	"maxrelay/stats"
)

// Other stands for a key's models beyond MaxModels on one day. Callers make names up,
// and each would be kept.
const (
	Other     = "(other)"
	MaxModels = 64
)

// Draft gathers a change, so that it can be kept elsewhere before it counts. There is
// one at a time.
type Draft struct {
	totals *Totals
	more   map[Cell]Sum
	models map[keyDay]map[string]bool // of both, where the draft has looked
}

type keyDay struct {
	key string
	day Day
}

// Draft begins a change.
func (t *Totals) Draft() *Draft {
	return &Draft{totals: t, more: make(map[Cell]Sum), models: make(map[keyDay]map[string]bool)}
}

// Add folds an event in. It does not ask whether it knows the event.
func (d *Draft) Add(e stats.Event) {
	c := Cell{DayOf(e.Time), e.KeyID, e.Model, e.ErrorCode}
	c.Model = d.model(c)
	d.more[c] = d.more[c].Plus(Of(e))
}

func (d *Draft) model(c Cell) string {
	at := keyDay{c.Key, c.Day}
	known := d.models[at]
	if known == nil {
		known = d.totals.models(at)
		d.models[at] = known
	}
	switch {
	case known[c.Model]:
	case len(known) >= MaxModels:
		return Other
	default:
		known[c.Model] = true
	}
	return c.Model
}

func (t *Totals) models(at keyDay) map[string]bool {
	known := make(map[string]bool)
	if a := t.keys[at.key]; a != nil {
		for l := range a.days[at.day] {
			if l.model != Other {
				known[l.model] = true
			}
		}
	}
	return known
}

// Changed yields the cells that the draft changes, with what they will be.
func (d *Draft) Changed() iter.Seq2[Cell, Sum] {
	return func(yield func(Cell, Sum) bool) {
		for c, more := range d.more {
			if !yield(c, d.totals.at(c).Plus(more)) {
				return
			}
		}
	}
}

// Commit lets the draft count. It is of no use afterwards.
func (d *Draft) Commit() {
	d.totals.mu.Lock()
	defer d.totals.mu.Unlock()
	for c, more := range maps.All(d.more) {
		d.totals.addLocked(c, more)
	}
}
