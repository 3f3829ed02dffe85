package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// ErrUnknownWorker is what Drain and Resume say of a worker that is not on the roster, or not any more.
var ErrUnknownWorker = errors.New("no such worker")

// orderWait is how long a worker may take to say that it has heard an order.
const orderWait = 5 * time.Second

// Drain has a worker take no more jobs. What it runs goes on, and the jobs that wait for it go elsewhere. It stays on
// the roster until it is stopped, or told to resume.
func (o *Owner) Drain(ctx context.Context, worker string) error {
	return o.orderWorker(ctx, worker, verbDrain)
}

// Resume has a worker take jobs again that was told to drain, or rests.
func (o *Owner) Resume(ctx context.Context, worker string) error {
	return o.orderWorker(ctx, worker, verbResume)
}

func (o *Owner) orderWorker(ctx context.Context, worker, verb string) error {
	o.mu.Lock()
	known := o.workers[worker] != nil
	o.mu.Unlock()
	if !known {
		return ErrUnknownWorker
	}
	ctx, cancel := context.WithTimeout(ctx, orderWait)
	defer cancel()
	_, err := o.nc.RequestWithContext(ctx, downSubject(worker, verb), nil)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return ErrUnknownWorker
	case err != nil:
		return fmt.Errorf("worker %s does not answer: %w", worker, err)
	}
	return nil
}

// pause obeys an order to drain, or to resume. A worker that drains because it stops does not resume.
func (w *Worker) pause(paused bool) {
	w.mu.Lock()
	w.paused = paused
	w.loadChangedLocked(true)
	w.mu.Unlock()
	w.kickPullers()
	w.log.Info().Bool("drains", paused).Msg("told by an administrator")
	if !paused && w.cfg.Resumed != nil {
		w.cfg.Resumed()
	}
}

// leavesLocked reports whether the worker takes no more jobs.
func (w *Worker) leavesLocked() bool { return w.draining || w.paused }
