package api

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"maxrelay/api/openai"
	"maxrelay/queue"
	"maxrelay/session/chat"
)

// turn is an admitted question on its way through the queue. It belongs to the
// goroutine of the request.
type turn struct {
	server *Server
	x      *exchange
	q      *question
	method string
	call   *queue.Call // nil when the queue refused it

	attempt  int // granted claims; 0: no worker had it yet
	worker   string
	workerID string
	waited   time.Duration
	first    time.Time // first content of any attempt

	// Of the current attempt.
	session  chat.Session // "" until a process has the conversation
	upstream string
	began    bool       // the upstream began to answer
	seen     chat.Usage // what its events counted
	said     strings.Builder

	former  chat.Usage    // what attempts that failed are known to have used
	partial bool          // they may have used more
	outcome *chat.Outcome // nil until the end
	counted *chat.Usage   // usage's result
	guessed bool          // usage had to estimate
	closed  bool          // the client was told how it ended, or was given up
}

// step is what one wait brought.
type step struct {
	moved  bool // the job was taken over: what came before is void
	events []chat.Event
}

func (t *turn) ended() bool { return t.outcome != nil }

// next waits for the turn's next events.
func (t *turn) next(ctx context.Context) (step, error) {
	b, err := t.call.Next(ctx)
	t.account(b)
	if errors.Is(err, queue.ErrDeadline) && t.attempt > 0 {
		return step{}, &chat.Error{Code: chat.CodeTurnTimeout, Message: "the answer took longer than this server allows"}
	}
	if err != nil {
		return step{}, err
	}
	moved := t.attempt > 0 && b.Attempt > t.attempt
	if b.Attempt > t.attempt {
		t.grant(b)
	}
	events := make([]chat.Event, 0, len(b.Events))
	for _, payload := range b.Events {
		e, err := chat.DecodeEvent(payload)
		if err != nil {
			return step{}, workerFailed(err)
		}
		t.note(e)
		events = append(events, e)
	}
	if b.End != nil {
		return step{moved, events}, t.end(*b.End)
	}
	return step{moved, events}, nil
}

// workerFailed hides from the client what only the log's reader can use.
func workerFailed(err error) error {
	return errors.Join(&chat.Error{Code: chat.CodeWorkerFailed, Message: "the worker gave an answer this server does not understand"}, err)
}

// account adds what attempts that failed said to have used. One that was lost with its
// worker said nothing: of it counts what its events told.
func (t *turn) account(b queue.Batch) {
	for _, data := range b.Former {
		if o, err := chat.DecodeOutcome(data); err == nil {
			t.formerly(o.Usage, o.Counted)
		}
	}
	if len(b.Former) > 0 {
		t.void()
	}
}

// void forgets what the current attempt showed: it has ended, and is accounted for.
func (t *turn) void() {
	t.session, t.upstream, t.began, t.seen = "", "", false, chat.Usage{}
	t.said.Reset()
}

func (t *turn) formerly(u chat.Usage, counted bool) {
	t.former = t.former.Plus(u)
	t.partial = t.partial || !counted && u != chat.Usage{}
}

// grant begins an attempt and voids the former one, except for what it used.
func (t *turn) grant(b queue.Batch) {
	t.formerly(t.seen, false) // lost with its worker; nothing, when its end came
	t.attempt, t.worker, t.workerID, t.waited = b.Attempt, b.Worker, b.WorkerID, b.Waited
	t.void()
}

func (t *turn) note(e chat.Event) {
	switch e.Type {
	case chat.EventTurn:
		t.session = e.Session
	case chat.EventMessageStart:
		t.began, t.upstream = true, e.Model
	case chat.EventBlockDelta:
		t.said.WriteString(e.Thinking)
		t.said.WriteString(e.Text)
	}
	if e.Usage != nil {
		t.seen = latest(t.seen, *e.Usage)
	}
	if t.first.IsZero() && e.Visible() {
		t.first = time.Now()
	}
}

// latest returns the counts of an answer after another of its events: each tells the
// sums so far, and leaves out what it does not know.
func latest(u, v chat.Usage) chat.Usage {
	return chat.Usage{
		InputTokens:      max(u.InputTokens, v.InputTokens),
		OutputTokens:     max(u.OutputTokens, v.OutputTokens),
		CacheReadTokens:  max(u.CacheReadTokens, v.CacheReadTokens),
		CacheWriteTokens: max(u.CacheWriteTokens, v.CacheWriteTokens),
		ThinkingTokens:   max(u.ThinkingTokens, v.ThinkingTokens),
	}
}

func (t *turn) end(e queue.End) error {
	t.outcome = &chat.Outcome{}
	if len(e.Data) > 0 {
		o, err := chat.DecodeOutcome(e.Data)
		if err != nil {
			return workerFailed(err)
		}
		t.outcome = &o
	}
	if !e.OK && t.outcome.Error == nil {
		t.outcome.Error = &chat.Error{Code: chat.CodeWorkerFailed, Message: "the worker failed: send the request again"}
	}
	if t.outcome.Session != "" {
		t.session = t.outcome.Session
	}
	if t.outcome.Upstream != "" {
		t.upstream = t.outcome.Upstream
	}
	return nil
}

// head is what the answer's parts have in common.
func (t *turn) head() openai.Head {
	return openai.Head{
		ID:          "chatcmpl-" + rand.Text(),
		Created:     t.x.start.Unix(),
		Model:       t.q.asked.Model,
		Fingerprint: "fp_maxrelay",
	}
}

// headers tells how the answer was come by, as far as that is known.
func (t *turn) headers(h http.Header) {
	if t.attempt == 0 {
		return
	}
	h.Set("X-Maxrelay-Worker", t.worker)
	h.Set("X-Maxrelay-Queue-Ms", strconv.FormatInt(t.waited.Milliseconds(), 10))
	if t.session != "" {
		h.Set("X-Maxrelay-Session", string(t.session))
	}
}

// fail tells the client what went wrong in the one way that is left. Who does not read
// is told nothing: a write would wait for them.
func (t *turn) fail(err error) {
	t.closed = true
	if errors.Is(err, queue.ErrSlowClient) {
		t.drop()
		return
	}
	t.headers(t.x.Header())
	f := openai.Failure{}
	if t.x.streamed {
		f = t.x.failStream(err)
	} else {
		f = t.x.fail(err)
	}
	if f.Status >= http.StatusInternalServerError {
		t.server.log.Warn().Err(err).Str("request", t.x.label).Str("worker", t.workerID).Int("attempt", t.attempt).Msg("turn failed")
	}
}

// drop gives the client up.
func (t *turn) drop() {
	t.closed = true
	t.x.code = string(chat.CodeCancelled)
}

// settle ends the job if it has not ended, and waits a moment for its last words, in
// which the worker tells what was used.
func (t *turn) settle(ctx context.Context) {
	defer t.call.Close()
	if t.ended() {
		return
	}
	t.call.Cancel()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWait)
	defer cancel()
	for !t.ended() {
		if _, err := t.next(ctx); err != nil {
			t.server.log.Debug().Err(err).Str("request", t.x.label).Msg("cancelled turn has no end")
			return
		}
	}
}

// settleWait is a little longer than an owner waits for a cancelled attempt.
const settleWait = 6 * time.Second
