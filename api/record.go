package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"maxrelay/api/openai"
	"maxrelay/session/chat"
	"maxrelay/stats"
)

// record keeps the turn's one usage event. It runs when all else is done, also after
// a panic, and outlives the client.
func (t *turn) record(ctx context.Context) {
	e := t.event()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.server.cfg.RecordTimeout)
	defer cancel()
	if err := t.server.recorder.Record(ctx, e); err != nil {
		t.server.log.Error().Err(err).Interface("event", e).Msg("usage event is lost")
	}
}

func (t *turn) event() stats.Event {
	e := stats.Event{
		ID: t.x.id, Time: t.x.start.UTC(), KeyID: t.x.identity.ID, Method: t.method, Path: t.x.route,
		Model: t.q.asked.Model, Upstream: t.upstream, Stream: t.q.asked.Stream,
		Status: t.x.status, ErrorCode: t.x.code,
		Session: t.session, Worker: t.workerID, Attempts: t.attempt,
		QueueMS: t.waited.Milliseconds(), DurationMS: time.Since(t.x.start).Milliseconds(),
		Usage: t.usage().Plus(t.former), Estimated: t.guessed || t.partial,
		RequestBytes: int64(t.q.size), ResponseBytes: t.x.sent,
	}
	if !t.first.IsZero() {
		e.FirstMS = t.first.Sub(t.x.start).Milliseconds()
	}
	if !t.closed { // a panic came between
		e.ErrorCode = string(chat.CodeInternal)
	}
	if e.Status == 0 {
		e.Status = http.StatusInternalServerError
		if t.x.code == string(chat.CodeCancelled) {
			e.Status = openai.StatusClientClosed
		}
	}
	return e
}

// usage is what the last attempt used: the upstream's counts, or an estimate when the
// turn ended before they came although the upstream was asked.
func (t *turn) usage() chat.Usage {
	if t.counted == nil {
		u := t.count()
		t.counted = &u
	}
	return *t.counted
}

func (t *turn) count() chat.Usage {
	u := t.seen
	if t.outcome != nil {
		if t.outcome.Counted {
			return t.outcome.Usage
		}
		u = latest(u, t.outcome.Usage)
	}
	if !t.asked() {
		return u
	}
	t.guessed = true
	if u.PromptTokens() == 0 {
		u.InputTokens = t.server.estimate.Tokens(t.prompt())
	}
	u.OutputTokens = max(u.OutputTokens, t.server.estimate.Tokens(t.said.String()))
	if err := t.server.estimate.Err(); err != nil {
		t.server.log.Warn().Err(err).Str("request", t.x.label).Msg("usage is estimated from bytes alone")
	}
	return u
}

// asked reports whether the upstream may have worked on the last attempt. A refusal
// costs nothing; a turn that was cut off after it was written to a process may.
func (t *turn) asked() bool {
	if t.began || t.session == "" || t.outcome == nil || t.outcome.Error == nil {
		return t.began || t.session != ""
	}
	switch t.outcome.Error.Code {
	case chat.CodeCancelled, chat.CodeTurnTimeout, chat.CodeWorkerFailed, chat.CodeUpstream:
		return true
	}
	return false
}

func (t *turn) prompt() string {
	var b strings.Builder
	b.WriteString(t.q.chat.System)
	for _, m := range t.q.chat.Messages {
		for _, block := range m.Content {
			b.WriteByte('\n')
			b.WriteString(block.Text)
		}
	}
	return b.String()
}
