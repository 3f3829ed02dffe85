package queue

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	publishWait  = 2 * time.Second        // for one acknowledgement
	publishPause = 250 * time.Millisecond // before a ticket that the broker did not take is tried again

	// brokerPatience is how long a job waits for the broker alone. A healthy one acknowledges within milliseconds; one
	// whose leader crashed says nothing for 4 to 9 s (nats-server 2.15.2).
	brokerPatience = 300 * time.Millisecond
)

// publish brings a ticket to the broker and notes its number, under which a call that is cancelled or moved deletes it
// again. When the broker does not take it in time, workers are asked past the broker, while this goes on trying.
func (o *Owner) publish(t outgoing) {
	ok, failed := o.send(t)
	patience := time.NewTimer(o.patience())
	defer patience.Stop()
	select {
	case ack := <-ok:
		o.acknowledged(t, ack)
		return
	case err := <-failed:
		if !o.insistent(t, err) {
			return
		}
		ok, failed = nil, nil
	case <-patience.C:
		o.noteSilence(errors.New("no answer"))
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.goLocked(func() { o.insist(t, ok, failed) })
}

// patience is none while the broker is known to be silent.
func (o *Owner) patience() time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.silent {
		return 0
	}
	return brokerPatience
}

// send begins a publication. One of the channels tells its outcome, within publishWait.
func (o *Owner) send(t outgoing) (<-chan *jetstream.PubAck, <-chan error) {
	future, err := o.js.PublishMsgAsync(&nats.Msg{Subject: t.subject, Data: encode(t.ticket)},
		jetstream.WithMsgID(fmt.Sprintf("%s.%d", t.Job, t.Place)), // once, however often it is sent
		jetstream.WithMsgTTL(t.ttl),
		jetstream.WithExpectStream(jobsStream),
		jetstream.WithRetryAttempts(0))
	if err != nil {
		failed := make(chan error, 1)
		failed <- err
		return nil, failed
	}
	return future.Ok(), future.Err()
}

// insist publishes a ticket again and again until the broker has it or the call does not want it any more, and offers
// it to workers meanwhile. A publication that is under way is always waited for: it may have been taken.
func (o *Owner) insist(t outgoing, ok <-chan *jetstream.PubAck, failed <-chan error) {
	again, offer := time.NewTimer(publishPause), time.NewTimer(0)
	defer again.Stop()
	defer offer.Stop()
	for {
		select {
		case ack := <-ok:
			o.acknowledged(t, ack)
			return
		case err := <-failed:
			ok, failed = nil, nil
			if !o.insistent(t, err) {
				return
			}
			again.Reset(publishPause)
		case <-again.C:
			if ok == nil && o.stands(t) {
				ok, failed = o.send(t)
			}
		case <-offer.C:
			if o.stands(t) {
				offer.Reset(o.offer(t))
			}
		case <-o.ctx.Done():
			return
		}
		if ok == nil && !o.stands(t) {
			return
		}
	}
}

// stands tells whether a ticket is the one that the call waits with.
func (o *Owner) stands(t outgoing) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return t.call.out == t.Place
}

func (o *Owner) acknowledged(t outgoing, ack *jetstream.PubAck) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.silent {
		o.silent = false
		o.log.Info().Msg("the broker takes tickets again")
	}
	c := t.call
	switch {
	case c.out == t.Place:
		c.seq = ack.Sequence
	case c.claimed.Place != t.Place || c.claimed.Direct: // else its worker acknowledges it
		o.deleteLocked(ack.Sequence)
	}
}

// insistent takes a refusal, and tells whether to go on with the ticket. A full stream is the client's answer when the
// job is new, and a pause when it was in before. Everything else passes: a leader is elected, a stream is made anew.
func (o *Owner) insistent(t outgoing, err error) bool {
	if !isFull(err) {
		o.noteSilence(err)
		return o.stands(t)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	c := t.call
	switch {
	case c.out != t.Place:
	case c.place == 1:
		o.finishLocked(c, ErrQueueFull{RetryAfter: o.retryAfterLocked(c.job.Pool)})
	default:
		c.out = 0
		o.unplaceLocked(c)
		o.pauseLocked(c, publishPause)
	}
	return false
}

// noteSilence remembers that the broker does not take tickets, so that the next ones need not find out.
func (o *Owner) noteSilence(why error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.silent {
		o.log.Warn().AnErr("why", why).Msg("the broker takes no tickets, workers are asked directly")
	}
	o.silent, o.recheck = true, true
	o.kickConsumers()
}

// errCodeFull is the server's "maximum messages exceeded", for the stream and for one subject.
const errCodeFull = 10077

func isFull(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == errCodeFull
}
