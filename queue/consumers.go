package queue

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	tendWait  = 5 * time.Second
	tendRetry = time.Second

	// streamLook is how long it takes at most to notice that somebody else made the stream anew, as another node of a
	// cluster does while it starts: a ticket in the new one is of use to nobody until its consumers are there.
	streamLook = 5 * time.Second
)

// kickConsumers makes tendConsumers look.
func (o *Owner) kickConsumers() {
	select {
	case o.consumersNow <- struct{}{}:
	default:
	}
}

// tendConsumers makes the stream's consumers match the roster. One goroutine does it, from what the roster is at that
// moment, so that the removal of a worker's consumer cannot overtake its return.
func (o *Owner) tendConsumers() {
	t := tender{o: o, pools: make(map[string]bool), workers: make(map[string]bool)}
	retry := time.NewTimer(0)
	defer retry.Stop()
	look := time.NewTicker(streamLook)
	defer look.Stop()
	for {
		select {
		case <-o.ctx.Done():
			return
		case <-o.consumersNow:
		case <-retry.C:
		case <-look.C:
			if !t.isAnew() {
				continue
			}
		}
		if !o.nc.IsConnected() {
			continue // onConnected comes
		}
		err := t.tend()
		if o.ctx.Err() != nil {
			return
		}
		if t.tell(err); err != nil {
			retry.Reset(tendRetry)
		}
	}
}

// tell logs changes only: without a majority of a cluster every try fails.
func (t *tender) tell(err error) {
	switch was := t.failed; {
	case err != nil && !was:
		t.o.log.Warn().Err(err).Msg("consumers not in order, trying again")
	case err == nil && was:
		t.o.log.Info().Msg("consumers are in order again")
	}
	t.failed = err != nil
}

// tender remembers which consumers this owner has made. It belongs to the goroutine of tendConsumers.
type tender struct {
	o              *Owner
	pools, workers map[string]bool
	failed         bool // the last time
}

func (t *tender) tend() error {
	ctx, cancel := context.WithTimeout(t.o.ctx, tendWait)
	defer cancel()
	t.o.mu.Lock()
	t.o.tending = cancel // a reconnect ends requests that went down with the former connection
	t.o.mu.Unlock()
	err := t.tendStream(ctx)
	if err == nil {
		err = t.tendAll(ctx)
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		t.o.mu.Lock()
		t.o.recheck = true
		t.o.mu.Unlock()
	}
	return err
}

// tendStream makes the stream anew when it was lost, and then everything that was in it.
func (t *tender) tendStream(ctx context.Context) error {
	o := t.o
	o.mu.Lock()
	recheck := o.recheck
	o.mu.Unlock()
	if !recheck {
		return nil
	}
	created, err := o.ensureStream(ctx)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	lost, rejoined := !created.Equal(o.created), o.rejoined
	o.created, o.recheck, o.rejoined = created, false, false
	if lost {
		clear(t.pools)
		clear(t.workers)
		for _, w := range o.workers {
			w.greeted = false
		}
	}
	if lost || rejoined {
		o.republishLocked()
	}
	return nil
}

// isAnew tells whether the stream is gone or another one than it was. When nobody says, others find out why.
func (t *tender) isAnew() bool {
	o := t.o
	ctx, cancel := context.WithTimeout(o.ctx, tendRetry)
	defer cancel()
	stream, err := o.js.Stream(ctx, jobsStream)
	o.mu.Lock()
	defer o.mu.Unlock()
	if errors.Is(err, jetstream.ErrStreamNotFound) || err == nil && !stream.CachedInfo().Created.Equal(o.created) {
		o.recheck = true
	}
	return o.recheck
}

func (t *tender) tendAll(ctx context.Context) error {
	pools, greet, gone := t.wanted()
	for _, name := range pools {
		if err := t.o.ensureConsumer(ctx, poolConsumerConfig(name, t.o.cfg)); err != nil {
			return err
		}
		t.pools[name] = true
	}
	for _, id := range greet {
		if err := t.o.ensureConsumer(ctx, workerConsumerConfig(id, t.o.cfg)); err != nil {
			return err
		}
		t.workers[id] = true
		t.welcome(id)
	}
	for _, id := range gone {
		if err := t.o.removeConsumer(ctx, id); err != nil {
			return err
		}
		delete(t.workers, id)
	}
	return nil
}

// wanted compares the roster with what was made. A worker says hello when its own or a pool's consumer is missing, so
// both are made again for it.
func (t *tender) wanted() (pools, greet, gone []string) {
	o := t.o
	o.mu.Lock()
	defer o.mu.Unlock()
	missing := make(map[string]bool)
	for id, w := range o.workers {
		if w.greeted {
			continue
		}
		greet = append(greet, id)
		for _, name := range w.Pools {
			missing[name] = true
		}
	}
	for name := range o.pools {
		if missing[name] || !t.pools[name] {
			pools = append(pools, name)
		}
	}
	for id := range t.workers {
		if o.workers[id] == nil {
			gone = append(gone, id)
		}
	}
	return pools, greet, gone
}

func (t *tender) welcome(id string) {
	o := t.o
	o.mu.Lock()
	defer o.mu.Unlock()
	if w := o.workers[id]; w != nil {
		w.greeted = true
		o.sayLocked(downSubject(id, verbWelcome), nil)
	}
}
