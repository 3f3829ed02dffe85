package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"maxrelay/api/failure"
	"maxrelay/api/limit"
	"maxrelay/session/chat"
	"maxrelay/stats"
)

// book ends the jobs, keeps the request's one usage event and settles its ticket: before
// the last words of an answer and before an error that is all of one, of which so many
// bytes are unsent then, else when all is done, also after a panic. It outlives the client.
func (p *reply) book(ctx context.Context, status, unsent int) {
	if p.booked {
		return
	}
	p.booked = true
	p.settle(ctx)
	e := p.event(status)
	e.ResponseBytes += int64(unsent)
	if note := p.server.cfg.Noted; note != nil {
		note(e.ID, p.q.chat.FirstMessage())
	}
	p.server.book(ctx, p.x, p.ticket, e)
}

// book records the event first: of a node that dies before it has settled, another one
// finds what was used.
func (s *Server) book(ctx context.Context, x *exchange, ticket *limit.Ticket, e stats.Event) {
	e.CacheReadShare = stats.CacheReadShare(e.Usage)
	s.meters.event(e)
	ctx = context.WithoutCancel(ctx)
	s.record(ctx, e)
	s.settle(ctx, x, ticket, e.Usage.Total())
}

func (s *Server) record(ctx context.Context, e stats.Event) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.RecordTimeout)
	defer cancel()
	if err := s.recorder.Record(ctx, e); err != nil {
		s.log.Error().Err(err).Interface("event", e).Msg("usage event is lost")
	}
}

func (p *reply) event(status int) stats.Event {
	e := stats.Event{
		ID: p.x.id, Label: p.x.sentLabel(), Time: p.x.asked.UTC(), KeyID: p.x.identity.ID, Method: p.method, Path: p.x.route,
		Model: p.q.model, Stream: p.q.stream,
		Status: status, ErrorCode: p.x.code, DurationMS: time.Since(p.x.start).Milliseconds(),
		RequestBytes: int64(p.q.size), ResponseBytes: p.x.sent,
	}
	for _, t := range p.turns {
		t.addTo(&e)
	}
	if !p.closed { // a panic came between
		e.ErrorCode = string(chat.CodeInternal)
	}
	if e.Status == 0 {
		e.Status = http.StatusInternalServerError
		if p.x.code == string(chat.CodeCancelled) {
			e.Status = failure.StatusClientClosed
		}
	}
	return e
}

// addTo adds one answer to the event of its request. How it was come by is told of the
// first, its cost of all.
func (t *turn) addTo(e *stats.Event) {
	if t.index == 0 {
		e.Upstream, e.Session, e.Worker, e.QueueMS = t.upstream, t.session, t.workerID, t.waited.Milliseconds()
	}
	e.Attempts += t.attempts + t.attempt
	e.Usage = e.Usage.Plus(t.usage()).Plus(t.former)
	e.Estimated = e.Estimated || t.guessed || t.partial
	if t.first.IsZero() {
		return
	}
	if first := max(1, t.first.Sub(t.reply.x.start).Milliseconds()); e.FirstMS == 0 || first < e.FirstMS {
		e.FirstMS = first
	}
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
		u.InputTokens = t.reply.server.estimate.Tokens(t.reply.prompt())
	}
	u.OutputTokens = max(u.OutputTokens, t.reply.server.estimate.Tokens(t.said.String()))
	if err := t.reply.server.estimate.Err(); err != nil {
		t.reply.server.log.Warn().Err(err).Str("request", t.reply.x.label).Msg("usage is estimated from bytes alone")
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

func (p *reply) prompt() string {
	var b strings.Builder
	b.WriteString(p.q.chat.System)
	for _, m := range p.q.chat.Messages {
		for _, block := range m.Content {
			b.WriteByte('\n')
			b.WriteString(block.Text)
		}
	}
	return b.String()
}
