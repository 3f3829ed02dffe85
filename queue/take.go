package queue

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// Answers to a delivered ticket, as the broker reads them.
const (
	ackTicket      = "+ACK"
	nakTicket      = "-NAK"
	progressTicket = "+WPI"
	termTicket     = "+TERM"
)

// laterTicket hands a ticket back and lets other workers get it first.
var laterTicket = fmt.Sprintf(`%s {"delay":%d}`, nakTicket, elsewherePause.Nanoseconds())

const (
	claimWait  = 2 * time.Second
	claimTries = 3
	chunkWait  = 5 * time.Second
	chunkTries = 2

	// elsewherePause lets workers that have not failed a job yet, and do not rest, get its ticket.
	elsewherePause = 500 * time.Millisecond
)

// offer decides on a delivered ticket: a slot for it, or back to the broker at once.
func (w *Worker) offer(m *nats.Msg) {
	t, err := parseTicket(m.Data)
	if err == nil && !slices.Contains(w.cfg.Pools, t.Pool) {
		err = errors.New("ticket: of a pool that is not served here")
	}
	switch {
	case err != nil:
		w.log.Warn().Err(err).Msg("ticket not taken")
		w.answer(m, termTicket)
	case !w.reserve(t.Model):
		w.answer(m, w.refusal(t.Model))
	default:
		w.begin(newTask(w, m, t))
	}
}

// begin runs a task in the slot that was reserved for it.
func (w *Worker) begin(t *Task) {
	w.add(t)
	go w.take(t)
}

// refusal is the answer to a ticket that is not taken: others may have it at once, but one whose model alone rests here
// would come back as fast.
func (w *Worker) refusal(model string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, rests := w.restLocked(model, time.Now()); rests {
		return laterTicket
	}
	return nakTicket
}

func (w *Worker) answer(m *nats.Msg, word string) {
	if m == nil {
		return // its owner brought the ticket, and the broker does not have it from this worker
	}
	if err := w.respond(m, []byte(word)); err != nil {
		w.log.Debug().Err(err).Msg("ticket not answered")
	}
}

// take claims the job of a ticket and runs it.
func (w *Worker) take(t *Task) {
	defer w.release()
	word, err := w.claim(t)
	if err != nil {
		w.log.Debug().Err(err).Str("job", t.Job).Msg("not claimed")
	}
	if word != "" {
		w.remove(t)
		w.answer(t.ticket, word)
		return
	}
	w.running.Go(t.send)
	if err := w.body(t); err != nil {
		w.log.Warn().Err(err).Str("job", t.Job).Msg("body not fetched")
		t.End(End{Retry: RetryAnew})
		return
	}
	w.handle(t.ctx, t)
	t.End(End{Retry: RetryAnew}) // nothing when the handler has ended it
}

// claim asks the owner for the job. It returns what to answer the broker when it is not ours.
func (w *Worker) claim(t *Task) (word string, err error) {
	q := encode(claim{Job: t.Job, Place: t.place, Nonce: rand.Text(), Direct: t.ticket == nil})
	for range claimTries {
		var m *nats.Msg
		m, err = w.request(t.ctx, claimSubject(t.node, t.Pool, w.id), q, claimWait)
		if errors.Is(err, nats.ErrNoResponders) {
			return ackTicket, err // its owner is gone, and its client with it
		}
		if err == nil {
			return t.granted(m.Data)
		}
	}
	return nakTicket, err
}

// request fails at once when the connection was lost and is back, so that it can be made again.
func (w *Worker) request(ctx context.Context, subject string, data []byte, wait time.Duration) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	defer context.AfterFunc(w.currentLink(), cancel)()
	return w.nc.RequestWithContext(ctx, subject, data)
}

// granted reads the answer to a claim.
func (t *Task) granted(data []byte) (word string, err error) {
	var g grant
	body, err := unpack(data, &g)
	if err != nil {
		return nakTicket, err
	}
	switch g.Answer {
	case answerGo:
		t.start(g, body)
		return "", nil
	case answerElsewhere:
		return laterTicket, nil
	}
	return ackTicket, nil
}

// body fetches a body that did not come with the grant, a few chunks at a time.
func (w *Worker) body(t *Task) error {
	if t.sum == nil {
		return nil
	}
	if t.size < 0 || t.size > maxBody {
		return fmt.Errorf("a body of %d bytes is not taken", t.size)
	}
	body := make([]byte, t.size)
	if err := w.chunks(t, body); err != nil {
		return err
	}
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], t.sum) {
		return errors.New("body does not match its hash")
	}
	t.Body = body
	return nil
}

// maxBody bounds what an owner can make a worker allocate.
const maxBody = 256 << 20

// claimChunk returns where the next chunk starts that nobody fetches yet.
func claimChunk(next *atomic.Int64) int { return int(next.Add(1)-1) * bodyChunk }

func (w *Worker) chunks(t *Task, body []byte) error {
	ctx, fail := context.WithCancelCause(t.ctx)
	defer fail(nil)
	var fetchers sync.WaitGroup
	var next atomic.Int64
	for range bodyWindow {
		fetchers.Go(func() {
			for from := claimChunk(&next); from < len(body) && ctx.Err() == nil; from = claimChunk(&next) {
				part := body[from:min(from+bodyChunk, len(body))]
				if err := w.chunk(ctx, t, from/bodyChunk, part); err != nil {
					fail(err)
				}
			}
		})
	}
	fetchers.Wait()
	return context.Cause(ctx)
}

func (w *Worker) chunk(ctx context.Context, t *Task, i int, part []byte) error {
	q := encode(chunkRequest{Job: t.Job, Epoch: t.Epoch, Index: i})
	var m *nats.Msg
	var err error
	for range chunkTries {
		if m, err = w.request(ctx, ownerSubject(t.node, verbBody, w.id), q, chunkWait); err == nil || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("chunk %d: %w", i, err)
	}
	if len(m.Data) != len(part) {
		return fmt.Errorf("chunk %d: not ours any more", i)
	}
	copy(part, m.Data)
	return nil
}
