package limit

import (
	"slices"
	"strconv"
	"testing"
	"time"
)

// book writes entries into a ledger as the broker would number them.
type book struct {
	*ledger
	seq   uint64
	total map[account]int64
}

func newBook() *book { return &book{ledger: newLedger("me.1"), total: make(map[account]int64)} }

func (b *book) write(a account, request, step, node string, change int64) {
	b.seq++
	b.total[a] += change
	b.apply(entry{account: a, request: request, step: step, node: node, change: change, total: b.total[a], seq: b.seq})
}

func TestLedgerKnowsWhatIsOpen(t *testing.T) {
	a := lifeAccount()
	b := newBook()
	b.write(a, "r1", "0", "me.1", 100)
	b.write(a, "r2", "0", "you.1", 50)
	b.write(a, "r1", "1", "me.1", 30)
	b.write(a, "r2", stepEnd, "you.1", -20)
	b.write(a, "r3", "0", "you.1", 7)
	b.write(a, "r3", stepEnd, "you.1", -7) // refused
	b.write(a, "r4", "1", "you.1", -7)     // what compaction left of a refused one
	b.write(a, recount, "x", "you.1", 3)

	if got := b.ledger.total(a); got != 156 {
		t.Errorf("total %d, want 156", got)
	}
	want := hold{account: a, request: "r1", node: "me.1", tokens: 130, seq: 1}
	if got := b.open(); !slices.Equal(got, []hold{want}) {
		t.Errorf("open %+v, want %+v", got, want)
	}
}

func TestLedgerKnowsWhatOthersEnded(t *testing.T) {
	a := lifeAccount()
	b := newBook()
	b.write(a, "r1", "0", "me.1", 100)
	check := func(sum int64, step string) {
		t.Helper()
		if gotSum, gotStep := b.changes("r1"); gotSum != sum || gotStep != step {
			t.Errorf("changes are %d, to be followed by %q, want %d and %q", gotSum, gotStep, sum, step)
		}
	}
	check(100, stepEnd)
	b.write(a, "r1", stepEnd, "you.1", -90)
	check(10, stepLate)
	b.write(a, "r1", "1", "me.1", 5)
	check(15, stepLate)
	b.write(a, "r1", stepLate, "me.1", 25)
	check(0, "")
	if got := b.ledger.total(a); got != 40 {
		t.Errorf("total %d, want 40", got)
	}
}

func TestCompactionKeepsWhatIsNeeded(t *testing.T) {
	busy, held, quiet := account{"busy", lifetime}, account{"held", lifetime}, account{"quiet", lifetime}
	old, oldHeld := account{"busy", "20260101"}, account{"held", "20260101"}
	oldest := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)
	b := newBook()
	b.write(quiet, "q", "0", "me.1", 1)
	b.write(old, "o", "0", "me.1", 1)
	b.write(old, "o", stepEnd, "me.1", 1)
	b.write(oldHeld, "oh", "0", "me.1", 1)
	for i := range compactWorth {
		request := strconv.Itoa(i)
		b.write(busy, "b"+request, "0", "me.1", 1)
		b.write(busy, "b"+request, stepEnd, "me.1", 1)
		b.write(held, "h"+request, "0", "me.1", 1)
		if i != compactWorth/2 {
			b.write(held, "h"+request, stepEnd, "me.1", 1)
		}
	}
	mark := b.accounts[busy].last
	if got := b.compact(oldest); !slices.Equal(got, []surplus{{account: old}}) {
		t.Errorf("at first %+v can go, want the old day alone", got)
	}
	b.write(busy, "later", "0", "me.1", 1)
	got := b.compact(oldest)
	slices.SortFunc(got, func(x, y surplus) int { return int(y.below) - int(x.below) })
	want := []surplus{{busy, mark}, {held, b.holds["h"+strconv.Itoa(compactWorth/2)].seq}}
	if !slices.Equal(got, want) {
		t.Errorf("%+v can go, want %+v", got, want)
	}
	if got := b.compact(oldest); len(got) != 0 {
		t.Errorf("%+v can go again", got)
	}
}
