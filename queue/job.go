package queue

import (
	"errors"
	"fmt"
	"time"
)

// Key is the fingerprint of a prefix of a conversation.
type Key [16]byte

// Job is one turn to be run by some worker of a pool.
type Job struct {
	ID      string // random, 128 bits: who knows it may send frames for it
	KeyID   string // the API key's id, never the key
	Request string // names the job for people, unlike its ID
	Pool    string
	Model   string
	Body    []byte
	NoWait  bool // do not wait StickyWait for a worker that is warm but full

	// Prefixes are the fingerprints of the conversation so far, shortest first. The worker that holds the longest of
	// them in an idle process gets the job.
	Prefixes []Key

	// Streaming says that content handed out by Next is shown to a client: from then on the job never moves.
	Streaming bool

	Deadline time.Time // zero for none
}

func (j *Job) validate() error {
	switch {
	case !isToken(j.ID), !isToken(j.KeyID), !isToken(j.Pool):
		return errors.New("job: id, key id and pool must be made of letters, digits, - and _")
	case len(j.Model) > maxModel:
		return fmt.Errorf("job: model name is longer than %d bytes", maxModel)
	}
	return nil
}

const maxModel = 256

// End is how an attempt ended.
type End struct {
	OK         bool
	Retry      RetryKind     // what may help when it is not OK
	RetryAfter time.Duration // RetryLater: not before this, as far as the deadline allows. RetryElsewhere, when all rest: until the first does not
	Data       []byte        // opaque, at most MaxEndData
}

// MaxEndData bounds End.Data, to stay within the broker's 1 MB message.
const MaxEndData = 512 << 10

// RetryKind says whether another attempt makes sense.
type RetryKind int

const (
	RetryNo        RetryKind = iota
	RetryElsewhere           // at once, and not on this worker
	RetryAnew                // at once on another worker; on this one, after a pause, where there is no other
	RetryLater               // after a pause, anywhere
)

// Batch is what Next returns: what arrived since the last one.
type Batch struct {
	Attempt  int    // counts granted claims from 1; when it changes, what came before is void
	Worker   string // label of the worker that runs the attempt
	WorkerID string
	Waited   time.Duration // from Submit to the grant of this attempt
	Events   [][]byte
	End      *End // the last one

	// Former holds the End.Data of attempts that failed and were followed by another one, in their order. It may come
	// with an error of Next too. An attempt that was lost with its worker leaves none.
	Former [][]byte
}
