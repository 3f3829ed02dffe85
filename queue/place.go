package queue

import (
	"context"
	"encoding/json"
	"math"
	"time"
)

// outgoing is a ticket on its way to the broker.
type outgoing struct {
	ticket
	call    *Call
	subject string
	ttl     time.Duration
}

// enterLocked starts a round of waiting, after a pause if one is given. The ticket, if any, is to be published.
func (o *Owner) enterLocked(c *Call, pause time.Duration) *outgoing {
	o.waiting++
	o.lineLocked(c.line()).waiting++
	now := time.Now()
	c.queueUntil = now.Add(pause + o.cfg.QueueTimeout)
	c.homed, c.position = false, 0
	if pause > 0 {
		o.pauseLocked(c, pause)
		return nil
	}
	return o.placeLocked(c, c.epoch > 0)
}

func (o *Owner) pauseLocked(c *Call, pause time.Duration) {
	c.phase = phasePaused
	c.until = time.Now().Add(pause)
	o.armLocked(c)
}

// placeLocked decides where a waiting call waits: at the worker that is warm for it, at the broker for any worker, or
// in its key's line. A call that has waited before goes to the front of that line.
func (o *Owner) placeLocked(c *Call, front bool) *outgoing {
	defer o.armLocked(c)
	l := o.lineLocked(c.line())
	full := len(l.tickets) >= o.ticketsLocked(c.job.Pool)
	if home := o.homeLocked(c); home != nil && (home.free() > 0 || !full) {
		if home.free() <= 0 {
			l.tickets = append(l.tickets, c)
		}
		c.phase, c.home, c.homed = phaseSticky, home, true
		home.sticky++
		c.until = time.Now().Add(o.cfg.StickyWait)
		return o.issueLocked(c, stickySubject(home.ID), o.cfg.StickyWait+time.Second)
	}
	if full {
		c.phase = phaseInLine
		l.push(c, front)
		return nil
	}
	l.tickets = append(l.tickets, c)
	c.phase = phaseTicketed
	return o.issueLocked(c, sharedSubject(c.job.Pool, c.job.KeyID), time.Until(c.queueUntil))
}

// homeLocked returns the worker a sticky ticket should go to, if any.
func (o *Owner) homeLocked(c *Call) *remote {
	if c.homed {
		return nil
	}
	for i := len(c.job.Prefixes) - 1; i >= 0; i-- {
		holder := o.holderLocked(c, c.job.Prefixes[i])
		if holder != nil && (holder.free() > 0 || !c.job.NoWait) {
			return holder
		}
	}
	if len(c.avoid) > 0 || o.tiredLocked(c) { // a shared ticket could come to a worker that failed it, or rests for its model
		return o.roomiestLocked(c)
	}
	return nil
}

// holderLocked returns the worker with the most left among those with an idle process that holds the prefix.
func (o *Owner) holderLocked(c *Call, prefix Key) *remote {
	var best *remote
	for h := range o.holders[prefix] {
		if !h.busy && o.eligibleLocked(c, h.worker) && (best == nil || h.worker.unused() > best.unused()) {
			best = h.worker
		}
	}
	return best
}

func (o *Owner) roomiestLocked(c *Call) *remote {
	var best *remote
	for _, w := range o.workers {
		if w.free() > 0 && o.eligibleLocked(c, w) && (best == nil || w.unused() > best.unused()) {
			best = w
		}
	}
	return best
}

func (o *Owner) eligibleLocked(c *Call, w *remote) bool {
	_, rests := w.restsFor(c.job.Model, time.Now())
	return w.lost.IsZero() && !w.Draining && !rests && w.serves(c.job.Pool) && !c.avoids(w.ID)
}

// issueLocked makes the call's next ticket.
func (o *Owner) issueLocked(c *Call, subject string, ttl time.Duration) *outgoing {
	c.place++
	c.out, c.seq = c.place, 0
	t := ticket{
		V: wireVersion, Job: c.job.ID, Place: c.place, Node: o.node,
		Key: c.job.KeyID, Pool: c.job.Pool, Model: c.job.Model, Size: c.size,
	}
	if !c.job.Deadline.IsZero() {
		t.Deadline = c.job.Deadline.UnixMilli()
	}
	return &outgoing{ticket: t, call: c, subject: subject, ttl: wholeSeconds(ttl)}
}

// wholeSeconds rounds up: the server refuses a message TTL below one second (nats-server 2.15.2).
func wholeSeconds(d time.Duration) time.Duration {
	return time.Duration(max(1, math.Ceil(d.Seconds()))) * time.Second
}

func (o *Owner) publishLocked(t *outgoing) {
	if t != nil {
		o.goLocked(func() { o.publish(*t) })
	}
}

// unplaceLocked gives back what a waiting phase holds.
func (o *Owner) unplaceLocked(c *Call) {
	if c.phase == phaseSticky {
		c.home.sticky--
		c.home = nil
	}
	c.phase = phasePaused // before others are released, so that it is not counted twice
	if l := o.lineLocked(c.line()); l.leave(c) {
		o.releaseLocked(l)
	}
}

// leaveLocked ends a round of waiting.
func (o *Owner) leaveLocked(c *Call) {
	o.unplaceLocked(c)
	o.waiting--
	id := c.line()
	l := o.lines[id]
	if l.waiting--; l.waiting == 0 {
		delete(o.lines, id)
	}
}

// withdrawLocked makes the ticket that is out void and has it deleted. One whose acknowledgement is still on its way
// is deleted when that arrives.
func (o *Owner) withdrawLocked(c *Call) {
	if c.out != 0 && c.seq != 0 {
		o.deleteLocked(c.seq)
	}
	c.out, c.seq = 0, 0
}

func (o *Owner) deleteLocked(seq uint64) {
	request, _ := json.Marshal(struct {
		Seq     uint64 `json:"seq"`
		NoErase bool   `json:"no_erase"`
	}{seq, true})
	o.goLocked(func() {
		ctx, cancel := context.WithTimeout(context.Background(), publishWait)
		defer cancel()
		// A ticket that stays behind is answered with "gone" or "claimed" when a worker pulls it.
		if _, err := o.nc.RequestWithContext(ctx, "$JS.API.STREAM.MSG.DELETE."+jobsStream, request); err != nil {
			o.log.Debug().Err(err).Msg("ticket not deleted")
		}
	})
}

// fallBackLocked lets any worker have a job that its warm worker did not claim.
func (o *Owner) fallBackLocked(c *Call) {
	o.withdrawLocked(c)
	o.unplaceLocked(c)
	o.publishLocked(o.placeLocked(c, true))
}

// republishLocked replaces the tickets that went down with a broker, or were dropped while this node was out of reach.
func (o *Owner) republishLocked() {
	for _, c := range o.calls {
		if c.phase == phaseTicketed || c.phase == phaseSticky {
			o.fallBackLocked(c)
		}
	}
}
