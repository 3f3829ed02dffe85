package queue

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// While the broker takes no tickets, owners bring them to workers themselves: the same ticket as a request, to the
// worker it would wait for or else to the one with the most room. The claim follows as ever, so a ticket that reaches
// the stream after all does no harm.

// What a worker says to an offer.
const (
	offerTaken = "taken"
	offerFull  = "full" // or it drains, or rests
)

const (
	offerWait  = time.Second            // for the word
	claimPause = time.Second            // for the claim after it, then somebody else is asked
	offerPause = 100 * time.Millisecond // before the next worker is asked
)

// offer brings a ticket to a worker, and returns when to offer it again if nobody has claimed it by then.
func (o *Owner) offer(t outgoing) time.Duration {
	id := o.taker(t)
	if id == "" {
		return offerPause
	}
	ctx, cancel := context.WithTimeout(o.ctx, offerWait)
	defer cancel()
	m, err := o.nc.RequestWithContext(ctx, downSubject(id, verbRun), encode(t.ticket))
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		o.unreachable(id)
	case err == nil && string(m.Data) == offerTaken:
		return claimPause
	case err == nil:
		o.full(id)
	}
	return offerPause
}

// taker returns the worker to ask, "" when none has room.
func (o *Owner) taker(t outgoing) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	w := t.call.home
	if w == nil {
		w = o.roomiestLocked(t.call)
	}
	if w == nil || t.call.out != t.Place || w.Busy >= w.Slots {
		return ""
	}
	return w.ID
}

// unreachable treats a worker that nobody heard for as one whose connection ended: it is back with its next hello, or
// gone.
func (o *Owner) unreachable(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if w := o.workers[id]; w != nil && w.lost.IsZero() {
		w.lost = time.Now()
		o.fallBackFromLocked(w)
	}
}

// full believes a worker until its next heartbeat, which comes at once when it has room.
func (o *Owner) full(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if w := o.workers[id]; w != nil {
		w.Busy = max(w.Busy, w.Slots)
		o.fallBackFromLocked(w)
	}
}

// onRun takes an offer.
func (w *Worker) onRun(m *nats.Msg) {
	t, err := parseTicket(m.Data)
	word := offerFull
	if err == nil && slices.Contains(w.cfg.Pools, t.Pool) && w.reserve(t.Model) {
		word = offerTaken
		w.begin(newTask(w, nil, t))
	}
	if err := w.respond(m, []byte(word)); err != nil {
		w.log.Debug().Err(err).Msg("offer not answered")
	}
}
