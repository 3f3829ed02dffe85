package claudetest

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"maxrelay/session/anthropictest/directive"
	"maxrelay/session/anthropictest/wire"
)

// plan is how one turn is answered.
type plan struct {
	parts  []part
	delay  time.Duration // before each delta
	stop   string        // stop reason; empty: by the parts
	fault  fault
	status int           // the upstream's error instead of an answer
	limit  time.Duration // until a window of the account resets, instead of an answer
	window string        // its name
	posed  bool          // a limit told in words alone, in a result that is no error
	used   usedWindow    // told before the answer
	stderr int           // bytes
	deaf   bool          // to interrupts
}

// usedWindow is how much of one of the account's windows is used.
type usedWindow struct {
	name    string // "": nothing is told
	percent int
}

// part is one content block and the deltas it is sent in.
type part struct {
	kind   string // text, thinking or tool_use
	deltas []string
	id     string // of a call
	name   string // of its tool
}

// fault is what goes wrong after a number of deltas; 0 is after message_start, beforeStart before it.
type fault struct {
	kind  string // a directive's name
	after int
	code  int // for exit
}

const beforeStart = -1

// Bounds on what a prompt can order.
const (
	maxTokensOrdered = 10_000_000
	maxBytesOrdered  = 256 << 20
)

func say(pieces ...string) part { return part{kind: "text", deltas: pieces} }

func tokens(n int) []string {
	out := make([]string, min(n, maxTokensOrdered))
	for i := range out {
		out[i] = "tok" + strconv.Itoa(i) + " "
	}
	return out
}

// words are n deltas that, unlike tokens, leave no white space at the end.
func words(n int) []string {
	out := make([]string, min(n, maxTokensOrdered))
	for i := range out {
		out[i] = " word" + strconv.Itoa(i)
	}
	return out
}

// planFor reads the directives of the last user text, or of the last results.
func (f *fake) planFor(conversation []wire.Message, tools []string) plan {
	p := plan{fault: fault{after: beforeStart}}
	for _, d := range directive.Parse(orders(conversation)) {
		p.obey(d)
		switch d.Name {
		case "echo":
			p.parts = append(p.parts, say(append([]string{wire.Echo(conversation)}, words(d.Int(0, 0))...)...))
		case "state":
			p.parts = append(p.parts, say(f.state(tools)))
		}
	}
	if len(p.parts) == 0 {
		p.parts = []part{say("ok")}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if limit, err := strconv.Atoi(f.settings["CLAUDE_CODE_MAX_OUTPUT_TOKENS"]); err == nil {
		p.cut(limit)
	}
	return p
}

// orders is what the last user message says. Where that is results and nothing else,
// they say how the loop goes on.
func orders(conversation []wire.Message) string {
	text := wire.LastUserText(conversation)
	if text != "" || len(conversation) == 0 {
		return text
	}
	var results []string
	for _, b := range conversation[len(conversation)-1].Content {
		if b.Type == "tool_result" {
			results = append(results, b.Content.Text())
		}
	}
	return strings.Join(results, "\n")
}

func (p *plan) obey(d directive.Directive) {
	if delay := d.Delay(); delay > 0 {
		p.delay = delay
	}
	switch d.Name {
	case "tokens":
		p.parts = append(p.parts, say(tokens(d.Int(0, 8))...))
	case "think":
		p.parts = append(p.parts, part{kind: "thinking", deltas: tokens(d.Int(0, 3))})
	case "tool":
		if input := d.Arg(1); json.Valid([]byte(input)) {
			half := len(input) / 2
			p.parts = append(p.parts, part{kind: "tool_use", id: newID("toolu_"), name: d.Arg(0), deltas: []string{input[:half], input[half:]}})
		}
	case "huge":
		p.parts = append(p.parts, say(strings.Repeat("x", min(d.Int(0, 1<<20), maxBytesOrdered))))
	case "stderr":
		p.stderr = min(d.Int(0, 1000), maxBytesOrdered)
	case "status":
		p.status = d.Int(0, 500)
	case "limit":
		p.limit, p.window = time.Duration(d.Int(0, 3600))*time.Second, d.Arg(1)
	case "used":
		p.used = usedWindow{cmp.Or(d.Arg(1), "five_hour"), d.Int(0, 0)}
	case "limit-text":
		p.posed = true
	case "refuse":
		p.stop = "refusal"
	case "max_tokens":
		p.stop = "max_tokens"
	case "ignore-interrupt":
		p.deaf = true
	case "exit", "crash", "hang", "mute", "garbage", "lost":
		p.fault = fault{kind: d.Name, after: d.After(beforeStart), code: d.Int(0, 1)}
	}
}

// cut ends the answer after n deltas, by max_tokens.
func (p *plan) cut(n int) {
	for i, part := range p.parts {
		if len(part.deltas) > n {
			part.deltas = part.deltas[:n]
			p.parts = append(p.parts[:i:i], part)
			p.stop = "max_tokens"
			return
		}
		n -= len(part.deltas)
	}
}

func (p plan) stopReason() string {
	if p.stop != "" {
		return p.stop
	}
	for _, part := range p.parts {
		if part.kind == "tool_use" {
			return "tool_use"
		}
	}
	return "end_turn"
}

// state is what the process was told to be, for tests of what reached it.
func (f *fake) state(tools []string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return string(wire.Canonical(map[string]any{
		"model": f.model, "system": f.system, "effort": f.effort, "env": f.settings, "tools": tools, "pid": pid,
	}))
}
