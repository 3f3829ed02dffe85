package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"maxrelay/queue"
	"maxrelay/session/chat"
)

// turn is one answer on its way through the queue. It belongs to the goroutine of the
// request, or to the one that pumps it.
type turn struct {
	reply  *reply // what it is an answer of; its fields are not the pump's to write
	index  int
	call   *queue.Call   // nil when the queue refused it
	resume chan struct{} // lets its pump go on

	attempts int // of jobs before this one
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
	drawn   int64         // of the reply's allowance
	cut     bool          // nothing was left of it
	outcome *chat.Outcome // nil until the end
	counted *chat.Usage   // usage's result
	guessed bool          // usage had to estimate
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
	switch {
	case b.End != nil:
		return step{moved, events}, t.end(*b.End)
	case !t.cut && !t.spend(ctx):
		events = append(events, t.cutShort(ctx))
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
		t.said.WriteString(e.PartialJSON)
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

// anew gives the queue the question once more. What was used until now is accounted
// for.
func (t *turn) anew(ctx context.Context) error {
	t.formerly(t.usage(), true)
	t.partial = t.partial || t.guessed
	t.call.Close()
	t.void()
	t.attempts += t.attempt
	t.outcome, t.counted, t.guessed, t.attempt = nil, nil, false, 0
	return t.submit(ctx)
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
	if failed := t.outcome.Error; failed != nil && failed.Code == chat.CodeUsageLimit && e.RetryAfter > 0 {
		failed.RetryAfter = e.RetryAfter // of the first account to be used again
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
