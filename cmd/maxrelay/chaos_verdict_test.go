package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"maxrelay/session/anthropictest/wire"
	"maxrelay/session/chat"
)

// judge keeps how a request ended, and holds what was said to what had to be: all of
// it, or, of an answer that has no end, its beginning.
func (c *caller) judge(e *ending, q line, calls int) {
	want := c.wanted(q, calls)
	got := e.answer()
	switch {
	case e.how == whole && got != want:
		c.t.Errorf("%v: answered %+v, want %+v", e, got, want)
	case e.how == whole && e.heard.status != http.StatusOK, e.how == whole && len(e.heard.choices) != 1:
		c.t.Errorf("%v: an odd answer", e)
	case !begins(want, got):
		c.t.Errorf("%v: %+v is not the beginning of %+v", e, got, want)
	}
	c.note(e)
}

// wanted is the answer of a process that holds this conversation and no other.
func (c *caller) wanted(q line, calls int) choice {
	var shown []wire.Message
	for _, l := range append(slices.Clip(c.past), q) {
		shown = append(shown, l.shown)
	}
	want := choice{text: wire.Echo(shown), finish: "stop"}
	for i := range words(q) {
		want.text += fmt.Sprint(" word", i)
	}
	for i := range calls {
		want.finish = "tool_calls"
		want.calls = strings.TrimPrefix(want.calls+" step"+c.input(i), " ")
	}
	return want
}

// words reads out of a question how many it ordered.
func words(q line) (n int) {
	_, order, ok := strings.Cut(q.sent, "[[echo ")
	if ok {
		_, _ = fmt.Sscan(order, &n)
	}
	return n
}

// begins reports whether an answer may be the first part of another.
func begins(want, got choice) bool {
	return strings.HasPrefix(want.text, got.text) && strings.HasPrefix(want.calls, got.calls) &&
		(got.calls == "" || got.text == want.text) && got.thought == "" && got.refusal == ""
}

// honest are the codes with which a request may fail.
var honest = []chat.Code{chat.CodeWorkerFailed, chat.CodeNoWorker, chat.CodeQueueFull}

// mustHaveEndedHonestly looks for failures without a reason, now that all faults are
// known.
func (s *storm) mustHaveEndedHonestly() {
	s.t.Helper()
	for _, e := range s.endings {
		switch e.how {
		case whole, left:
		case hung:
			s.t.Errorf("%v %v", s.since(e.asked), e)
		case refusedWith, told:
			if !slices.Contains(honest, chat.Code(e.why)) {
				s.t.Errorf("%v %v: a strange error", s.since(e.asked), e)
			}
			fallthrough
		default:
			if !e.doomed && !s.explained(e) {
				s.t.Errorf("%v to %v %v: without a reason", s.since(e.asked), s.since(e.over), e)
			}
		}
	}
}
