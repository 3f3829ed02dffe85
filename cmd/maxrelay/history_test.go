package main

import (
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"maxrelay/session/anthropictest"
	"maxrelay/session/chat"
)

// Every shape of history reaches the model as the client meant it, whichever way the
// process that answers comes by it.
func TestHistoryShapes(t *testing.T) {
	all := slices.Concat(forms(), texts(), edits(), tools(), parts(), systems())
	for _, s := range all {
		if s.same+s.rewound+s.replayed != "" && s.why == "" {
			t.Errorf("%s: no reason is given for how it is had", s.name)
		}
	}
	var turns, processes atomic.Int64
	worker := func(name string, ways ...func(play)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openBench(t, len(ways))
			for _, s := range all {
				t.Run(s.name, func(t *testing.T) {
					for _, way := range ways {
						way(play{t, b, s, elements(t, s.messages), plainJSON(t, s.want)})
					}
				})
			}
			turns.Add(int64(b.turns))
			processes.Add(int64(b.started()))
		})
	}
	t.Cleanup(func() {
		t.Logf("%d shapes, 4 ways, %d turns, %d processes", len(all), turns.Load(), processes.Load())
	})
	worker("one worker", play.sameProcess, play.rewound, play.replayed)
	worker("another worker", play.replayed)
}

// An answer of several blocks is one text to the client, and is known again when it
// comes back as one. The process keeps the model's reasoning, which no client sends.
func TestAnswersOfSeveralBlocksAreKnownAgain(t *testing.T) {
	b := openBench(t, 1)
	reply := anthropictest.Think("hm").Then(anthropictest.Say("one ")).Then(anthropictest.Say("answer"))
	b.askFor(t, "", elements(t, talks("several")), reply, "one answer").must(t, chat.SessionNew, "", plainJSON(t, talks("several")))
	got := b.ask(t, "", elements(t, talks("several", "one answer", "so?")), answered)
	got.messages = regexp.MustCompile(`"signature":"[^"]*",`).ReplaceAllString(got.messages, "")
	got.must(t, chat.SessionWarm, "", plainJSON(t, `[
		{"role":"user","content":"several"},
		{"role":"assistant","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"one "},{"type":"text","text":"answer"}]},
		{"role":"user","content":"so?"}]`))
}

// play is one shape on its ways through the processes of a worker. Each way is a user
// of its own, and so has a process of its own.
type play struct {
	*testing.T
	*bench
	shape
	messages []json.RawMessage
	want     string
}

const answered = "Done." // the model's answer to the shape itself

// sameProcess grows the conversation by real turns, whose answers are the history's.
func (p play) sameProcess() {
	kind, want := cmp.Or(p.same, chat.SessionWarm), p.want
	if p.warm != "" {
		want = plainJSON(p.T, p.warm)
	}
	for i, g := range growth(p.T, p.messages, p.told) {
		said := g.answer
		if i < len(p.said) {
			said = p.said[i]
		}
		got := p.ask(p.T, "same", p.messages[:g.at], said)
		if kind == chat.SessionWarm && !strings.HasPrefix(want, got.messages) {
			p.Errorf("on the way the model was shown\n%s\nwant the begin of\n%s", clip(got.messages), clip(want))
		}
	}
	p.last("same", kind, want)
}

// rewound lets the process hold another branch of the conversation first.
func (p play) rewound() {
	held := p.messages[:branch(p.T, p.messages)]
	held = append(slices.Clip(held), json.RawMessage(`{"role":"user","content":"another question"}`))
	if p.held != "" {
		held = elements(p.T, p.held)
	}
	p.ask(p.T, "rewound", held, answered)
	p.last("rewound", cmp.Or(p.shape.rewound, chat.SessionRewound), p.want)
}

// replayed asks a process that holds nothing of the conversation.
func (p play) replayed() {
	p.last("replayed", cmp.Or(p.shape.replayed, chat.SessionReplayed), p.want)
}

// last asks the shape itself, and then the question after it: that one is warm and
// comes out right only if the process knows what it holds.
func (p play) last(way string, kind chat.Session, want string) {
	p.Run(way, func(t *testing.T) {
		p.ask(t, way, p.messages, answered).must(t, kind, p.system, want)
		next := append(slices.Clip(p.messages), json.RawMessage(`{"role":"assistant","content":"`+answered+`"}`),
			json.RawMessage(`{"role":"user","content":"and now?"}`))
		p.ask(t, way, next, answered).must(t, chat.SessionWarm, p.system, want+
			plainJSON(t, `[{"role":"assistant","content":"`+answered+`"},{"role":"user","content":"and now?"}]`))
	})
}

// place is where in a history the model can have answered.
type place struct {
	at     int // index of the answer
	answer string
}

// growth is where a history can have grown by turns of the model's, but for the first
// told messages: text after a question, calls aside, as no tools are offered.
func growth(t *testing.T, messages []json.RawMessage, told int) (out []place) {
	t.Helper()
	for i, raw := range messages {
		m := peek(t, raw)
		if i > told && m.Role == "assistant" && len(m.Calls) == 0 && peek(t, messages[i-1]).Role != "assistant" && !m.blank() {
			out = append(out, place{i, m.text()})
		}
	}
	return out
}

// branch is the index behind the last answer that has no open call.
func branch(t *testing.T, messages []json.RawMessage) int {
	t.Helper()
	for i := len(messages) - 1; i > 0; i-- {
		if m := peek(t, messages[i-1]); m.Role == "assistant" && len(m.Calls) == 0 && !m.blank() {
			return i
		}
	}
	return 0
}

// peeked is as much of a client's message as tells where it can have come from.
type peeked struct {
	Role    string
	Content json.RawMessage
	Refusal string
	Calls   []json.RawMessage `json:"tool_calls"`
}

func peek(t *testing.T, raw json.RawMessage) (m peeked) {
	t.Helper()
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// text is the content where it is a string; the table says what else was answered.
func (m peeked) text() (text string) {
	_ = json.Unmarshal(m.Content, &text)
	return text
}

func (m peeked) blank() bool {
	text := strings.Trim(m.text(), " \n\ufeff")
	return m.Refusal == "" && len(m.Content) > 0 && (m.Content[0] == '"' || m.Content[0] == 'n') && (text == "" || text == "(no content)")
}

func elements(t *testing.T, array string) (out []json.RawMessage) {
	t.Helper()
	if err := json.Unmarshal([]byte(array), &out); err != nil {
		t.Fatalf("%v in %s", err, clip(array))
	}
	return out
}
