package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"

	"maxrelay/session/anthropictest"
	"maxrelay/session/anthropictest/wire"
)

const (
	helloText = "Hello from the model."
	tripText  = "Paris is mild and Rome is sunny."
	cityJSON  = `{"name":"Paris","sights":[{"title":"Eiffel Tower","year":1889}],"river":null}`
)

// What the model counts for a hello, and how a client is told of it.
var (
	modelUsage = anthropictest.Usage{InputTokens: 11, CacheReadInputTokens: 7, CacheCreationInputTokens: 5, OutputTokens: 3}
	helloUsage = sdkUsage{Input: 23, Cached: 7, Output: 3}
)

// The calls of a trip, and its conversation behind the question as the model sees it.
var (
	tripCalls = []string{
		`get_weather{"city":"Paris"}`, `get_time{"format":null,"zone":"Europe/Paris"}`, `get_weather{"city":"Rome"}`,
	}
	tripSketch = []string{
		`assistant: thinking | Let me look. | get_weather{"city":"Paris"} | get_time{"format":null,"zone":"Europe/Paris"}`,
		`user: get_weather = mild | get_time = 12:00`,
		`assistant: get_weather{"city":"Rome"}`,
		`user: get_weather = sunny`,
	}
)

// scenes are what the model can play: the replies of a conversation, in their order.
var scenes = map[string][]anthropictest.Reply{
	"hello": {anthropictest.Say("Hello ", "from ", "the model.").WithUsage(modelUsage)},
	"twice": {anthropictest.Say("Once."), anthropictest.Say("Twice.")},
	"trip": {
		anthropictest.Think("Two cities, ", "two calls.").
			Then(anthropictest.Say("Let ", "me look.")).
			Then(anthropictest.ToolUse("get_weather", `{"city": "Paris"}`)).
			Then(anthropictest.ToolUse("get_time", `{"zone": "Europe/Paris", "format": null}`)),
		anthropictest.ToolUse("get_weather", `{"city": "Rome"}`),
		anthropictest.Say("Paris is mild ", "and Rome is sunny."),
	},
	"city":       {anthropictest.Say(cityJSON[:20], cityJSON[20:])},
	"fenced":     {anthropictest.Say("Here you are:\n```js", "on\n"+cityJSON[:30], cityJSON[30:]+"\n`", "``")},
	"called":     {anthropictest.ToolUse("city", cityJSON)},
	"move":       {anthropictest.ToolUse("move", `{"value": {"by": "train", "seat": 9}}`)},
	"limited":    {anthropictest.Status(http.StatusTooManyRequests, "", "slow down").RetryAfter(1)},
	"overloaded": {anthropictest.Status(529, "", "busy")},
	"broken":     {anthropictest.Say("one ", "two ").ErrorAfter(1, "api_error", "oops")},
	"cut":        {anthropictest.Say(`{"name":`).WithStop("max_tokens")},
	"stopped":    {stoppedAt("The ", "END")},
	"endless":    {anthropictest.Say("one ", "two ").Broken(anthropictest.FaultStall, 1)},
}

// stoppedAt is an answer that ends before a stop sequence.
func stoppedAt(said, sequence string) anthropictest.Reply {
	r := anthropictest.Say(said).WithStop("stop_sequence")
	r.StopSequence = sequence
	return r
}

// coins counts the tosses, since the answers to one question are to differ.
var coins atomic.Int64

// playScene answers by the first word of the conversation, and by how far it has got.
func playScene(r anthropictest.Request) *anthropictest.Reply {
	c := anthropictest.Conversation(r)
	scene, _, _ := strings.Cut(c[0].Text(), " ")
	if scene == "coin" {
		side := anthropictest.Say([]string{"Heads.", "Tails."}[coins.Add(1)%2]).WithUsage(modelUsage)
		return &side
	}
	replies := scenes[scene]
	if step := len(c) / 2; step < len(replies) {
		return &replies[step]
	}
	lost := anthropictest.Status(http.StatusBadRequest, "", "no such scene")
	return &lost
}

// sketch writes a conversation as one line a message, with the results named by their
// calls.
func sketch(r anthropictest.Request) (lines []string) {
	called := make(map[string]string)
	for _, m := range anthropictest.Conversation(r) {
		var parts []string
		for _, b := range m.Content {
			switch b.Type {
			case "text":
				parts = append(parts, b.Text)
			case "tool_use":
				called[b.ID] = b.Name
				parts = append(parts, b.Name+canonical(b.Input))
			case "tool_result":
				parts = append(parts, called[b.ToolUseID]+" = "+b.Content.Text())
			default:
				parts = append(parts, b.Type)
			}
		}
		lines = append(lines, m.Role+": "+strings.Join(parts, " | "))
	}
	return lines
}

// canonical writes JSON with sorted keys.
func canonical(raw []byte) string {
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return "not JSON: " + string(raw)
	}
	return string(wire.Canonical(v))
}

// sdkTool is a tool but for its name, its schema in canonical form.
type sdkTool struct{ description, schema string }

// tools returns what a client offered.
func (r *recorded) tools() map[string]sdkTool {
	type function struct {
		Name, Description string
		Parameters        json.RawMessage
		InputSchema       json.RawMessage `json:"input_schema"` // in Anthropic's form
	}
	var body struct {
		Tools []struct {
			function
			Function function
		}
	}
	if json.Unmarshal(r.asked, &body) != nil {
		return nil
	}
	all := make(map[string]sdkTool)
	for _, t := range body.Tools {
		if t.InputSchema != nil {
			all[t.Name] = sdkTool{t.Description, canonical(t.InputSchema)}
		} else {
			all[t.Function.Name] = sdkTool{t.Function.Description, canonical(t.Function.Parameters)}
		}
	}
	return all
}

// opens reports whether this is the first user text of what a client asked.
func (r *recorded) opens(text string) bool {
	var body struct {
		Messages []struct {
			Role    string
			Content wire.Content
		}
	}
	if json.Unmarshal(r.asked, &body) != nil {
		return false
	}
	for _, m := range body.Messages {
		if m.Role == "user" {
			return m.Content.Text() == text
		}
	}
	return false
}
