package claudetest

import (
	"context"
	"strings"
	"time"

	"maxrelay/session/anthropictest/wire"
)

// turn answers one or more user lines. All but interrupt belongs to the turns' goroutine.
type turn struct {
	f         *fake
	lines     []userLine
	ctx       context.Context
	interrupt context.CancelFunc
	started   time.Time

	model string
	tools map[string]string // offered tools and the servers they are of
	plan  plan              // written under f.mu, since an interrupt reads it
	calls int               // of the model
	usage usage
	text  string // of the last answer
}

// newTurn is called with f.mu held.
func newTurn(f *fake, lines []userLine) *turn {
	t := &turn{f: f, lines: lines, started: time.Now(), model: f.model}
	t.ctx, t.interrupt = context.WithCancel(f.ctx)
	return t
}

func (t *turn) run() {
	names, tools := t.f.tools()
	t.tools = tools
	for _, l := range t.lines {
		t.f.lifecycle(l.uuid, "started")
	}
	t.init(names)
	conversation := t.enter()
	if t.lines[0].silent {
		t.end(outcome{subtype: "success"})
		return
	}
	p := t.f.planFor(conversation, names)
	t.setPlan(p)
	if p.stderr > 0 {
		_, _ = t.f.Stderr.Write([]byte(strings.Repeat("e", p.stderr) + "\n"))
	}
	if t.f.getenv(EnvLoggedOut) == "1" {
		t.fail(failure{class: "authentication_failed", text: "Not logged in · Please run /login"})
		return
	}
	t.answer(conversation)
}

func (t *turn) setPlan(p plan) {
	t.f.mu.Lock()
	defer t.f.mu.Unlock()
	t.plan = p
}

// enter puts the turn's lines into the history, behind what a change of model left.
func (t *turn) enter() []wire.Message {
	f := t.f
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range t.lines {
		content := l.message.Content
		if len(f.residue) > 0 && !l.silent {
			var notes wire.Content
			for _, r := range f.residue {
				notes = append(notes, wire.TextBlock(r))
			}
			content, f.residue = append(notes, content...), nil
		}
		f.history.user(l.uuid, content)
	}
	return f.history.conversation()
}

func (t *turn) init(tools []string) {
	f := t.f
	f.mu.Lock()
	servers := []any{}
	for _, s := range f.servers {
		servers = append(servers, map[string]string{"name": s.name, "status": "connected", "source": "sdk"})
	}
	f.mu.Unlock()
	f.out.line(map[string]any{"type": "system", "subtype": "init", "session_id": sessionID, "uuid": newUUID(), "tools": tools,
		"mcp_servers": servers, "model": t.model, "permissionMode": "default", "slash_commands": []any{}, "apiKeySource": "ANTHROPIC_API_KEY",
		"claude_code_version": Version, "output_style": "default", "agents": []any{}, "skills": []any{}, "plugins": []any{}})
}

// Claude Code 2.1.330 answers a max_tokens by asking the model to go on, three times, 10 to 20 ms after the message's end.
const (
	continuations     = 3
	continuationPause = 15 * time.Millisecond
	continuationText  = "Output token limit hit. Resume directly."
)

// answer asks the fake model as often as the CLI would.
func (t *turn) answer(conversation []wire.Message) {
	for {
		t.requesting()
		if t.refused() {
			return
		}
		t.tellUse()
		c := &call{turn: t, plan: t.plan, id: newID("msg_"), prompt: promptTokens(conversation)}
		if !c.stream() {
			if t.f.ctx.Err() == nil && !c.lost {
				c.abandon()
				t.interrupted()
			}
			return
		}
		t.calls++
		t.usage.Output += c.sent - 1 // one was counted at the start
		t.text = c.text()
		t.f.mu.Lock()
		t.f.history.assistant(c.content())
		t.f.mu.Unlock()
		switch stop := t.plan.stopReason(); {
		case stop == "max_tokens" && t.calls > continuations:
			t.fail(failure{class: "max_output_tokens", text: "API Error: Claude's response exceeded the output token maximum."})
			return
		case stop == "max_tokens":
			t.note(continuationText)
			if !t.f.sleep(t.ctx, continuationPause) {
				t.interrupted()
				return
			}
		case stop == "refusal":
			t.fail(failure{class: "invalid_request", stop: "refusal", text: "API Error: the model refused to answer."})
			return
		case len(c.deferred) > 0:
			last := c.deferred[len(c.deferred)-1]
			t.end(outcome{subtype: "success", terminal: "tool_deferred", stop: "tool_deferred", result: t.text, deferred: last})
			return
		case len(c.results) > 0: // no call was for the driver: the model is told so and asked again
			t.f.mu.Lock()
			t.f.history.user("", c.results)
			t.f.mu.Unlock()
			t.setPlan(plan{parts: []part{say("ok")}, fault: fault{after: beforeStart}})
		default:
			t.end(outcome{subtype: "success", terminal: "completed", stop: stop, result: t.text})
			return
		}
		t.f.mu.Lock()
		conversation = t.f.history.conversation()
		t.f.mu.Unlock()
	}
}

// note puts a text of the CLI's own into the history.
func (t *turn) note(text string) {
	t.f.mu.Lock()
	defer t.f.mu.Unlock()
	t.f.history.user("", wire.Content{wire.TextBlock(text)})
}

func (t *turn) requesting() {
	t.f.out.line(map[string]any{"type": "system", "subtype": "status", "status": "requesting", "session_id": sessionID,
		"uuid": newUUID(), "user_message_uuids": t.uuids()})
}

// promptTokens estimates as anthropictest does: four bytes are a token.
func promptTokens(conversation []wire.Message) int {
	n := 0
	for _, m := range conversation {
		for _, b := range m.Content {
			n += len(b.Raw)
		}
	}
	return n / 4
}

func (t *turn) uuids() []string {
	var out []string
	for _, l := range t.lines {
		out = append(out, l.uuid)
	}
	return out
}

func (t *turn) uuid() string { return t.lines[len(t.lines)-1].uuid }
