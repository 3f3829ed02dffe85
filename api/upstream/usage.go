package upstream

import (
	"cmp"
	"encoding/json"
	"mime"

	"maxrelay/session/chat"
)

// counts is a usage object in Anthropic's or OpenAI's form. Members that an event
// leaves out, or sends as null, keep what an earlier one said: all are running totals.
type counts struct {
	InputTokens  int `json:"input_tokens"`
	OutputTokens int `json:"output_tokens"`
	CacheRead    int `json:"cache_read_input_tokens"`
	CacheWrite   int `json:"cache_creation_input_tokens"`

	PromptTokens      int         `json:"prompt_tokens"`
	CompletionTokens  int         `json:"completion_tokens"`
	PromptDetails     inputParts  `json:"prompt_tokens_details"`
	InputDetails      inputParts  `json:"input_tokens_details"`
	CompletionDetails outputParts `json:"completion_tokens_details"`
	OutputDetails     outputParts `json:"output_tokens_details"`
}

type inputParts struct {
	Cached int `json:"cached_tokens"`
}

type outputParts struct {
	Reasoning int `json:"reasoning_tokens"`
}

// usage makes the counts disjoint: OpenAI counts what was cached into the prompt,
// Anthropic beside it. Gateways that send both forms are taken at Anthropic's.
func (c counts) usage() chat.Usage {
	input, output, cached, reasoning := sane(c.InputTokens), sane(c.OutputTokens), sane(c.InputDetails.Cached), sane(c.OutputDetails.Reasoning)
	if input+output == 0 {
		input, output, cached, reasoning = sane(c.PromptTokens), sane(c.CompletionTokens), sane(c.PromptDetails.Cached), sane(c.CompletionDetails.Reasoning)
	}
	u := chat.Usage{
		InputTokens: input, OutputTokens: output, ThinkingTokens: min(reasoning, output),
		CacheReadTokens: sane(c.CacheRead), CacheWriteTokens: sane(c.CacheWrite),
	}
	if u.CacheReadTokens == 0 {
		u.CacheReadTokens = min(cached, input)
		u.InputTokens -= u.CacheReadTokens
	}
	return u
}

// sane keeps sums from overflowing, whatever an upstream sends.
func sane(n int) int { return min(max(n, 0), 1<<40) }

// meter reads what an answer used as it passes by.
type meter struct {
	json   *scanner // nil: the answer is of another kind
	events *events  // nil: the answer is one JSON value

	counts counts
	final  bool      // the counts are of the whole answer
	model  string    // that answered
	failed chat.Code // what an event of a stream told, after its status said that all is well
	said   texts
}

func newMeter(contentType string) *meter {
	m := new(meter)
	switch media, _, _ := mime.ParseMediaType(contentType); media {
	case "text/event-stream":
		m.json = m.newScanner()
		m.events = &events{data: m.json, event: m.value}
	case "application/json":
		m.json = m.newScanner()
	}
	return m
}

// newScanner asks for what an answer has at its top, Anthropic's first event within
// message, and the last one of OpenAI's Responses API within response.
func (m *meter) newScanner() *scanner {
	return newScanner(&m.said,
		member{"", "usage"}, member{"", "model"},
		member{"message", "usage"}, member{"message", "model"},
		member{"response", "usage"}, member{"response", "model"},
		member{"error", "type"})
}

func (m *meter) write(p []byte) {
	switch {
	case m.events != nil:
		m.events.feed(p)
	case m.json != nil:
		m.json.feed(p)
	}
}

// end is called once, after the last byte.
func (m *meter) end() {
	switch {
	case m.events != nil:
		m.events.end()
	case m.json != nil:
		m.value()
	}
}

// value takes in what the scanner found. Anthropic's message_start tells the input, and
// the output only as far as it is then.
func (m *meter) value() {
	m.add("message")
	if m.add("") || m.add("response") {
		m.final = true
	}
	for _, outer := range []string{"message", "", "response"} {
		var name string
		if text := m.json.get(outer, "model"); text != nil && json.Unmarshal(text, &name) == nil {
			m.model = saneModel(name)
		}
	}

	if m.events != nil {
		m.failed = cmp.Or(m.failed, m.failure())
	}
}

// failure is that of an error event, whose status can no longer say it.
func (m *meter) failure() chat.Code {
	switch kind := string(m.json.get("error", "type")); kind {
	case "", "null":
		return ""
	case `"overloaded_error"`:
		return chat.CodeOverloaded
	case `"rate_limit_error"`:
		return chat.CodeRateLimited
	}
	return chat.CodeUpstream
}

// add reports whether there was a usage object. A member of a wrong type is passed over
// by the decoder, which reads the others nevertheless.
func (m *meter) add(outer string) bool {
	usage := m.json.get(outer, "usage")
	if len(usage) == 0 || usage[0] != '{' {
		return false
	}
	_ = json.Unmarshal(usage, &m.counts)
	return true
}
