package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"maxrelay/session/anthropictest"
)

func testOpenAIForNode(t *testing.T, b *sdkBench) {
	var got struct {
		Whole struct {
			sdkReply
			Model, Session, RequestID string
		}
		Stream sdkReply
		Helper struct {
			Text, Done string
			Deltas     int
			Usage      sdkUsage
		}
		RunTools, RunToolsStream sdkTrip
		Called                   struct {
			Text, Finish string
			Deltas       int
			Done         []sdkCall
		}
		Parsed, ParsedStream json.RawMessage
		Two, TwoStream       sdkSeveral
		Models               []string
		Model                string
		Failures             map[string]sdkFailure
		Aborted              bool
	}
	b.node(t, "openai.mjs", &got)

	got.Whole.mustBeTheHello(t, "create")
	if w := got.Whole; w.Model != "claude-sonnet-4" || w.Session != "new" || w.RequestID == "" {
		t.Errorf("create: %+v", w)
	}
	got.Stream.mustBeTheHello(t, "create, streamed")
	if h := got.Helper; h.Text != helloText || h.Done != helloText || h.Deltas == 0 || h.Usage != helloUsage {
		t.Errorf("the stream helper: %+v", h)
	}

	b.mustHaveTravelled(t, "openai runTools", got.RunTools)
	b.mustHaveTravelled(t, "openai runTools streamed", got.RunToolsStream)
	if c := got.Called; c.Text != "Let me look." || c.Finish != "tool_calls" || c.Deltas < 2 || !slices.Equal(describe(c.Done), tripCalls[:2]) {
		t.Errorf("the stream helper on calls: %+v", c)
	}

	mustBeTheCity(t, "parse", got.Parsed)
	mustBeTheCity(t, "parse, streamed", got.ParsedStream)
	b.mustHaveForced(t, "city for openai parse")
	b.mustHaveForced(t, "city for openai parse streamed")
	got.Two.mustBeTwoCoins(t, "n = 2")
	got.TwoStream.mustBeTwoCoins(t, "n = 2, streamed")

	if !slices.Contains(got.Models, "claude-opus-4") || !slices.Contains(got.Models, "sonnet") || got.Model != "claude-sonnet-4" {
		t.Errorf("models %q, retrieved %q", got.Models, got.Model)
	}
	mustFailAs(t, got.Failures)

	if !got.Aborted {
		t.Error("a stream could not be aborted")
	}
	eventually(t, "the model to be left", func() bool {
		left := b.shown("endless for openai stream")
		return len(left) == 1 && !left[0].Aborted.IsZero()
	})
}

// sdkSeveral is the answers to one request.
type sdkSeveral struct {
	Texts   []string
	Indices []int
	Usage   sdkUsage
}

func (s sdkSeveral) mustBeTwoCoins(t *testing.T, how string) {
	t.Helper()
	slices.Sort(s.Texts)
	want := sdkUsage{Input: helloUsage.Input, Cached: helloUsage.Cached, Output: 2 * helloUsage.Output}
	if !slices.Equal(s.Texts, []string{"Heads.", "Tails."}) || !slices.Equal(s.Indices, []int{0, 1}) || s.Usage != want {
		t.Errorf("%s: %+v", how, s)
	}
}

// sdkFailure is what OpenAI's library makes of a failure. What is null, or missing, is "".
type sdkFailure struct {
	Name, Code, Param, Type string
	Status                  int
	API                     bool // it is an APIError
}

func mustFailAs(t *testing.T, got map[string]sdkFailure) {
	t.Helper()
	const invalid = "invalid_request_error"
	for how, want := range map[string]sdkFailure{
		"an unknown model":       {Name: "NotFoundError", Status: 404, Code: "model_not_found", Param: "model", Type: invalid, API: true},
		"a wrong message":        {Name: "BadRequestError", Status: 400, Param: "messages[0].content", Type: invalid, API: true},
		"a wrong key":            {Name: "AuthenticationError", Status: 401, Code: "invalid_api_key", Type: invalid, API: true},
		"a rate limit":           {Name: "RateLimitError", Status: 429, Code: "rate_limit_exceeded", Type: "rate_limit_error", API: true},
		"a rate limit, streamed": {Name: "RateLimitError", Status: 429, Code: "rate_limit_exceeded", Type: "rate_limit_error", API: true},
		"an overload":            {Name: "InternalServerError", Status: 503, Code: "overloaded", Type: "service_unavailable", API: true},
		"a break in a stream":    {Name: "APIError", Code: "worker_failed", Type: "api_error", API: true},
		"output of another form": {Name: "InternalServerError", Status: 502, Code: "invalid_output", Type: "api_error", API: true},
		"output that is cut":     {Name: "LengthFinishReasonError"},
	} {
		if got[how] != want {
			t.Errorf("%s: %+v, want %+v", how, got[how], want)
		}
	}
}

func testAISDK(t *testing.T, b *sdkBench) {
	var got struct {
		Whole, Stream                             sdkReply
		GenerateText, StreamText                  sdkTrip
		Types                                     []string
		Reasoning                                 string
		Moved                                     []sdkCall
		Limited                                   int
		Broken                                    string
		Object, ObjectMode, Partial, StreamObject json.RawMessage
	}
	b.node(t, "ai.mjs", &got)

	got.Whole.mustBeTheHello(t, "generateText")
	got.Stream.mustBeTheHello(t, "streamText")
	b.mustHaveTravelled(t, "ai generateText", got.GenerateText)
	b.mustHaveTravelled(t, "ai streamText", got.StreamText)
	for _, want := range []string{"text-delta", "tool-input-delta", "tool-call", "tool-result", "finish"} {
		if !slices.Contains(got.Types, want) {
			t.Errorf("fullStream had no %s, only %q", want, got.Types)
		}
	}

	if got.Reasoning != "Two cities, two calls." {
		t.Errorf("generateText: the reasoning was %q", got.Reasoning)
	}
	if calls := describe(got.Moved); !slices.Equal(calls, []string{`move{"by":"train","seat":9}`}) {
		t.Errorf("a union as arguments: %q", calls)
	}

	mustBeTheCity(t, "generateObject", got.Object)
	mustBeTheCity(t, "generateObject without schemas", got.ObjectMode)
	mustBeTheCity(t, "streamObject, the last part", got.Partial)
	mustBeTheCity(t, "streamObject", got.StreamObject)
	b.mustHaveForced(t, "city for ai generateObject")
	b.mustHaveForced(t, "city for ai streamObject")
	if got.Limited != http.StatusTooManyRequests || !strings.Contains(got.Broken, "upstream") {
		t.Errorf("a rate limit is %d, a break in a stream %q", got.Limited, got.Broken)
	}
}

func testLangChain(t *testing.T, b *sdkBench) {
	var got struct {
		Whole, Stream sdkReply
		Bound         struct {
			Text  string
			Calls []sdkCall
		}
		Agent, AgentStream                    sdkTrip
		Pieces                                int
		Limited, Broken                       sdkFailure
		JSONSchema, FunctionCalling, JSONMode json.RawMessage
	}
	b.node(t, "langchain.mjs", &got)

	got.Whole.mustBeTheHello(t, "invoke")
	got.Stream.mustBeTheHello(t, "stream")
	if got.Bound.Text != "Let me look." || !slices.Equal(describe(got.Bound.Calls), tripCalls[:2]) {
		t.Errorf("bindTools: %+v", got.Bound)
	}
	b.mustHaveTravelled(t, "langchain agent", got.Agent)
	b.mustHaveTravelled(t, "langchain agent streamed", got.AgentStream)
	if got.Pieces < 4 {
		t.Errorf("the agent's answers came in %d pieces", got.Pieces)
	}

	mustBeTheCity(t, "the method jsonSchema", got.JSONSchema)
	mustBeTheCity(t, "the method functionCalling", got.FunctionCalling)
	mustBeTheCity(t, "the method jsonMode", got.JSONMode)
	b.mustHaveForced(t, "city for langchain jsonSchema")
	for _, r := range b.shown("called for langchain functionCalling") {
		if c := r.Body.ToolChoice; c == nil || *c != (anthropictest.ToolChoice{Type: "tool", Name: "city"}) {
			t.Errorf("the model's choice of a tool was %+v", c)
		}
	}
	if got.Limited.Status != http.StatusTooManyRequests || got.Broken.Name == "" {
		t.Errorf("a rate limit is %+v, a break in a stream %+v", got.Limited, got.Broken)
	}
}
