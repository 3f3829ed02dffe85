package queue

import (
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"
)

// onClaim answers a worker that pulled a ticket. The answer is delivery of the body, check of deadline and
// cancellation, and fence in one, so that duplicates of a ticket are harmless.
func (o *Owner) onClaim(m *nats.Msg) {
	pool, worker, ok := lastTwo(m.Subject)
	var q claim
	if !ok || json.Unmarshal(m.Data, &q) != nil {
		return
	}
	o.mu.Lock()
	g, body := o.claimLocked(worker, pool, q, time.Now())
	o.mu.Unlock()
	o.respond(m, pack(g, body))
}

func (o *Owner) claimLocked(worker, pool string, q claim, now time.Time) (grant, []byte) {
	c, w := o.calls[q.Job], o.workers[worker]
	switch {
	case c == nil || c.phase == phaseEnded || passed(c.job.Deadline, now) || c.job.Pool != pool:
		return grant{Answer: answerGone}, nil
	case c.phase == phaseRunning && c.worker.ID == worker && c.claimed == q && c.next == 1 && !c.cancelled:
		return c.grantLocked(now) // its first answer was lost
	case c.phase == phaseRunning:
		return grant{Answer: answerClaimed}, nil
	case c.phase == phasePaused:
		return grant{Answer: answerStale}, nil
	case w == nil || !w.lost.IsZero():
		o.sayLocked(downSubject(worker, verbHello), nil)
		return grant{Answer: answerElsewhere}, nil
	case c.avoids(worker) && o.othersLocked(c, worker):
		return grant{Answer: answerElsewhere}, nil
	}
	o.grantLocked(c, w, q, now)
	return c.grantLocked(now)
}

// grantLocked is the answer to the claim that was granted.
func (c *Call) grantLocked(now time.Time) (grant, []byte) {
	g := grant{Answer: answerGo, Epoch: c.epoch, Size: c.size, SHA256: c.sum, WaitedMS: c.waited.Milliseconds()}
	if !c.job.Deadline.IsZero() {
		g.LeftMS = max(1, c.job.Deadline.Sub(now).Milliseconds())
	}
	if c.sum != nil {
		return g, nil
	}
	return g, c.job.Body
}

// onChunk sends a piece of a large body to the worker that was granted the job. An empty answer means that it is not
// this worker's any more.
func (o *Owner) onChunk(m *nats.Msg) {
	_, worker, ok := lastTwo(m.Subject)
	var q chunkRequest
	if !ok || json.Unmarshal(m.Data, &q) != nil {
		return
	}
	o.respond(m, o.chunk(worker, q))
}

func (o *Owner) chunk(worker string, q chunkRequest) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.attemptLocked(worker, q.Job, q.Epoch)
	if c == nil || q.Index < 0 || q.Index > len(c.job.Body)/bodyChunk {
		return nil
	}
	c.seen = time.Now()
	from := q.Index * bodyChunk
	return c.job.Body[from:min(from+bodyChunk, len(c.job.Body))]
}

// attemptLocked returns the call of which this worker runs the current attempt.
func (o *Owner) attemptLocked(worker, job string, epoch int) *Call {
	c := o.calls[job]
	if c == nil || c.phase != phaseRunning || c.epoch != epoch || c.worker.ID != worker {
		return nil
	}
	return c
}

// maxRunning is how many attempts a worker can name in one message of the broker's greatest size.
const maxRunning = 1 << 14

// onAlive notes which attempts a worker still runs, and answers with those it should not.
func (o *Owner) onAlive(m *nats.Msg) {
	_, worker, ok := lastTwo(m.Subject)
	var q aliveRequest
	if !ok || json.Unmarshal(m.Data, &q) != nil || len(q.Running) > maxRunning {
		return
	}
	o.respond(m, encode(o.alive(worker, q, time.Now())))
}

func (o *Owner) alive(worker string, q aliveRequest, now time.Time) aliveReply {
	o.mu.Lock()
	defer o.mu.Unlock()
	if w := o.workers[worker]; w != nil {
		w.seen = now
	}
	var reply aliveReply
	for i, a := range q.Running {
		c := o.attemptLocked(worker, a.Job, a.Epoch)
		if c == nil || c.cancelled {
			reply.Gone = append(reply.Gone, a)
		}
		if c != nil {
			c.seen = now
			if i < len(q.Frames) {
				o.missingLocked(c, q.Frames[i], q.Back, now)
			}
		}
	}
	return reply
}

// missingLocked asks for frames that were sent and lost, and behind which no other has shown the gap. Unless the worker
// knows better they may be on their way, and are there by the next sign of life.
func (o *Owner) missingLocked(c *Call, sent int, lost bool, now time.Time) {
	if sent >= c.next && (lost || c.stuck == c.next) {
		o.askLocked(c, now)
	}
	c.stuck = c.next
}

// respond answers at inboxes only: see isInbox.
func (o *Owner) respond(m *nats.Msg, data []byte) {
	if !isInbox(m.Reply) {
		o.calm.Warn().Str("subject", m.Subject).Msg("an answer was to go to no inbox: not answered")
		return
	}
	if err := m.Respond(data); err != nil {
		o.log.Debug().Err(err).Msg("not answered")
	}
}
