package api

import (
	"context"
	"math"
	"net/http"
	"strings"
	"testing"

	"maxrelay/queue"
	"maxrelay/session/chat"
)

// What a worker says of its answer is summed, put into headers and made a label of metrics. One that lies must not credit
// a key, keep its request out of the record, or break what others read.
func TestALyingWorkerIsNotBelieved(t *testing.T) {
	t.Parallel()
	const hostile = "x\x1b[2J\x00y"
	good := chat.Outcome{Session: chat.SessionNew, Upstream: "m", Counted: true, Usage: chat.Usage{InputTokens: 5, OutputTokens: 7}}
	with := func(change func(*chat.Outcome)) *chat.Outcome {
		o := good
		change(&o)
		return &o
	}
	for name, tc := range map[string]struct {
		event   *chat.Event
		outcome *chat.Outcome
	}{
		"fewer tokens than none": {outcome: with(func(o *chat.Outcome) { o.Usage.InputTokens = -1000 })},
		"all tokens there are":   {outcome: with(func(o *chat.Outcome) { o.Usage.OutputTokens, o.Usage.CacheReadTokens = math.MaxInt, math.MaxInt })},
		"a way of its own":       {outcome: with(func(o *chat.Outcome) { o.Session = hostile })},
		"a long model":           {outcome: with(func(o *chat.Outcome) { o.Upstream = strings.Repeat("m", 1<<20) })},
		"a code of its own":      {outcome: with(func(o *chat.Outcome) { o.Error = &chat.Error{Code: hostile, Message: "m"} })},
		"… in an event":          {event: &chat.Event{Type: chat.EventTurn, Session: hostile}},
		"… of no tokens":         {event: &chat.Event{Type: chat.EventMessageDelta, Usage: &chat.Usage{OutputTokens: -7}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := openNode(t, Config{}, queue.OwnerConfig{}, func(_ context.Context, p *play) {
				p.begin()
				p.text("hi")
				if tc.event != nil {
					p.send(*tc.event)
				}
				if tc.outcome == nil {
					p.finish()
					return
				}
				p.end(queue.End{OK: tc.outcome.Error == nil}, *tc.outcome)
			})
			resp := n.post(ask("hi", ``))
			if _, code, _ := errorCode(t, read(t, resp)); resp.StatusCode < 500 || strings.Contains(code, "x") {
				t.Errorf("%d %q", resp.StatusCode, code)
			}
			e := n.usage(1)[0]
			if total := e.Usage.Total(); total < 1 || total > 1000 || strings.Contains(e.ErrorCode+string(e.Session)+e.Upstream, "\x1b") {
				t.Errorf("recorded %+v", e)
			}
			if text := read(t, n.do(testContext(t), http.MethodGet, "/metrics", "")); strings.Contains(text, "[2J") {
				t.Error("a label of metrics is the worker's")
			}
		})
	}
}
