package limit

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
)

// Ticket is an admitted request. Its methods may be called at the same time.
type Ticket struct {
	limiter *Limiter
	ask     Ask
	account account

	mu       sync.Mutex
	standing Standing
	held     int64 // reserved tokens
	unsure   bool  // it may be more: the broker did not answer
	step     int   // changes made
	settled  bool
}

// SetHeaders tells the client how its key stood when the request was admitted.
func (t *Ticket) SetHeaders(h http.Header) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.standing.SetHeaders(h)
}

// Reserved is how many tokens the request may use before it has to Grow, its prompt's
// included; limited is false for a key without a quota.
func (t *Ticket) Reserved() (tokens int64, limited bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.held, t.quota()
}

func (t *Ticket) quota() bool { return t.ask.Limits.Tokens > 0 && !t.ask.Free }

// reserve holds what the request may use, or what is left if that is enough for its
// prompt.
func (t *Ticket) reserve(ctx context.Context) error {
	l := t.limiter
	t.mu.Lock()
	defer t.mu.Unlock()
	t.standing = l.Standing(t.ask.Key, t.ask.Limits)
	if !t.quota() {
		return nil
	}
	l.begin(t.ask.Request)
	got, err := t.takeLocked(ctx, max(t.ask.Input, 1), t.ask.Input+t.ask.MaxTokens)
	switch {
	case err != nil:
		l.finish(t, 0)
		return errors.Join(unavailable(), err)
	case got == 0:
		l.over(t.ask.Request)
		return quotaUsedUp(t.standing)
	}
	return nil
}

// Grow reserves more, as much of want as is left: 0 means that nothing is. An error says
// that the broker could not be asked; the answer may go on, what it uses is settled.
func (t *Ticket) Grow(ctx context.Context, want int64) (int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.quota() || t.settled {
		return 0, errors.New("limit: the ticket has no reservation to grow")
	}
	got, err := t.takeLocked(ctx, 1, max(1, min(want, maxAmount)))
	if err != nil {
		return 0, errors.Join(unavailable(), err)
	}
	return got, nil
}

// takeLocked adds to the reservation as much of want as is left, or nothing if that is
// less than floor.
//
// The counter is raised first and looked at afterwards, so that two requests never get
// the same tokens. What this node knows to be left keeps it from asking for too much:
// what is taken back again may have been refused to another request in between.
func (t *Ticket) takeLocked(ctx context.Context, floor, want int64) (int64, error) {
	l, limit := t.limiter, t.ask.Limits.Tokens
	left := limit - l.journal.ledger.total(t.account)
	if left < floor {
		total, err := l.journal.read(ctx, t.account)
		if err != nil {
			return 0, err
		}
		if left = limit - total; left < floor {
			t.sawLocked(total)
			return 0, nil
		}
	}
	ask := max(floor, min(want, left))
	total, err := t.changeLocked(ctx, ask)
	if err != nil {
		return 0, err
	}
	back := max(0, total-limit)
	if ask-back < floor {
		back = ask
	}
	if back > 0 {
		if total, err = t.changeLocked(ctx, -back); err != nil {
			return 0, err
		}
	}
	t.sawLocked(total)
	return ask - back, nil
}

func (t *Ticket) sawLocked(total int64) {
	t.standing.TokensLeft = max(0, t.ask.Limits.Tokens-total)
}

// changeLocked changes the account by n. Giving all back ends the request.
func (t *Ticket) changeLocked(ctx context.Context, n int64) (total int64, err error) {
	e := entry{account: t.account, request: t.ask.Request, step: strconv.Itoa(t.step), change: n}
	if t.held+n == 0 {
		e.step = stepEnd
	}
	t.step++
	total, err = t.limiter.journal.write(ctx, e)
	if errors.Is(err, errRepeated) { // the first ack was lost
		total, err = t.limiter.journal.read(ctx, t.account)
	}
	if err != nil {
		t.unsure = true
		return 0, err
	}
	t.held += n
	return total, nil
}

// Settle ends the request with what it used, which may be more than was reserved. It
// returns when the counter has it, or with an error when that will be as soon as the
// broker is back. Only the first call counts.
func (t *Ticket) Settle(ctx context.Context, used int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.settled {
		return nil
	}
	t.settled = true
	t.limiter.leave(t.ask.Key)
	if !t.quota() {
		return nil
	}
	return t.limiter.end(ctx, t, max(0, used))
}

// end is the last change of a ticket whose held tokens are known.
func (t *Ticket) end(used int64) entry {
	return entry{account: t.account, request: t.ask.Request, step: stepEnd, change: used - t.held}
}

// Release ends a request that used nothing.
func (t *Ticket) Release(ctx context.Context) error { return t.Settle(ctx, 0) }
