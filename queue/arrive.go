package queue

import (
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// askPause is the least time between two requests for the same missing frames, so that each frame that arrives behind
// a gap does not ask again.
const askPause = 200 * time.Millisecond

// onFrame takes what workers say about this node's jobs. All of it comes through one subscription, so an end is never
// handled before the frames that were sent before it.
func (o *Owner) onFrame(m *nats.Msg) {
	worker, job, ok := lastTwo(m.Subject)
	f, err := parseFrame(m.Data)
	if !ok || err != nil {
		o.log.Debug().Err(err).Msg("frame dropped")
		return
	}
	switch f.kind {
	case frameData:
		o.onData(worker, job, f)
	case frameLost:
		o.onLost(worker, job, f)
	case frameEnd:
		o.respond(m, encode(o.onEnd(worker, job, f)))
	}
}

func (o *Owner) onData(worker, job string, f frame) {
	events, err := f.payloads()
	if err != nil {
		o.log.Debug().Err(err).Msg("frame dropped")
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if c := o.attemptLocked(worker, job, f.epoch); c != nil {
		o.acceptLocked(c, f, events, time.Now())
	}
}

func (o *Owner) acceptLocked(c *Call, f frame, events [][]byte, now time.Time) {
	c.seen = now
	switch {
	case f.seq < c.next:
		return // came again with a resend
	case f.seq > c.next:
		o.askLocked(c, now)
		return
	}
	c.next++
	c.content = c.content || f.content
	c.withheld = c.withheld || f.content
	c.appendLocked(events, f.partial)
	if c.buffered > maxBuffer {
		c.events, c.buffered = nil, 0
		o.finishLocked(c, ErrSlowClient)
		return
	}
	c.notify()
}

// appendLocked adds payloads, and joins one that was too large for a frame.
func (c *Call) appendLocked(events [][]byte, partial bool) {
	for _, e := range events {
		c.buffered += len(e) + eventCost
	}
	if c.inPartial && len(events) > 0 {
		c.partial = append(c.partial, events[0]...)
		if len(events) == 1 && partial {
			return
		}
		events[0], c.partial, c.inPartial = c.partial, nil, false
	}
	if last := len(events) - 1; partial && last >= 0 {
		c.partial, c.inPartial = slices.Clone(events[last]), true
		events = events[:last]
	}
	c.events = append(c.events, events...)
}

// askLocked asks the worker for the frames from the first missing one on. What arrives before them is dropped: they
// come again, in order.
func (o *Owner) askLocked(c *Call, now time.Time) {
	if now.Sub(c.asked) < askPause {
		return
	}
	c.asked = now
	o.sayLocked(downSubject(c.worker.ID, verbResend), order{Job: c.job.ID, Epoch: c.epoch, From: c.next})
}

func (o *Owner) onLost(worker, job string, f frame) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c := o.attemptLocked(worker, job, f.epoch); c != nil && f.seq >= c.next {
		o.loseLocked(c, "frames lost")
	}
}

func (o *Owner) onEnd(worker, job string, f frame) endReply {
	var head endHeader
	data, err := unpack(f.rest, &head)
	if err != nil {
		return endReply{Answer: endStale}
	}
	end := End{OK: head.OK, Retry: head.Retry, RetryAfter: millis(head.RetryAfterMS), Data: data}

	o.mu.Lock()
	defer o.mu.Unlock()
	if o.heardLocked(worker, job, f.epoch) {
		return endReply{Answer: endOK}
	}
	c := o.attemptLocked(worker, job, f.epoch)
	if c == nil {
		return endReply{Answer: endStale}
	}
	c.seen = time.Now()
	if f.seq >= c.next {
		return endReply{Answer: endNeed, From: c.next}
	}
	if head.Directory > c.worker.updates {
		return endReply{Answer: endSoon}
	}
	if len(head.Rest) > 0 {
		c.worker.rests = unpackRests(head.Rest, c.seen)
	}
	o.settleLocked(c, end)
	return endReply{Answer: endOK}
}

// heardLocked tells whether this end was taken before and only its answer got lost.
func (o *Owner) heardLocked(worker, job string, epoch int) bool {
	c := o.calls[job]
	return c != nil && c.phase == phaseEnded && c.end != nil && c.epoch == epoch && c.worker.ID == worker
}
