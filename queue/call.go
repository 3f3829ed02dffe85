package queue

import (
	"context"
	"crypto/sha256"
	"io"
	"slices"
	"time"
)

type phase int

const (
	phaseInLine   phase = iota // in its key's line, without a ticket
	phaseTicketed              // a shared ticket is out
	phaseSticky                // a ticket for one worker is out
	phasePaused                // waits for `until`
	phaseRunning
	phaseEnded
)

// maxBuffer bounds what may wait for Next, in bytes. A client that is further behind is dropped: nobody else waits for
// it, and the worker's output is not held back.
const maxBuffer = 8 << 20

// eventCost is added to each event's size, so that a flood of empty ones is bounded too.
const eventCost = 64

// Call is a submitted job, seen by the one goroutine that serves its client.
type Call struct {
	o         *Owner
	size      int    // of the body
	sum       []byte // of a body that goes in chunks
	submitted time.Time
	wake      chan struct{} // holds one token when there may be something for Next

	// Everything below is guarded by Owner.mu.
	job   Job // without its body once it cannot move any more
	timer *time.Timer
	phase phase

	// Waiting.
	queueUntil time.Time
	until      time.Time // end of the sticky wait, of the pause, or of the patience with a cancelled attempt
	place      int       // tickets so far
	out        int       // place of the ticket that is out, 0 for none
	seq        uint64    // its number in the stream, 0 until the broker acknowledged it
	home       *remote   // the worker of a sticky ticket
	homed      bool      // this round had its sticky wait
	avoid      []string  // workers that failed it
	position   int       // where it was last seen to stand in this round, 0 if it was not
	stands     time.Time // since when it does
	refused    int       // attempts that an account refused: they cost nothing, and each account is asked once

	// Running.
	epoch     int // granted claims so far
	claimed   claim
	worker    *remote
	granted   time.Time
	seen      time.Time // last sign of life of the attempt
	next      int       // number of the next frame
	asked     time.Time // last request for missing frames
	stuck     int       // what next was at the last sign of life
	content   bool      // the attempt has produced some
	partial   []byte    // a payload that goes on in the next frame
	inPartial bool
	cancelled bool

	// For Next.
	announce bool // a grant it has not heard of
	shown    bool // content of a streaming job was handed out
	waited   time.Duration
	events   [][]byte
	buffered int
	withheld bool // events holds content
	former   [][]byte
	end      *End
	endTaken bool
	err      error
}

func newCall(o *Owner, job Job) *Call {
	c := &Call{o: o, job: job, size: len(job.Body), submitted: time.Now(), wake: make(chan struct{}, 1)}
	if c.size > inlineBody {
		sum := sha256.Sum256(job.Body)
		c.sum = sum[:]
	}
	return c
}

// Next blocks until there is something to tell: a grant, events, or the end. After the end it returns io.EOF. With an
// error, only the batch's Former may be set. It is for one goroutine.
func (c *Call) Next(ctx context.Context) (Batch, error) {
	for {
		if b, ok, err := c.take(); ok || err != nil {
			return b, err
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
			return Batch{}, context.Cause(ctx)
		}
	}
}

func (c *Call) take() (Batch, bool, error) {
	c.o.mu.Lock()
	defer c.o.mu.Unlock()
	if !c.announce && len(c.events) == 0 && (c.end == nil || c.endTaken) {
		if c.err == nil && c.endTaken {
			return Batch{}, false, io.EOF
		}
		b := Batch{Former: c.former}
		if c.err != nil {
			c.former = nil
		}
		return b, false, c.err
	}
	b := Batch{Attempt: c.epoch, Waited: c.waited, Events: c.events, End: c.end, Former: c.former}
	if c.worker != nil {
		b.Worker, b.WorkerID = c.worker.Name, c.worker.ID
	}
	if c.withheld && c.job.Streaming {
		c.shown, c.job.Body = true, nil
	}
	c.endTaken = c.end != nil
	c.announce, c.withheld, c.events, c.buffered, c.former = false, false, nil, 0, nil
	return b, true, nil
}

// Cancel says that the client left. A waiting job ends at once. A running one is interrupted and ends with what its
// worker reports, so that usage is known; Next returns ErrCancelled when the worker says nothing.
func (c *Call) Cancel() {
	o := c.o
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case c.phase == phaseEnded || c.cancelled:
	case c.phase == phaseRunning:
		c.cancelled = true
		c.job.Body = nil
		c.until = time.Now().Add(cancelPatience)
		o.orderStopLocked(c)
		o.armLocked(c)
	default:
		o.finishLocked(c, ErrCancelled)
	}
}

// cancelPatience is how long the last words of a cancelled attempt are waited for. An interrupted CLI answers in
// milliseconds; one that does not is killed after 1 s by its session.
const cancelPatience = 5 * time.Second

// Close forgets the job, and cancels it when it has not ended. It may be called more than once.
func (c *Call) Close() {
	o := c.o
	o.mu.Lock()
	defer o.mu.Unlock()
	if c.phase != phaseEnded {
		o.finishLocked(c, ErrCancelled)
	}
	c.events, c.buffered = nil, 0
	if o.calls[c.job.ID] == c {
		delete(o.calls, c.job.ID)
		o.idleLocked()
	}
}

func (c *Call) line() lineID { return lineID{c.job.Pool, c.job.KeyID} }

func (c *Call) avoids(worker string) bool { return slices.Contains(c.avoid, worker) }

// notify wakes Next. The channel holds one token, so a second one before it looks is not needed.
func (c *Call) notify() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
