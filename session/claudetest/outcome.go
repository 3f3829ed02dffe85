package claudetest

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"maxrelay/session/anthropictest/wire"
)

const interruptText = "[Request interrupted by user]"

// outcome is how a turn ends.
type outcome struct {
	subtype  string
	terminal string
	stop     string
	status   *int
	isError  bool
	result   string
	errors   []string
	deferred any
}

// failure is an error of the upstream's, as the CLI tells it: a synthetic answer, and a result whose subtype is success.
type failure struct {
	status   int    // 0: none
	class    string // of error, in the CLI's words
	text     string
	stop     string // default: stop_sequence
	terminal string // default: api_error
	kind     string // a finer class, for some
	params   any    // of the kind
}

// refused answers with the error that was ordered, if one was.
func (t *turn) refused() bool {
	switch {
	case t.plan.limit > 0:
		t.limited(time.Now().Add(t.plan.limit))
	case t.f.usedUpUntil().After(time.Now()):
		t.limited(t.f.usedUpUntil())
	case t.plan.posed:
		f := failure{text: limitText(time.Now().Add(time.Hour))}
		t.synthetic(f)
		t.end(outcome{subtype: "success", terminal: "completed", stop: "stop_sequence", result: f.text})
	case t.plan.status > 0:
		t.fail(upstream(t.plan.status))
	default:
		return false
	}
	return true
}

// usedUpUntil reads the file of the account, which all of its processes share.
func (f *fake) usedUpUntil() time.Time {
	raw, err := os.ReadFile(f.getenv(EnvSubscription))
	if err != nil {
		return time.Time{} // there is no such file: nobody has written one
	}
	seconds, _ := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	return time.Unix(seconds, 0)
}

// limited ends the turn as a used-up window does.
func (t *turn) limited(resets time.Time) {
	info := map[string]any{"status": "rejected", "resetsAt": resets.Unix(), "rateLimitType": cmp.Or(t.plan.window, "five_hour"), "isUsingOverage": false}
	t.limits(info)
	t.fail(failure{status: 429, class: "rate_limit", kind: "usage_limit_reached", params: map[string]any{"rate_limit_info": info},
		text: limitText(resets)})
}

// tellUse tells how much of the account is used, if that was ordered.
func (t *turn) tellUse() {
	if u := t.plan.used; u.name != "" {
		resets := time.Now().Add(time.Hour).Unix()
		share := float64(u.percent) / 100
		t.limits(map[string]any{"status": "allowed", "resetsAt": resets, "rateLimitType": u.name, "utilization": share,
			"unifiedWindows": map[string]any{u.name: map[string]any{"utilization": share, "resetsAt": resets, "status": "allowed"}}})
	}
}

func (t *turn) limits(info map[string]any) {
	t.f.out.line(map[string]any{"type": "rate_limit_event", "uuid": newUUID(), "session_id": sessionID, "rate_limit_info": info})
}

func limitText(resets time.Time) string {
	return "You've hit your 5-hour limit · resets " + resets.UTC().Format("3pm (UTC)")
}

// upstream has Claude Code 2.1.330's classes and texts for the statuses of the API.
func upstream(status int) failure {
	f := failure{status: status, class: "unknown", text: "API Error: " + strconv.Itoa(status) + " ordered by a directive"}
	switch {
	case status == 401:
		f.class, f.text = "authentication_failed", "Invalid API key · Fix external API key"
	case status == 403:
		f.class, f.text = "authentication_failed", "Failed to authenticate. API Error: 403 ordered by a directive"
	case status == 404:
		f.class, f.text = "model_not_found", "There's an issue with the selected model. It may not exist or you may not have access to it."
	case status == 413:
		f.class, f.terminal, f.text = "invalid_request", "image_error", "Request too large (max 32MB)."
	case status == 429:
		f.class, f.text = "rate_limit", "API Error: Request rejected (429) · ordered by a directive"
	case status >= 500:
		f.class = "server_error"
		f.text += ". This is a server-side issue, usually temporary — try again in a moment."
	}
	return f
}

// fail ends the turn; its user lines stay in the history.
func (t *turn) fail(f failure) {
	t.synthetic(f)
	t.failed(f)
}

// synthetic writes the answer that the CLI makes up.
func (t *turn) synthetic(f failure) {
	l := t.assistantLine(map[string]any{"id": newUUID(), "type": "message", "role": "assistant", "model": "<synthetic>",
		"stop_reason": "stop_sequence", "stop_sequence": "", "usage": usage{}, "content": []wire.Block{wire.TextBlock(f.text)}})
	l.Error, l.IsAPIErrorMessage, l.APIErrorStatus = f.class, f.class != "", f.code()
	l.APIError, l.APIErrorParams = f.kind, f.params
	t.f.out.line(l)
}

func (t *turn) failed(f failure) {
	t.calls = max(t.calls, 1)
	t.end(outcome{subtype: "success", isError: true, terminal: cmp.Or(f.terminal, "api_error"), stop: cmp.Or(f.stop, "stop_sequence"),
		status: f.code(), result: f.text})
}

func (f failure) code() *int {
	if f.status == 0 {
		return nil
	}
	return &f.status
}

// interrupted ends the turn after an interrupt.
func (t *turn) interrupted() {
	t.note(interruptText)
	t.calls += 2 // as the CLI counts it, with content or without
	t.end(outcome{subtype: "error_during_execution", isError: true, terminal: "aborted_streaming",
		errors: []string{fmt.Sprintf("[ede_diagnostic] result_type=user last_content_type=n/a stop_reason=%s", "null")}})
}

// end writes the result line and what becomes of the user lines.
func (t *turn) end(o outcome) {
	l := resultLine{
		Type: "result", Subtype: o.subtype, IsError: o.isError, DurationMS: time.Since(t.started).Milliseconds(), NumTurns: t.calls,
		TerminalReason: o.terminal, APIErrorStatus: o.status, Errors: o.errors, DeferredToolUse: o.deferred, PermissionDenials: []any{},
		UserMessageUUID: t.uuid(), UserMessageUUIDs: t.uuids(), SessionID: sessionID, UUID: newUUID(),
	}
	if o.stop != "" {
		l.StopReason = &o.stop
	}
	if o.subtype == "success" {
		l.Result = &o.result
	}
	if !o.isError {
		l.Usage = t.usage
	}
	f := t.f
	f.mu.Lock()
	f.total = f.total.plus(t.usage)
	l.ModelUsage, l.ModelUsageSince = f.total.of(t.model), t.usage.of(t.model)
	l.QueuedTurnCount = len(f.queue)
	f.turn = nil // from here on a rewind is possible: the driver answers a result at once
	f.mu.Unlock()
	f.out.line(l)
	state := "completed"
	if o.isError {
		state = "cancelled"
	}
	for _, line := range t.lines {
		f.lifecycle(line.uuid, state)
	}
}
