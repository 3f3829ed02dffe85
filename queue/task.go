package queue

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// mergeWait and mergeBytes bound how long and how much output is gathered into one frame. Output that comes more
	// slowly is not held back at all.
	mergeWait  = 20 * time.Millisecond
	mergeBytes = 4 << 10

	maxPiece   = 256 << 10 // of a payload in one frame, well below the broker's 1 MB
	maxPending = 8 << 20   // output not yet given to the connection; more, and the attempt is given up

	endWait  = time.Second
	endPause = 200 * time.Millisecond
	endLimit = 30 * time.Second
)

// Task is a granted attempt of a job.
type Task struct {
	Job, KeyID, Pool, Model string
	Epoch                   int
	Body                    []byte
	Deadline                time.Time     // by this machine's clock, zero for none
	Waited                  time.Duration // from submit to the grant

	w      *Worker
	node   string
	place  int
	ticket *nats.Msg // as it was pulled; nil for one that was offered
	size   int
	sum    []byte // of a body that is still to be fetched
	ctx    context.Context
	cancel context.CancelCauseFunc

	wake    chan struct{} // holds one token when there is something for send to do
	orphan  atomic.Bool   // the owner is gone: nobody takes the end
	told    atomic.Bool   // the ticket was acknowledged
	started atomic.Bool   // granted
	sent    atomic.Int64  // frames so far

	mu      sync.Mutex // guards what follows
	pending []piece
	queued  int  // bytes in pending
	holding bool // send waits for more output, and for its timer
	content bool // some was sent or is pending
	urgent  bool // the first content is pending
	resend  int  // first frame to send again, 0 for none
	stopped int  // last epoch that was ordered to stop
	end     *End
}

// piece is the rest of a frame to be.
type piece struct {
	body             []byte
	content, partial bool
}

func newTask(w *Worker, m *nats.Msg, q ticket) *Task {
	t := &Task{
		Job: q.Job, KeyID: q.Key, Pool: q.Pool, Model: q.Model,
		w: w, node: q.Node, place: q.Place, ticket: m, wake: make(chan struct{}, 1),
	}
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	return t
}

func (t *Task) start(g grant, body []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.Epoch, t.Body, t.size, t.sum = g.Epoch, body, g.Size, g.SHA256
	t.Waited = millis(g.WaitedMS)
	if g.LeftMS > 0 {
		t.Deadline = time.Now().Add(millis(g.LeftMS))
	}
	if t.stopped >= t.Epoch {
		t.cancel(ErrCancelled)
	}
	t.started.Store(true)
}

// stopUpTo obeys an order to stop. It may come before the grant it is about.
func (t *Task) stopUpTo(epoch int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = max(t.stopped, epoch)
	if t.started.Load() && t.stopped >= t.Epoch {
		t.cancel(ErrCancelled)
	}
}

func (t *Task) sendAgain(epoch, from int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.started.Load() || t.Epoch != epoch || from < 1 {
		return
	}
	if t.resend == 0 || from < t.resend {
		t.resend = from
	}
	t.notify()
}

func (t *Task) notify() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// Send gives a payload to the client's side. Content counts as shown there once a client of a streaming job has it; it
// is what decides whether the job may still move. Send copies the payload and never blocks.
func (t *Task) Send(payload []byte, content bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.end != nil {
		return
	}
	if t.queued += len(payload); t.queued > maxPending {
		t.cancel(ErrDisconnected)
		return
	}
	for len(payload) > maxPiece {
		t.pending = append(t.pending, piece{appendPayload(nil, payload[:maxPiece]), content, true})
		payload = payload[maxPiece:]
	}
	last := t.openLocked(len(payload))
	last.body = appendPayload(last.body, payload)
	last.content = last.content || content
	t.urgent = t.urgent || content && !t.content
	t.content = t.content || content
	if !t.holding || t.urgent || len(last.body) >= mergeBytes {
		t.notify()
	}
}

// openLocked returns the pending piece that still takes a payload of this size.
func (t *Task) openLocked(size int) *piece {
	if n := len(t.pending); n > 0 {
		if last := &t.pending[n-1]; !last.partial && len(last.body)+size <= maxPiece {
			return last
		}
	}
	t.pending = append(t.pending, piece{})
	return &t.pending[len(t.pending)-1]
}

// End ends the attempt, after everything that was sent. Only the first call counts.
func (t *Task) End(e End) {
	if len(e.Data) > MaxEndData {
		t.w.log.Error().Str("job", t.Job).Int("bytes", len(e.Data)).Msg("data of an end is too large, left out")
		e = End{Retry: RetryNo}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.end == nil {
		t.end = &e
		t.notify()
	}
}

// send is the goroutine that publishes a task's output. It ends when the owner has taken the end, or cannot.
func (t *Task) send() {
	defer t.w.remove(t)
	defer t.cancel(context.Canceled) // frees the context; its handler has returned or been told why already
	s := sender{
		t:       t,
		subject: frameSubject(t.node, t.w.id, t.Job),
		ring:    ring{limit: t.w.cfg.RingBytes},
		timer:   time.NewTimer(time.Hour),
	}
	defer s.timer.Stop()
	for {
		select {
		case <-t.wake:
		case <-s.timer.C:
			s.held = false
		}
		if end := s.flush(); end != nil {
			t.acknowledge()
			t.w.publishAnnouncements()
			s.finish(*end)
			return
		}
	}
}

// acknowledge ends the ticket's life at the broker. From here on the owner alone decides on another attempt.
func (t *Task) acknowledge() {
	if t.told.CompareAndSwap(false, true) {
		t.w.answer(t.ticket, ackTicket)
	}
}

// sender belongs to the goroutine of Task.send.
type sender struct {
	t       *Task
	subject string
	ring    ring
	seq     int
	held    bool // a frame was sent less than mergeWait ago
	timer   *time.Timer
}

// flush sends what is due, and returns the end when nothing is left before it.
func (s *sender) flush() *End {
	pending, resend, end := s.collect()
	if resend > 0 {
		s.resend(resend)
	}
	content := false
	for _, p := range pending {
		s.seq++
		s.publish(p)
		s.t.sent.Store(int64(s.seq))
		content = content || p.content
	}
	if content {
		s.t.acknowledge()
	}
	if len(pending) > 0 {
		s.held = true
		s.timer.Reset(mergeWait)
	}
	return end
}

// collect takes the pending output if it is due. Output that follows a frame too closely is left to gather.
func (s *sender) collect() (pending []piece, resend int, end *End) {
	t := s.t
	t.mu.Lock()
	defer t.mu.Unlock()
	resend, t.resend = t.resend, 0
	if !s.held || t.urgent || t.end != nil || t.queued >= mergeBytes {
		pending, t.pending, t.queued, t.urgent = t.pending, nil, 0, false
		end = t.end
	}
	t.holding = s.held || len(pending) > 0
	return pending, resend, end
}

func (s *sender) publish(p piece) {
	f := frame{kind: frameData, content: p.content, partial: p.partial, epoch: s.t.Epoch, seq: s.seq}
	data := append(appendFrameHead(make([]byte, 0, len(p.body)+16), f), p.body...)
	s.ring.add(s.seq, data)
	s.say(data)
}

// say ignores errors: what does not arrive is asked for again, or the owner gives the attempt up.
func (s *sender) say(data []byte) {
	_ = s.t.w.nc.Publish(s.subject, data)
}

// resend sends frames again from one on, or says that they are not kept any more.
func (s *sender) resend(from int) (ok bool) {
	frames, ok := s.ring.since(from)
	if !ok {
		s.say(appendFrameHead(nil, frame{kind: frameLost, epoch: s.t.Epoch, seq: from}))
		return false
	}
	for _, data := range frames {
		s.say(data)
	}
	return true
}

// finish asks the owner to take the end until it does, is gone, or does not want it.
func (s *sender) finish(end End) {
	t := s.t
	head := endHeader{OK: end.OK, Retry: end.Retry, RetryAfterMS: end.RetryAfter.Milliseconds(), Directory: t.w.lastUpdate(), Rest: t.w.restWire()}
	behind := 0
	limit := time.Now().Add(endLimit)
	for !t.orphan.Load() && time.Now().Before(t.w.lastChance(limit)) {
		reply, err := s.ask(s.encodeEnd(head, end.Data))
		switch {
		case err != nil:
			s.rest(endPause)
		case reply.Answer == endSoon:
			if behind++; behind == endPatience { // the update got lost; the owner will ask for a snapshot
				head.Directory = 0
			}
			s.rest(time.Millisecond)
		case reply.Answer != endNeed:
			return
		case !s.resend(reply.From):
			return
		}
	}
	t.w.log.Warn().Str("job", t.Job).Msg("end of a job was not taken")
}

func (s *sender) encodeEnd(head endHeader, data []byte) []byte {
	return append(appendFrameHead(nil, frame{kind: frameEnd, epoch: s.t.Epoch, seq: s.seq}), pack(head, data)...)
}

// endPatience is how often an end is sent again for a directory that is behind: it is by a scheduler's whim, mostly.
const endPatience = 50

func (s *sender) ask(data []byte) (endReply, error) {
	var reply endReply
	m, err := s.t.w.request(s.t.w.ctx, s.subject, data, endWait)
	if err != nil {
		return reply, err
	}
	if err := json.Unmarshal(m.Data, &reply); err != nil || reply.Answer == "" {
		return reply, errors.New("answer to an end not understood")
	}
	return reply, nil
}

// rest is the pause after an end that was not taken.
func (s *sender) rest(pause time.Duration) {
	s.timer.Reset(pause)
	<-s.timer.C
}

// lastChance is when an end is given up: soon when the worker closes, at once when it then has no connection.
func (w *Worker) lastChance(limit time.Time) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closedAt.IsZero():
		return limit
	case !w.nc.IsConnected():
		return w.closedAt
	}
	return w.closedAt.Add(lastWords)
}
