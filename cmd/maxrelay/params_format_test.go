package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"maxrelay/session/anthropictest"
)

const (
	person       = `{"type":"object","properties":{"name":{"type":"string","minLength":2},"age":{"type":["integer","null"]}},"required":["name","age"],"additionalProperties":false}`
	personShown  = `{"additionalProperties":false,"properties":{"age":{"type":["integer","null"]},"name":{"description":"{minLength: 2}","type":"string"}},"required":["name","age"],"type":"object"}`
	ann          = `{"name": "Ann", "age": null}`
	tooShort     = `{"name": "A", "age": null}`
	objectFormat = `"response_format":{"type":"json_object"}`
)

func schemaFormat(schema, more string) string {
	return `"response_format":{"type":"json_schema","json_schema":{"name":"person","schema":` + schema + more + `}}`
}

// pieces says a text in three deltas.
func pieces(text string) anthropictest.Reply {
	third := len(text) / 3
	return anthropictest.Say(text[:third], text[third:2*third], text[2*third:])
}

func testSchemaFormat(t *testing.T, b *paramBench) {
	b.each(t, "upstream", call{params: schemaFormat(person, `,"strict":true`), replies: []anthropictest.Reply{pieces(ann)}}, func(t *testing.T, h heard) {
		h.must(t, choice{text: ann, finish: "stop"})
		b.mustShow(t, h, `{"output_config":{"effort":"medium","format":{"schema":`+personShown+`,"type":"json_schema"}}}`)
		if chunks := strings.Count(string(h.body), `"content":"`); strings.HasSuffix(t.Name(), "streamed") && chunks < 3 {
			t.Errorf("%d chunks: the answer was held back", chunks)
		}
	})
	wrong := func(replies ...anthropictest.Reply) call {
		return call{params: schemaFormat(person, `,"strict":true`), replies: replies}
	}
	t.Run("strict, right the second time", func(t *testing.T) {
		h := b.ask(t, wrong(pieces(tooShort), pieces(ann)))
		if h.must(t, choice{text: ann, finish: "stop"}); len(h.shown) != 2 {
			t.Errorf("%d calls of the model", len(h.shown))
		}
	})
	t.Run("strict, wrong twice", func(t *testing.T) {
		h := b.ask(t, wrong(pieces(tooShort), pieces(`{"name":"Ann"}`), pieces(ann)))
		if h.mustRefuse(t, http.StatusBadGateway, "api_error", "invalid_output", "", "schema"); len(h.shown) != 2 {
			t.Errorf("%d calls of the model", len(h.shown))
		}
	})
	t.Run("strict, wrong in a stream", func(t *testing.T) {
		c := wrong(pieces(tooShort), pieces(ann))
		c.stream = true
		h := b.ask(t, c)
		h.mustBreak(t, tooShort, "invalid_output")
		if len(h.shown) != 1 {
			t.Errorf("%d calls of the model", len(h.shown))
		}
	})
	b.each(t, "strict and refused", wrong(pieces(tooShort).WithStop("refusal")), func(t *testing.T, h heard) {
		h.mustBeRefused(t)
	})
	for _, tc := range []struct {
		name, params string
		reply        anthropictest.Reply
		want         choice
	}{
		{"not strict, and wrong", schemaFormat(person, ``), pieces(tooShort), choice{text: tooShort, finish: "stop"}},
		{"strict and cut", schemaFormat(person, `,"strict":true`) + `,"max_tokens":2`, pieces(ann), choice{text: ann[:2*(len(ann)/3)], finish: "length"}},
		{"strict and called", schemaFormat(person, `,"strict":true`) + `,` + two, anthropictest.ToolUse("time", `{}`), choice{calls: "time{}", finish: "tool_calls"}},
		{"text", `"response_format":{"type":"text"}`, pieces(tooShort), choice{text: tooShort, finish: "stop"}},
	} {
		b.each(t, tc.name, call{params: tc.params, replies: []anthropictest.Reply{tc.reply}}, func(t *testing.T, h heard) {
			if h.must(t, tc.want); len(h.shown) != 1 && tc.want.finish == "stop" {
				t.Errorf("%d calls of the model", len(h.shown))
			}
		})
	}
}

// mustBreak checks a stream that showed something and then ended with an error event.
func (h heard) mustBreak(t *testing.T, text, code string) {
	t.Helper()
	if h.status != http.StatusOK || len(h.choices) != 1 || h.choices[0].text != text || h.choices[0].finish != "" || h.err.Code != code ||
		strings.Contains(string(h.body), "[DONE]") {
		t.Errorf("status %d, answers %+v, error %+v; want %q and then %s", h.status, h.choices, h.err, text, code)
	}
}

func testObjectFormat(t *testing.T, b *paramBench) {
	const object = `{"a": {"b": [1, "}"]}}`
	for _, tc := range []struct{ name, said, text string }{
		{"alone", object, object},
		{"fenced", "```json\n" + object + "\n```", object},
		{"in words", "Here is {your} object:\n\n" + object + "\n\nAnything else? {}", object},
		{"empty", "{ }", "{ }"},
	} {
		b.each(t, tc.name, call{params: objectFormat, replies: []anthropictest.Reply{pieces(tc.said)}}, func(t *testing.T, h heard) {
			h.must(t, choice{text: tc.text, finish: "stop"})
			if system := anthropictest.System(h.shown[0]); len(system) != 1 || !strings.Contains(system[0], "JSON object") {
				t.Errorf("system prompt %q", system)
			}
			b.mustShow(t, h, `{}`)
		})
	}
	for _, said := range []string{"no object here", `["a"]`, `{"a": `, `{"a": nope}`} {
		t.Run("wrong twice: "+said, func(t *testing.T) {
			h := b.ask(t, call{params: objectFormat, replies: []anthropictest.Reply{pieces(said)}})
			if h.mustRefuse(t, http.StatusBadGateway, "api_error", "invalid_output", "", "JSON"); len(h.shown) != 2 {
				t.Errorf("%d calls of the model", len(h.shown))
			}
		})
		t.Run("wrong in a stream: "+said, func(t *testing.T) {
			h := b.ask(t, call{params: objectFormat, stream: true, replies: []anthropictest.Reply{pieces(said)}})
			if h.err.Code != "invalid_output" || len(h.shown) != 1 {
				t.Errorf("%+v after %d calls of the model", h.err, len(h.shown))
			}
		})
	}
	t.Run("right the second time", func(t *testing.T) {
		h := b.ask(t, call{params: objectFormat, replies: []anthropictest.Reply{pieces("sorry, no"), pieces(object)}})
		if h.must(t, choice{text: object, finish: "stop"}); len(h.shown) != 2 {
			t.Errorf("%d calls of the model", len(h.shown))
		}
	})
}

func testSeveralAnswers(t *testing.T, b *paramBench) {
	priced := hello.priced(anthropictest.Usage{InputTokens: 10, OutputTokens: 4})
	for _, n := range []int{1, 8} {
		b.each(t, fmt.Sprint(n), call{params: fmt.Sprintf(`"n":%d,"stream_options":{"include_usage":true}`, n), replies: []anthropictest.Reply{priced}}, func(t *testing.T, h heard) {
			h.mustAll(t, slices.Repeat([]choice{hello}, n)...)
			if len(h.shown) != n {
				t.Errorf("%d calls of the model", len(h.shown))
			}
			if h.usage.Prompt != 10 || h.usage.Completion != 4*n || h.usage.Total != 10+4*n {
				t.Errorf("%+v", h.usage)
			}
		})
	}
	b.each(t, "with calls", call{params: `"n":2,` + two, replies: []anthropictest.Reply{anthropictest.ToolUse("time", `{}`)}}, func(t *testing.T, h heard) {
		called := choice{calls: "time{}", finish: "tool_calls"}
		h.mustAll(t, called, called)
	})
	t.Run("one fails", func(t *testing.T) {
		h := b.ask(t, call{params: `"n":2`, replies: []anthropictest.Reply{priced, refused(400, "not this one")}})
		h.mustRefuse(t, http.StatusBadRequest, badRequest, "", "", "not this one")
	})
}

func (c choice) priced(u anthropictest.Usage) anthropictest.Reply {
	return pieces(c.text).WithUsage(u)
}
