package main

import (
	"encoding/json"
	"slices"
	"testing"

	"maxrelay/session/anthropictest"
)

// messageReply is the hello as Anthropic's library hands it out.
type messageReply sdkReply

func (r messageReply) mustBeTheHello(t *testing.T, how string) {
	t.Helper()
	if want := (messageReply{helloText, "end_turn", helloUsage}); r != want {
		t.Errorf("%s: %+v, want %+v", how, r, want)
	}
}

func testAnthropicForNode(t *testing.T, b *sdkBench) {
	var got struct {
		Whole struct {
			messageReply
			Model, Session, RequestID string
		}
		Stream, Beta, Seen messageReply
		Helper             struct {
			Text, Done string
			Deltas     int
			Usage      sdkUsage
		}
		Next     struct{ Text, Session string }
		Stopped  struct{ Text, Finish, Sequence string }
		Cut      messageReply
		Thinking string
		Thought  struct {
			Types  []string
			Signed bool
		}
		RunTools, RunToolsStream sdkTrip
		Forced                   struct {
			Finish string
			Calls  []sdkCall
		}
		Parsed, ParsedStream json.RawMessage
		Models               []string
		Model                string
		Failures             map[string]messageFailure
		Aborted              bool
	}
	b.node(t, "anthropic.mjs", &got)

	got.Whole.mustBeTheHello(t, "create")
	if w := got.Whole; w.Model != "claude-sonnet-4" || w.Session != "new" || w.RequestID == "" {
		t.Errorf("create: %+v", w)
	}
	got.Stream.mustBeTheHello(t, "create, streamed")
	got.Beta.mustBeTheHello(t, "a beta's stream")
	if h := got.Helper; h.Text != helloText || h.Done != helloText || h.Deltas == 0 || h.Usage != helloUsage {
		t.Errorf("the stream helper: %+v", h)
	}
	if n := got.Next; n.Text != "Twice." || n.Session != "warm" {
		t.Errorf("the next turn: %+v", n)
	}
	if s := got.Stopped; s.Text != "The " || s.Finish != "stop_sequence" || s.Sequence != "END" {
		t.Errorf("a stop: %+v", s)
	}
	if c := got.Cut; c.Text != `{"name":` || c.Finish != "max_tokens" {
		t.Errorf("a short answer: %+v", c)
	}

	got.Seen.mustBeTheHello(t, "a picture and a document")
	b.mustHaveSeen(t, "hello for anthropic with a picture", "text", "image", "document")
	if got.Thinking != "Two cities, two calls." || !slices.Equal(got.Thought.Types, []string{"thinking", "text"}) || !got.Thought.Signed {
		t.Errorf("thinking: %q, %+v", got.Thinking, got.Thought)
	}

	b.mustHaveTravelled(t, "anthropic toolRunner", got.RunTools)
	b.mustHaveTravelled(t, "anthropic toolRunner streamed", got.RunToolsStream)
	if calls := describe(got.Forced.Calls); got.Forced.Finish != "tool_use" || !slices.Equal(calls, []string{"city" + canonical([]byte(cityJSON))}) {
		t.Errorf("a forced call: %+v", got.Forced)
	}
	for _, r := range b.shown("called for anthropic") {
		if c := r.Body.ToolChoice; c == nil || *c != (anthropictest.ToolChoice{Type: "tool", Name: "city", DisableParallelToolUse: true}) || r.Body.Thinking.On() {
			t.Errorf("the model's choice of a tool was %+v, its thinking %+v", c, r.Body.Thinking)
		}
	}

	mustBeTheCity(t, "parse", got.Parsed)
	mustBeTheCity(t, "parse, streamed", got.ParsedStream)
	b.mustHaveForced(t, "city for anthropic parse")
	b.mustHaveForced(t, "city for anthropic parse streamed")
	if !slices.Contains(got.Models, "claude-opus-4") || got.Model != "claude-sonnet-4" {
		t.Errorf("models %q, retrieved %q", got.Models, got.Model)
	}
	mustFailAsMessages(t, got.Failures)

	if !got.Aborted {
		t.Error("a stream could not be aborted")
	}
	eventually(t, "the model to be left", func() bool {
		left := b.shown("endless for anthropic stream")
		return len(left) == 1 && !left[0].Aborted.IsZero()
	})
}

// mustHaveSeen checks what kinds of blocks the model was shown in the first message.
func (b *sdkBench) mustHaveSeen(t *testing.T, opening string, want ...string) {
	t.Helper()
	all := b.shown(opening)
	if len(all) != 1 {
		t.Fatalf("%s: %d calls of the model", opening, len(all))
	}
	var kinds []string
	for _, block := range anthropictest.Conversation(all[0])[0].Content {
		kinds = append(kinds, block.Type)
	}
	if !slices.Equal(kinds, want) {
		t.Errorf("%s: the model saw %q, want %q", opening, kinds, want)
	}
}

// messageFailure is what Anthropic's library makes of a failure.
type messageFailure struct {
	Name, Type string
	Status     int
	API        bool // it is an APIError
	Named      bool // it has the request's id
}

func mustFailAsMessages(t *testing.T, got map[string]messageFailure) {
	t.Helper()
	invalid := messageFailure{"BadRequestError", "invalid_request_error", 400, true, true}
	limited := messageFailure{"RateLimitError", "rate_limit_error", 429, true, true}
	missing := messageFailure{"NotFoundError", "not_found_error", 404, true, true}
	broken := messageFailure{"APIError", "api_error", 0, true, true}
	want := map[string]messageFailure{
		"an unknown model": missing, "a wrong message": invalid, "a prefilled answer": invalid, "a server's tool": invalid, "a count of tokens": missing,
		"a wrong key":  {"AuthenticationError", "authentication_error", 401, true, true},
		"a rate limit": limited, "a rate limit, streamed": limited,
		"an overload":         {"OverloadedError", "overloaded_error", 529, true, true},
		"a break in a stream": broken, "a break in a stream, by the helper": broken,
	}
	if len(got) != len(want) {
		t.Errorf("%d failures, want %d", len(got), len(want))
	}
	for how, failure := range want {
		if got[how] != failure {
			t.Errorf("%s: %+v, want %+v", how, got[how], failure)
		}
	}
}
