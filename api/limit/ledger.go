package limit

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// ledger is what the stream of changes says, as far as this node has read it.
type ledger struct {
	self string

	mu       sync.Mutex
	accounts map[account]*balance
	holds    map[string]hold  // by request: what is reserved now, by any node
	taken    map[string]int64 // requests of this node that another one ended, and the sum of their changes
}

// balance is an account's total and which messages tell of it.
type balance struct {
	total       int64
	seen        uint64 // the message that tells it
	first, last uint64 // messages that were read and may be there
	mark        uint64 // the last one at the last compaction
}

// hold is an open reservation.
type hold struct {
	account account
	request string
	node    string
	tokens  int64
	seq     uint64 // its first message
	since   time.Time
}

func newLedger(self string) *ledger {
	return &ledger{self: self, accounts: make(map[account]*balance), holds: make(map[string]hold), taken: make(map[string]int64)}
}

// clear is for a stream that was lost or restored.
func (l *ledger) clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.accounts)
	clear(l.holds)
	clear(l.taken)
}

func (l *ledger) apply(e entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.sawLocked(e.account, e.seq, e.total)
	b.last = e.seq
	if b.first == 0 {
		b.first = e.seq
	}
	if _, was := l.taken[e.request]; was {
		l.correctLocked(e)
		return
	}
	h, open := l.holds[e.request]
	if !open && e.step != stepFirst {
		return // the rest of a request that ended, whose beginning is compacted away
	}
	if !open {
		h = hold{account: e.account, request: e.request, node: e.node, seq: e.seq, since: e.time}
	}
	h.tokens += e.change
	l.holds[e.request] = h
	if e.last() {
		l.endLocked(h, e)
	}
}

// saw notes what the broker told of a change that may not have been read yet.
func (l *ledger) saw(a account, seq uint64, total int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sawLocked(a, seq, total)
}

func (l *ledger) sawLocked(a account, seq uint64, total int64) *balance {
	b := l.accounts[a]
	if b == nil {
		b = &balance{}
		l.accounts[a] = b
	}
	if seq > b.seen {
		b.total, b.seen = total, seq
	}
	return b
}

// correctLocked is for what this node did before it saw that its request was ended.
func (l *ledger) correctLocked(e entry) {
	if e.last() {
		delete(l.taken, e.request)
	} else {
		l.taken[e.request] += e.change
	}
}

func (l *ledger) endLocked(h hold, e entry) {
	delete(l.holds, e.request)
	if h.node == l.self && e.node != l.self {
		l.taken[e.request] = h.tokens
	}
}

// total is the account's, up to what was read.
func (l *ledger) total(a account) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.accounts[a]; b != nil {
		return b.total
	}
	return 0
}

// open returns all reservations.
func (l *ledger) open() []hold {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Values(l.holds))
}

// changes is the sum of a request's changes, and the step that can change it once more;
// "" when nothing is open and nobody else ended it.
func (l *ledger) changes(request string) (sum int64, step string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if taken, was := l.taken[request]; was {
		return taken, stepLate
	}
	if h, open := l.holds[request]; open {
		return h.tokens, stepEnd
	}
	return 0, ""
}

func (l *ledger) wasTaken(request string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, was := l.taken[request]
	return was
}

// surplus is messages of an account that nobody needs any more.
type surplus struct {
	account account
	below   uint64 // the first message that stays; 0: none does
}

// compact returns what can go since the last compaction, if that is worth a request to
// the broker: what was there then and tells of no open reservation, and days before
// oldest. Of every other account the last message stays: it is the counter.
func (l *ledger) compact(oldest time.Time) (gone []surplus) {
	l.mu.Lock()
	defer l.mu.Unlock()
	needed := make(map[account]uint64)
	for _, h := range l.holds {
		if seq, ok := needed[h.account]; !ok || h.seq < seq {
			needed[h.account] = h.seq
		}
	}
	for a, b := range l.accounts {
		seq, open := needed[a]
		if day, daily := a.day(); daily && !open && day.Before(oldest) {
			gone = append(gone, surplus{account: a})
			delete(l.accounts, a)
			continue
		}
		below := b.mark
		if open {
			below = min(below, seq)
		}
		if below >= b.first+compactWorth {
			gone = append(gone, surplus{a, below})
			b.first = below
		}
		b.mark = b.last
	}
	return gone
}

// compactWorth is how far an account's numbers must have come.
const compactWorth = 256
