package claudetest

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"maxrelay/session/anthropictest/wire"
)

// call streams one answer of the fake model.
type call struct {
	*turn
	plan     plan
	id       string
	prompt   int // tokens
	sent     int // deltas
	begun    bool
	lost     bool         // the turn was ended by the loss of the connection
	open     int          // deltas of the open block, -1 without one
	index    int          // of the open block
	results  wire.Content // errors for calls that nobody takes
	deferred []any        // calls left to the driver
}

// forgotten is when a process that hangs gives up, so that none stays for good when its driver is gone.
const forgotten = 10 * time.Minute

// stream reports whether the answer came to its end; if not, the process is going, the turn was ended, or its context was.
func (c *call) stream() bool {
	c.open = -1
	if !c.f.sleep(c.ctx, c.f.duration(EnvTTFT)) || !c.place(beforeStart) {
		return false
	}
	c.begun = true
	c.usage.Input += c.prompt
	c.usage.Output++
	c.event(map[string]any{"type": "message_start", "message": c.message([]any{}, 1)})
	if !c.place(0) {
		return false
	}
	for i, p := range c.plan.parts {
		if !c.block(i, p) {
			return false
		}
	}
	return c.event(map[string]any{"type": "message_delta", "delta": map[string]any{"stop_reason": c.plan.stopReason(), "stop_sequence": nil},
		"usage": map[string]int{"output_tokens": c.sent}}) &&
		c.event(map[string]any{"type": "message_stop"})
}

type delta struct {
	Type        string `json:"type"`
	Text        string `json:"text,omitempty"`
	Thinking    string `json:"thinking,omitempty"`
	PartialJSON string `json:"partial_json,omitempty"`
	Signature   string `json:"signature,omitempty"`
}

type deltaEvent struct {
	Type  string `json:"type"`
	Index int    `json:"index"`
	Delta delta  `json:"delta"`
}

func (c *call) block(i int, p part) bool {
	c.index, c.open = i, 0
	c.event(map[string]any{"type": "content_block_start", "index": i, "content_block": opening(p)})
	for _, text := range p.deltas {
		d := delta{Type: "text_delta", Text: text}
		switch p.kind {
		case "thinking":
			d = delta{Type: "thinking_delta", Thinking: text}
		case "tool_use":
			d = delta{Type: "input_json_delta", PartialJSON: text}
		}
		if !c.f.sleep(c.ctx, c.plan.delay) || !c.event(deltaEvent{"content_block_delta", i, d}) {
			return false
		}
		c.open++
		c.sent++
		if !c.place(c.sent) {
			return false
		}
	}
	if p.kind == "thinking" {
		c.event(deltaEvent{"content_block_delta", i, delta{Type: "signature_delta", Signature: "signed"}})
	}
	c.assistant(closed(p, len(p.deltas)), false)
	if p.kind == "tool_use" && !c.use(p) {
		return false
	}
	c.open = -1
	return c.event(map[string]any{"type": "content_block_stop", "index": i})
}

func opening(p part) any {
	switch p.kind {
	case "thinking":
		return map[string]string{"type": "thinking", "thinking": "", "signature": ""}
	case "tool_use":
		return map[string]any{"type": "tool_use", "id": p.id, "name": p.name, "input": struct{}{}}
	}
	return map[string]string{"type": "text", "text": ""}
}

// closed is the block after its first n deltas.
func closed(p part, n int) wire.Block {
	content := strings.Join(p.deltas[:n], "")
	switch p.kind {
	case "thinking":
		return block(map[string]any{"type": "thinking", "thinking": content, "signature": "signed"})
	case "tool_use":
		return block(map[string]any{"type": "tool_use", "id": p.id, "name": p.name, "input": json.RawMessage(content)})
	}
	return wire.TextBlock(content)
}

// use lets the driver's hook decide on a call; a tool that was not offered gets an error as its result.
func (c *call) use(p part) bool {
	server, offered := c.tools[p.name]
	if offered && c.f.deferred(c.ctx, p, server) {
		c.deferred = append(c.deferred, map[string]any{"id": p.id, "name": p.name, "input": json.RawMessage(strings.Join(p.deltas, ""))})
		return true
	}
	if c.ctx.Err() != nil {
		return false
	}
	why := "<tool_use_error>Error: No such tool available: " + p.name + "</tool_use_error>"
	if offered {
		why = "Permission to use " + p.name + " has been denied."
	}
	result := toolError(p.id, why)
	c.results = append(c.results, result)
	c.f.userLine(result)
	return true
}

// place does what goes wrong at this place of the answer, and reports whether it goes on.
func (c *call) place(at int) bool {
	if c.plan.fault.kind == "" || c.plan.fault.after != at {
		return c.ctx.Err() == nil
	}
	switch c.plan.fault.kind {
	case "exit":
		c.f.quit(exitCode(c.plan.fault.code))
	case "crash":
		c.f.quit(exitCode(exitKilled))
	case "hang":
		c.hang()
	case "mute":
		c.f.out.close()
		c.hang()
	case "garbage":
		c.f.out.raw("{\"type\":\"stream_event\",\"event\":{\"type\":\"content_bl\x00\xff\n")
		return true
	case "lost":
		c.lose()
	}
	return false
}

func (c *call) hang() {
	if c.f.sleep(c.ctx, forgotten) {
		c.f.quit(exitCode(1))
	}
}

// event passes an event on, unless the turn was interrupted.
func (c *call) event(e any) bool {
	l := eventLine{Type: "stream_event", Event: e, SessionID: sessionID, UUID: newUUID(), APIMessageID: c.id}
	if c.sent == 0 && c.open < 0 {
		l.UserMessageUUID, l.UserMessageUUIDs = c.uuid(), c.uuids()
	}
	return c.f.out.lineWhile(c.ctx, l)
}

func (c *call) message(content any, output int) any {
	return map[string]any{"id": c.id, "type": "message", "role": "assistant", "model": c.model, "content": content,
		"stop_reason": nil, "stop_sequence": nil, "usage": usage{Input: c.prompt, Output: output}}
}

// assistant writes the line that holds a whole block; it comes before the block's content_block_stop.
func (c *call) assistant(b wire.Block, aborted bool) {
	l := c.assistantLine(c.message([]wire.Block{b}, 1))
	l.Aborted = aborted
	if aborted {
		c.f.out.line(l)
	} else {
		c.f.out.lineWhile(c.ctx, l)
	}
}

// abandon ends an interrupted answer as the CLI does: what there is of the open block, and the events that close it.
func (c *call) abandon() {
	if !c.begun {
		c.f.userLine(wire.TextBlock(interruptText))
		return
	}
	var partial wire.Content
	for _, p := range c.plan.parts[:min(c.index, len(c.plan.parts))] {
		partial = append(partial, closed(p, len(p.deltas)))
	}
	if c.open > 0 && c.plan.parts[c.index].kind == "text" {
		b := closed(c.plan.parts[c.index], c.open)
		c.assistant(b, true)
		partial = append(partial, b)
	}
	c.f.mu.Lock()
	c.f.history.assistant(partial)
	c.f.mu.Unlock()
	c.usage.Output += c.sent

	c.f.userLine(wire.TextBlock(interruptText))
	c.closeStream()
}

// lose ends the turn with the loss of the connection. The events are closed as if the message had ended.
func (c *call) lose() {
	c.lost = true
	f := failure{class: "server_error", text: "API Error: Connection to the API was lost while the response was streaming."}
	c.synthetic(f)
	if c.begun {
		c.closeStream()
	}
	c.failed(f)
}

// closeStream writes the events that end a message which the model did not end: there is no stop reason.
func (c *call) closeStream() {
	ctx := c.ctx
	c.ctx = context.WithoutCancel(ctx) // these events do follow the interrupt
	if c.open >= 0 {
		c.event(map[string]any{"type": "content_block_stop", "index": c.index})
	}
	c.event(map[string]any{"type": "message_delta", "delta": map[string]any{"stop_reason": nil, "stop_sequence": nil},
		"usage": usage{Input: c.prompt, Output: 1}})
	c.event(map[string]any{"type": "message_stop"})
	c.ctx = ctx
}

func (c *call) text() string {
	var out strings.Builder
	for _, p := range c.plan.parts {
		if p.kind == "text" {
			out.WriteString(strings.Join(p.deltas, ""))
		}
	}
	return out.String()
}

func (c *call) content() wire.Content {
	var out wire.Content
	for _, p := range c.plan.parts {
		out = append(out, closed(p, len(p.deltas)))
	}
	return out
}

// assistantLine is about the turn's user lines.
func (t *turn) assistantLine(message any) messageLine {
	l := newMessageLine("assistant", message)
	l.UserMessageUUID, l.UserMessageUUIDs = t.uuid(), t.uuids()
	return l
}

// userLine writes what the CLI itself says in the user's name.
func (f *fake) userLine(b wire.Block) {
	f.out.line(newMessageLine("user", map[string]any{"role": "user", "content": []wire.Block{b}}))
}

func newMessageLine(kind string, message any) messageLine {
	return messageLine{Type: kind, Message: message, SessionID: sessionID, UUID: newUUID(),
		Timestamp: time.Now().UTC().Format("2006-01-02T15:04:05.000Z")}
}
