package queue

import (
	"errors"
	"fmt"
	"time"
)

// What a caller of Submit and Next is told.
var (
	ErrNoWorker   = errors.New("no worker serves the pool")
	ErrNoBroker   = errors.New("the broker is out of reach")
	ErrStopping   = errors.New("stopping")
	ErrDeadline   = errors.New("deadline passed")
	ErrWorkerLost = errors.New("worker lost")
	ErrSlowClient = errors.New("client reads too slowly")
	ErrCancelled  = errors.New("job cancelled")
)

// Causes of a cancelled task context, besides ErrCancelled and ErrStopping.
var (
	ErrOwnerGone    = errors.New("owner gone")
	ErrDisconnected = errors.New("broker connection lost")
)

// ErrQueueFull says that a bound on waiting jobs was reached and when to come back.
type ErrQueueFull struct{ RetryAfter time.Duration }

func (e ErrQueueFull) Error() string {
	return fmt.Sprintf("queue full, retry after %s", e.RetryAfter)
}

// ErrResting says that every worker of the pool rests, and when the first of them serves again: 0 where none knows.
type ErrResting struct{ RetryAfter time.Duration }

func (e ErrResting) Error() string {
	return fmt.Sprintf("every worker rests, retry after %s", e.RetryAfter)
}
