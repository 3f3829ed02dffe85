package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"maxrelay/api/openai/openaitest"
	"maxrelay/session/anthropictest"
	"maxrelay/session/anthropictest/wire"
)

// paramBench is one program for the whole table of parameters, and a model that is told
// what to say to each conversation.
type paramBench struct {
	*site
	url   string
	plain map[string]json.RawMessage // what the model is sent when no parameter is given

	mu    sync.Mutex
	lines map[string][]anthropictest.Reply // by the conversation's first text
}

const paramKey = "sk-of-a-client"

// Each row of the chat API's parameters has a test: what the model is sent, and what
// the client gets, streamed and not.
func TestChatParameters(t *testing.T) {
	b := openParamBench(t)
	for _, area := range []struct {
		name string
		test func(*testing.T, *paramBench)
	}{
		{"tool loops", testToolLoops}, // first: a process is replaced after some fifty conversations, be it in a loop
		{"models", testModels},
		{"sampling", testSampling},
		{"length", testLength},
		{"stops", testStops},
		{"tools", testOfferedTools},
		{"calls", testCalls},
		{"loops with a mistake", testLoopMistakes},
		{"schemas", testSchemaFormat},
		{"objects", testObjectFormat},
		{"several answers", testSeveralAnswers},
		{"users", testUsers},
		{"not applied", testNotApplied},
		{"reasoning", testReasoning},
		{"output", testOutput},
		{"headers", testHeaders},
		{"failures", testFailures},
		{"refusals", testRefusals},
		{"bodies", testBodies},
	} {
		t.Run(area.name, func(t *testing.T) { area.test(t, b) })
	}
}

func openParamBench(t *testing.T) *paramBench {
	b := &paramBench{site: newSite(t), lines: make(map[string][]anthropictest.Reply)}
	b.extra = fmt.Sprintf("auth: {enabled: true, api_keys: [%q]}\nmodels: {gpt-4o: sonnet}", paramKey)
	b.model.Script(b.reply)
	b.url = b.start("serve", servesHTTP, realCLI, "serve", "--set", "worker.max_sessions_per_key=4").url
	b.plain = b.ask(t, call{}).shown[0].Body.Fields
	return b
}

// reply gives a conversation's n-th call its n-th line, and all further ones the last.
func (b *paramBench) reply(r anthropictest.Request) *anthropictest.Reply {
	b.mu.Lock()
	defer b.mu.Unlock()
	opening := openingOf(r)
	lines := b.lines[opening]
	if len(lines) == 0 {
		return nil
	}
	if len(lines) > 1 {
		b.lines[opening] = lines[1:]
	}
	return &lines[0]
}

func openingOf(r anthropictest.Request) string {
	if c := anthropictest.Conversation(r); len(c) > 0 {
		return c[0].Text()
	}
	return ""
}

// call is a request in the making.
type call struct {
	params  string // members of the body; of two with one name the later counts
	header  http.Header
	stream  bool
	replies []anthropictest.Reply // of the model, to a conversation that begins with the test's name
}

// heard is what came of it.
type heard struct {
	status  int
	header  http.Header
	body    []byte
	choices []choice
	ids     []string // of all calls
	model   string
	usage   tokens
	told    bool // the usage was told
	err     apiError
	shown   []anthropictest.Request // what the model was asked
}

// choice is one answer, put together from its chunks where it was streamed.
type choice struct{ text, refusal, thought, calls, finish string }

type apiError struct{ Message, Type, Param, Code string }

type tokens struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
	Details    struct {
		Cached int `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
}

// each plays a call without and with a stream, and checks what came of it.
func (b *paramBench) each(t *testing.T, name string, c call, check func(*testing.T, heard)) {
	t.Helper()
	for _, c.stream = range []bool{false, true} {
		t.Run(fmt.Sprint(name, map[bool]string{true: ", streamed"}[c.stream]), func(t *testing.T) {
			check(t, b.ask(t, c))
		})
	}
}

func (b *paramBench) ask(t *testing.T, c call) heard {
	t.Helper()
	opening := t.Name()
	if len(c.replies) > 0 {
		b.mu.Lock()
		b.lines[opening] = c.replies
		b.mu.Unlock()
	}
	body := fmt.Sprintf(`{"model":"claude-sonnet-4","messages":[{"role":"user","content":%q}],"stream":%v`, opening, c.stream)
	if c.params != "" {
		body += "," + c.params
	}
	h := b.post(t, c.header, body+"}")
	for _, r := range b.model.Requests() {
		if r.Body.Model != "" && openingOf(r) == opening {
			h.shown = append(h.shown, r)
		}
	}
	return h
}

// post sends a body as it is. Every answer is held to the schemas of the API.
func (b *paramBench) post(t *testing.T, header http.Header, body string) heard {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(r.Header, header)
	return b.send(t, r)
}

func (b *paramBench) send(t *testing.T, r *http.Request) heard {
	t.Helper()
	if _, given := r.Header["Authorization"]; !given {
		r.Header.Set("Authorization", "Bearer "+paramKey)
	}
	h, err := hear(t, r)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// hear sends a request and reads the answer to its end.
func hear(t *testing.T, r *http.Request) (h heard, err error) {
	t.Helper()
	resp, err := client.Do(r)
	if err != nil {
		return h, err
	}
	defer resp.Body.Close()
	h.status, h.header = resp.StatusCode, resp.Header
	if h.body, err = io.ReadAll(resp.Body); err != nil {
		return h, err
	}
	switch {
	case h.status != http.StatusOK:
		openaitest.Validate(t, openaitest.Error, h.body)
		h.take(t, h.body)
	case strings.HasPrefix(h.header.Get("Content-Type"), "text/event-stream"):
		openaitest.Stream(t, h.body)
		h.takeStream(t)
	default:
		openaitest.Validate(t, openaitest.Completion, h.body)
		h.take(t, h.body)
	}
	return h, nil
}

// piece is a completion, a chunk, or an error.
type piece struct {
	ID, Model, Object string
	Created           int
	Choices           []struct {
		Index          int
		Message, Delta said
		FinishReason   string `json:"finish_reason"`
	}
	Usage *tokens
	Error *apiError
}

type said struct {
	Role, Content, Refusal string
	Thought                string     `json:"reasoning_content"`
	Calls                  []toolCall `json:"tool_calls"`
}

type toolCall struct {
	ID       string
	Function struct{ Name, Arguments string }
}

// takeStream checks what no schema can: what the chunks have in common and their order.
func (h *heard) takeStream(t *testing.T) {
	t.Helper()
	var first piece
	begun := make(map[int]bool)
	for event := range strings.SplitSeq(strings.TrimSpace(string(h.body)), "\n\n") {
		data, ok := strings.CutPrefix(event, "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		p := h.take(t, []byte(data))
		if p.Error != nil {
			continue
		}
		if first.ID == "" {
			first = p
		}
		if p.ID != first.ID || p.Created != first.Created || p.Model != first.Model {
			t.Errorf("a chunk of another answer than the first: %s", data)
		}
		for _, c := range p.Choices {
			if (c.Delta.Role == "assistant") == begun[c.Index] {
				t.Errorf("the role belongs to the first chunk of an answer, and to no other: %s", data)
			}
			begun[c.Index] = true
		}
	}
}

func (h *heard) take(t testing.TB, raw []byte) (p piece) {
	t.Helper()
	if err := json.Unmarshal(raw, &p); err != nil {
		t.Errorf("%v in %s", err, raw)
		return p
	}
	if p.Model != "" {
		h.model = p.Model
	}
	if p.Usage != nil {
		h.usage, h.told = *p.Usage, true
	}
	if p.Error != nil {
		h.err = *p.Error
	}
	for _, c := range p.Choices {
		for len(h.choices) <= c.Index {
			h.choices = append(h.choices, choice{})
		}
		one := &h.choices[c.Index]
		if one.finish != "" {
			t.Errorf("more of an answer after its end: %s", raw)
		}
		for _, s := range []said{c.Message, c.Delta} {
			one.add(s)
			for _, call := range s.Calls {
				if call.ID != "" {
					h.ids = append(h.ids, call.ID)
				}
			}
		}
		one.finish = c.FinishReason
	}
	return p
}

// add appends a message or a delta; calls become name{arguments}, separated by spaces.
func (c *choice) add(s said) {
	c.text += s.Content
	c.refusal += s.Refusal
	c.thought += s.Thought
	for _, call := range s.Calls {
		if call.Function.Name != "" && c.calls != "" {
			c.calls += " "
		}
		c.calls += call.Function.Name + call.Function.Arguments
	}
}

// must checks that there is one answer, and that it is this one.
func (h heard) must(t *testing.T, want choice) {
	t.Helper()
	h.mustAll(t, want)
}

func (h heard) mustAll(t *testing.T, want ...choice) {
	t.Helper()
	if h.status != http.StatusOK || h.err != (apiError{}) || !slices.Equal(h.choices, want) {
		t.Errorf("status %d, error %+v, answers %+v; want %+v", h.status, h.err, h.choices, want)
	}
}

// mustRefuse checks a refusal; the message has to hold the words.
func (h heard) mustRefuse(t *testing.T, status int, kind, code, param, words string) {
	t.Helper()
	if h.status != status || h.err.Type != kind || h.err.Code != code || h.err.Param != param || !strings.Contains(h.err.Message, words) {
		t.Errorf("status %d, %+v; want %d, %s, code %q, param %q, and the words %q", h.status, h.err, status, kind, code, param, words)
	}
}

const badRequest = "invalid_request_error"

// unlike returns, as canonical JSON, the members of what the model was asked that a
// request without parameters has otherwise. Tools are compared elsewhere, the
// conversation by its opening; metadata and system name the process, and the
// management of the context goes with thinking.
func (b *paramBench) unlike(r anthropictest.Request) string {
	all, changed := maps.Clone(b.plain), make(map[string]any)
	maps.Copy(all, r.Body.Fields)
	for name := range all {
		if before, after := squeeze(b.plain[name]), squeeze(r.Body.Fields[name]); !bytes.Equal(before, after) {
			changed[name] = after
		}
	}
	for _, name := range []string{"context_management", "messages", "metadata", "system", "tools"} {
		delete(changed, name)
	}
	return string(wire.Canonical(changed))
}

// squeeze returns the one form of equal JSON; what is not there is null.
func squeeze(raw json.RawMessage) json.RawMessage {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return json.RawMessage("null")
	}
	return wire.Canonical(v)
}

// mustShow checks what the model was asked, in one call.
func (b *paramBench) mustShow(t *testing.T, h heard, want string) {
	t.Helper()
	if len(h.shown) != 1 {
		t.Fatalf("%d calls of the model; status %d, %+v", len(h.shown), h.status, h.err)
	}
	if got := b.unlike(h.shown[0]); got != want {
		t.Errorf("the model was asked with %s, want %s", got, want)
	}
}

func (h heard) ignored() string { return h.header.Get("X-Maxrelay-Ignored") }
