package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"maxrelay/session/anthropictest"
)

// hello is what the model says when it is told nothing else.
var hello = choice{text: "Hello from the fake Messages API.", finish: "stop"}

func testModels(t *testing.T, b *paramBench) {
	for i, tc := range []struct{ id, upstream string }{ // in the order of the processes that serve them
		{"claude-sonnet-4", "claude-sonnet-"},
		{"claude-sonnet-4-6", "claude-sonnet-"},
		{"sonnet", "claude-sonnet-"},
		{"gpt-4o", "claude-sonnet-"}, // by the configuration
		{"claude-opus-4", "claude-opus-"},
		{"claude-opus-4-6", "claude-opus-"},
		{"claude-haiku-4", "claude-haiku-"},
		{"claude-haiku-4-5", "claude-haiku-4-5"},
	} {
		t.Run(tc.id, func(t *testing.T) {
			h := b.ask(t, call{params: fmt.Sprintf(`"model":%q`, tc.id), stream: i%2 == 0})
			h.must(t, hello)
			if h.model != tc.id {
				t.Errorf("the answer is by %q", h.model)
			}
			if len(h.shown) != 1 || !strings.HasPrefix(h.shown[0].Body.Model, tc.upstream) {
				t.Errorf("%d calls, not one of %s…", len(h.shown), tc.upstream)
			}
		})
	}
	for _, id := range []string{"gpt-4", "claude-Sonnet-4", "claude-sonnet-4/../x", "claude-" + strings.Repeat("9", 128), "--model"} {
		b.each(t, id[:min(len(id), 20)], call{params: fmt.Sprintf(`"model":%q`, id)}, func(t *testing.T, h heard) {
			h.mustRefuse(t, http.StatusNotFound, badRequest, "model_not_found", "model", "GET /v1/models")
		})
	}
}

// Thinking is off wherever the Messages API would refuse it beside what was asked for.
func testSampling(t *testing.T, b *paramBench) {
	for i, tc := range []struct{ params, shown, ignored string }{
		{``, `{}`, ""},
		{`"temperature":0.5`, `{"temperature":0.5,"thinking":null}`, ""},
		{`"temperature":0`, `{"temperature":0,"thinking":null}`, ""},
		{`"temperature":1`, `{"temperature":1}`, ""},
		{`"temperature":1.5`, `{"temperature":1}`, "temperature"},
		{`"temperature":2.0`, `{"temperature":1}`, "temperature"},
		{`"top_p":0.3`, `{"thinking":null,"top_p":0.3}`, ""},
		{`"top_p":0.95`, `{"top_p":0.95}`, ""},
		{`"top_p":1.7`, `{"top_p":1}`, "top_p"},
		{`"top_p":0.9,"temperature":0.2`, `{"temperature":0.2,"thinking":null}`, "top_p"},
		{`"top_p":1.5,"temperature":1.5`, `{"temperature":1}`, "temperature, top_p"},
		{`"max_tokens":77`, `{"max_tokens":77}`, ""},
		{`"max_tokens":64.0`, `{"max_tokens":64}`, ""},
		{`"max_completion_tokens":1e2`, `{"max_tokens":100}`, ""},
		{`"max_tokens":90,"max_completion_tokens":80`, `{"max_tokens":80}`, ""},
		{`"max_tokens":80,"max_completion_tokens":90`, `{"max_tokens":80}`, ""},
		{`"stop":"END"`, `{"stop_sequences":["END"]}`, ""},
		{`"stop":["a1","b1"," c1","\n\nd1"]`, `{"stop_sequences":["a1","b1"," c1","\n\nd1"]}`, ""},
		{`"stop":["zz","\n\n\n"," \t"]`, `{"stop_sequences":["zz"]}`, ""},
		{`"stop":["\n\n\n"]`, `{}`, ""},
		{`"stop":[]`, `{}`, ""},
		{`"reasoning_effort":"none"`, `{"thinking":null}`, ""},
		{`"reasoning_effort":"minimal"`, `{"output_config":{"effort":"low"}}`, ""},
		{`"reasoning_effort":"low"`, `{"output_config":{"effort":"low"}}`, ""},
		{`"reasoning_effort":"medium"`, `{}`, ""},
		{`"reasoning_effort":"high"`, `{"output_config":{"effort":"high"}}`, ""},
		{`"reasoning_effort":"xhigh"`, `{"output_config":{"effort":"xhigh"}}`, ""},
		{`"reasoning_effort":"max"`, `{"output_config":{"effort":"max"}}`, ""},
		{`"reasoning_effort":"high","temperature":0.2`, `{"output_config":{"effort":"high"},"temperature":0.2,"thinking":null}`, ""},
		{`"reasoning_effort":"low","max_tokens":9,"stop":"x","top_p":0.99`, `{"max_tokens":9,"output_config":{"effort":"low"},"stop_sequences":["x"],"top_p":0.99}`, ""},
	} {
		t.Run(tc.params, func(t *testing.T) {
			h := b.ask(t, call{params: tc.params, stream: i%2 == 0})
			h.must(t, hello)
			b.mustShow(t, h, tc.shown)
			if h.ignored() != tc.ignored {
				t.Errorf("not applied: %q, want %q", h.ignored(), tc.ignored)
			}
		})
	}
}

// The CLI goes on by itself after an answer that was cut. The client sees the one
// message, and pays for what the model said to it.
func testLength(t *testing.T, b *paramBench) {
	priced := anthropictest.Text(5, 0).WithUsage(anthropictest.Usage{InputTokens: 10, OutputTokens: 3})
	onAndOn := []anthropictest.Reply{priced, anthropictest.Say("more").WithUsage(anthropictest.Usage{InputTokens: 10, OutputTokens: 1})}
	for _, name := range []string{"max_tokens", "max_completion_tokens"} {
		b.each(t, name, call{params: fmt.Sprintf(`%q:3,"stream_options":{"include_usage":true}`, name), replies: onAndOn}, func(t *testing.T, h heard) {
			h.must(t, choice{text: "tok0 tok1 tok2 ", finish: "length"})
			if h.usage.Prompt < 10 || h.usage.Completion < 3 || h.usage.Prompt > 10*len(h.shown) {
				t.Errorf("%+v after %d calls of the model", h.usage, len(h.shown))
			}
		})
	}
	b.each(t, "not reached", call{params: `"max_tokens":5`, replies: onAndOn[:1]}, func(t *testing.T, h heard) {
		h.must(t, choice{text: "tok0 tok1 tok2 tok3 tok4 ", finish: "stop"})
	})
}

func testStops(t *testing.T, b *paramBench) {
	said := []anthropictest.Reply{anthropictest.Say("one\n", "\ntwo E", "ND three\n", "\n", "\nfour")}
	for params, text := range map[string]string{
		`"stop":"END"`:               "one\n\ntwo ",
		`"stop":["never","three"]`:   "one\n\ntwo END ",
		`"stop":["three","END","o"]`: "",
		`"stop":"\n\n"`:              "one",
		`"stop":["\n\n\n","END"]`:    "one\n\ntwo ",
		`"stop":["\n\n\n"]`:          "one\n\ntwo END three",
		`"stop":["\n \n"]`:           "one\n\ntwo END three\n\n\nfour",
	} {
		b.each(t, params, call{params: params, replies: said}, func(t *testing.T, h heard) {
			h.must(t, choice{text: text, finish: "stop"})
		})
	}
}

// The end user is part of whose a process is.
func testUsers(t *testing.T, b *paramBench) {
	h := b.ask(t, call{params: `"user":"ann"`})
	if h.must(t, hello); h.header.Get("X-Maxrelay-Session") != "new" {
		t.Errorf("session %q", h.header.Get("X-Maxrelay-Session"))
	}
	history := fmt.Sprintf(`"messages":[{"role":"user","content":%q},{"role":"assistant","content":%q},{"role":"user","content":"more"}],`, t.Name(), hello.text)
	for _, tc := range []struct{ params, session string }{
		{`"user":"bob"`, "replayed"},
		{`"user":"ann","safety_identifier":"bob"`, "warm"},
		{`"safety_identifier":"bob"`, "rewound"},
		{`"user":"","safety_identifier":"bob"`, "rewound"},
		{`"user":null,"safety_identifier":"bob"`, "rewound"},
	} {
		h := b.ask(t, call{params: history + tc.params})
		if h.must(t, hello); h.header.Get("X-Maxrelay-Session") != tc.session {
			t.Errorf("%s: session %q, want %s", tc.params, h.header.Get("X-Maxrelay-Session"), tc.session)
		}
		for _, r := range h.shown {
			if strings.Contains(string(r.Raw), `"ann"`) || strings.Contains(string(r.Raw), `"bob"`) {
				t.Errorf("%s: the user's name went upstream", tc.params)
			}
		}
	}
}

// What the models have no knob for is accepted and told, or refused on demand; what
// asks for nothing of the model is neither.
func testNotApplied(t *testing.T, b *paramBench) {
	strict := http.Header{"X-Maxrelay-Strict": {"true"}}
	for i, tc := range []struct{ name, params, ignored string }{
		{"seed", `"seed":-7`, "seed"},
		{"presence_penalty", `"presence_penalty":-2`, "presence_penalty"},
		{"frequency_penalty", `"frequency_penalty":1.5`, "frequency_penalty"},
		{"logit_bias", `"logit_bias":{"50256":-100}`, "logit_bias"},
		{"verbosity", `"verbosity":"low"`, "verbosity"},
		{"prediction", `"prediction":{"type":"content","content":"x"}`, "prediction"},
		{"web_search_options", `"web_search_options":{}`, "web_search_options"},
		{"all of a kind, sorted", `"seed":1,"logit_bias":{},"temperature":1.1,"frequency_penalty":0`, "frequency_penalty, logit_bias, seed, temperature"},
		{"logprobs that are not wanted", `"logprobs":false,"top_logprobs":null`, ""},
		{"what a server may keep", `"metadata":{"a":"b"},"store":true,"service_tier":"auto","prompt_cache_key":"k","prompt_cache_retention":"24h"`, ""},
		{"what nobody knows", `"no_such_thing":[{"deep":{}}],"top_k":3,"thinking":{"type":"disabled"},"anthropic_beta":"x"`, ""},
		{"text alone", `"modalities":["text"]`, ""},
		{"null is absent", nulls, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := b.ask(t, call{params: tc.params, stream: i%2 == 0})
			h.must(t, hello)
			want := `{}`
			if strings.Contains(tc.params, "temperature\":1.1") {
				want = `{"temperature":1}`
			}
			b.mustShow(t, h, want)
			if h.ignored() != tc.ignored {
				t.Errorf("not applied: %q, want %q", h.ignored(), tc.ignored)
			}
			h = b.ask(t, call{params: tc.params, header: strict, stream: i%2 == 1})
			if first, _, _ := strings.Cut(tc.ignored, ", "); first != "" {
				h.mustRefuse(t, http.StatusBadRequest, badRequest, "", first, "x-maxrelay-strict")
			} else {
				h.must(t, hello)
			}
		})
	}
}

const nulls = `"stream":null,"stream_options":null,"max_tokens":null,"max_completion_tokens":null,"stop":null,"temperature":null,"top_p":null,
	"tools":null,"tool_choice":null,"parallel_tool_calls":null,"response_format":null,"n":null,"reasoning_effort":null,"user":null,
	"safety_identifier":null,"logprobs":null,"top_logprobs":null,"seed":null,"logit_bias":null,"presence_penalty":null,"frequency_penalty":null,
	"functions":null,"function_call":null,"audio":null,"modalities":null,"metadata":null,"store":null`

func testReasoning(t *testing.T, b *paramBench) {
	thought := []anthropictest.Reply{anthropictest.Think("First ", "this.").Then(anthropictest.Say("Then ", "that."))}
	b.each(t, "shown", call{replies: thought}, func(t *testing.T, h heard) {
		h.must(t, choice{thought: "First this.", text: "Then that.", finish: "stop"})
	})
	t.Run("sent back", func(t *testing.T) {
		h := b.ask(t, call{params: fmt.Sprintf(`"messages":[{"role":"user","content":%q},{"role":"assistant","content":"Then that.","reasoning_content":"First this."},
			{"role":"user","content":"more"}]`, t.Name())})
		h.must(t, hello)
		if strings.Contains(string(h.shown[0].Raw), "First this.") {
			t.Error("the model was shown its thoughts as its words")
		}
	})
}
