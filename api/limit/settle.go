package limit

import (
	"context"
	"errors"
	"fmt"
	"maps"
)

// begin notes that a reservation is in use.
func (l *Limiter) begin(request string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live[request] = struct{}{}
}

// over notes that it is not any more, and that the broker knows.
func (l *Limiter) over(request string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.live, request)
}

// finish leaves the end of a request to settleEnded, which can see what the broker knows
// of it.
func (l *Limiter) finish(t *Ticket, used int64) {
	l.mu.Lock()
	delete(l.live, t.ask.Request)
	l.ended[t.ask.Request] = ending{t.account, used}
	l.mu.Unlock()
	select {
	case l.poke <- struct{}{}:
	default: // somebody will look anyway
	}
}

// end makes the sum of a request's changes what it used.
func (l *Limiter) end(ctx context.Context, t *Ticket, used int64) error {
	if t.unsure || l.journal.ledger.wasTaken(t.ask.Request) {
		l.finish(t, used)
		return nil
	}
	_, err := l.journal.write(ctx, t.end(used))
	if err == nil {
		l.over(t.ask.Request)
		return nil
	}
	l.finish(t, used)
	if errors.Is(err, errRepeated) { // the ack was lost, or another node took this one for dead
		return nil
	}
	return fmt.Errorf("settling: %w", err)
}

// settleEnded ends what end could not. The ledger must be current.
func (l *Limiter) settleEnded(ctx context.Context) {
	l.mu.Lock()
	ended := maps.Clone(l.ended)
	l.mu.Unlock()
	for request, e := range ended {
		if l.settleOne(ctx, request, e) {
			l.mu.Lock()
			delete(l.ended, request)
			l.mu.Unlock()
		}
	}
}

// settleOne reports whether the request's changes add up to what it used.
func (l *Limiter) settleOne(ctx context.Context, request string, e ending) bool {
	sum, step := l.journal.ledger.changes(request)
	if step == "" {
		return true
	}
	_, err := l.journal.write(ctx, entry{account: e.account, request: request, step: step, change: e.used - sum})
	return err == nil
}
