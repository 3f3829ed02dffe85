package anthropictest

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"time"

	"maxrelay/session/anthropictest/wire"
)

// player carries a reply to the client delta by delta.
type player struct {
	*exchange
	reply Reply
	body  Body
	usage Usage
	sent  int // content deltas so far
	ping  bool
	err   error
}

// play answers a request that was found to be in order.
func (x *exchange) play(reply Reply, body Body) {
	maps.Copy(x.w.Header(), reply.Header)
	p := &player{exchange: x, reply: reply, body: body, sent: BeforeHeaders}
	if !p.proceed() {
		return
	}
	switch {
	case reply.Error != nil:
		x.fail(*reply.Error)
		return
	case reply.Raw != nil:
		x.page(*reply.Raw)
		return
	}
	p.sent = 0
	p.usage = x.s.cache.count(account(x.r.Header), body)
	if reply.Usage != nil {
		p.usage = *reply.Usage
	}
	if body.Stream {
		p.stream()
	} else {
		p.whole()
	}
}

// proceed handles the gate and the fault at the present place and reports whether the reply goes on.
func (p *player) proceed() bool {
	if g := p.reply.Gate; g != nil && g.after == p.sent && !p.pass(g) {
		return false
	}
	if f := p.reply.Fault; f != nil && f.After == p.sent {
		p.fault(*f)
		return false
	}
	return p.r.Context().Err() == nil
}

func (p *player) fault(f Fault) {
	if !p.sleep(p.reply.Delay) { // time for the client to see what was sent before
		return
	}
	if f.Kind != FaultStall {
		p.complete()
	}
	switch f.Kind {
	case FaultReset:
		p.cut(true)
	case FaultEOF:
		p.cut(false)
	case FaultStall:
		p.stall()
	case FaultMalformed:
		p.raw("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"ind\n\n")
	case FaultError:
		p.event("error", errorBody(f.Error))
	}
}

func (p *player) stream() {
	p.header("text/event-stream; charset=utf-8", http.StatusOK)
	p.raw("") // the headers alone
	if p.sent = BeforeMessage; !p.proceed() {
		return
	}
	p.sent = 0
	p.event("message_start", map[string]any{"type": "message_start", "message": p.message([]any{}, nil, 1)})
	if !p.proceed() {
		return
	}
	for i, part := range p.reply.Parts {
		if !p.part(i, part) {
			return
		}
	}
	p.complete()
	p.event("message_delta", map[string]any{
		"type":  "message_delta",
		"delta": map[string]any{"stop_reason": p.reply.stopReason(), "stop_sequence": orNull(p.reply.StopSequence)},
		"usage": p.usage.with(p.sent),
	})
	p.event("message_stop", map[string]any{"type": "message_stop"})
}

// part sends one content block and reports whether the reply goes on.
func (p *player) part(i int, part Part) bool {
	p.event("content_block_start", map[string]any{"type": "content_block_start", "index": i, "content_block": p.opening(part)})
	if !p.ping {
		p.ping = true
		p.event("ping", map[string]any{"type": "ping"})
	}
	if part.Type == "tool_use" {
		p.delta(i, "input_json_delta", "partial_json", "")
	}
	for _, d := range part.Deltas {
		if !p.sleep(p.reply.Delay) {
			return false
		}
		switch part.Type {
		case "text":
			p.delta(i, "text_delta", "text", d)
		case "thinking":
			p.delta(i, "thinking_delta", "thinking", d)
		case "tool_use":
			p.delta(i, "input_json_delta", "partial_json", d)
		}
		p.sent++
		if !p.proceed() {
			return false
		}
	}
	if part.Type == "thinking" {
		p.delta(i, "signature_delta", "signature", signature(strings.Join(part.Deltas, "")))
	}
	p.event("content_block_stop", map[string]any{"type": "content_block_stop", "index": i})
	return p.err == nil
}

func (p *player) delta(i int, kind, field, value string) {
	p.event("content_block_delta", map[string]any{
		"type": "content_block_delta", "index": i, "delta": map[string]string{"type": kind, field: value},
	})
}

// opening is the block as content_block_start shows it: without content.
func (p *player) opening(part Part) any {
	switch part.Type {
	case "thinking":
		return map[string]string{"type": "thinking", "thinking": "", "signature": ""}
	case "tool_use":
		return map[string]any{"type": "tool_use", "id": p.toolID(part), "name": part.Name, "input": struct{}{}}
	}
	return map[string]string{"type": "text", "text": ""}
}

// closed is the block as an answer without streaming has it.
func (p *player) closed(part Part) any {
	content := strings.Join(part.Deltas, "")
	switch part.Type {
	case "thinking":
		return map[string]string{"type": "thinking", "thinking": content, "signature": signature(content)}
	case "tool_use":
		return map[string]any{"type": "tool_use", "id": p.toolID(part), "name": part.Name, "input": json.RawMessage(content)}
	}
	return map[string]string{"type": "text", "text": content}
}

func (p *player) toolID(part Part) string {
	if part.ID != "" {
		return part.ID
	}
	return p.s.id("toolu_")
}

// whole answers without streaming. Faults in the middle of the content happen before it, there being no middle to see.
func (p *player) whole() {
	content := []any{}
	for _, part := range p.reply.Parts {
		for range part.Deltas {
			if !p.proceed() || !p.sleep(p.reply.Delay) {
				return
			}
			p.sent++
		}
		content = append(content, p.closed(part))
	}
	if p.proceed() {
		p.json(http.StatusOK, p.message(content, p.reply.stopReason(), p.sent))
	}
}

func (p *player) message(content []any, stopReason any, output int) any {
	return map[string]any{
		"id": p.s.id("msg_"), "type": "message", "role": "assistant", "model": p.body.Model, "content": content,
		"stop_reason": stopReason, "stop_sequence": orNull(p.reply.StopSequence), "usage": p.usage.with(output),
	}
}

func (p *player) event(name string, data any) {
	p.raw("event: " + name + "\ndata: " + string(wire.Canonical(data)) + "\n\n")
}

// raw writes and flushes; after the first error nothing more is written.
func (p *player) raw(text string) {
	if p.err != nil {
		return
	}
	_ = p.ctl.SetWriteDeadline(time.Now().Add(time.Minute)) // a client that reads nothing does not hold the fake for good
	if _, p.err = p.w.Write([]byte(text)); p.err == nil {
		p.err = p.ctl.Flush()
	}
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// signature stands for the real API's proof that it wrote a thinking block.
func signature(thinking string) string {
	sum := sha256.Sum256([]byte("signed: " + thinking))
	return base64.StdEncoding.EncodeToString(sum[:])
}
