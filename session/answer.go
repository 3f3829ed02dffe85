package session

import (
	"bytes"
	"encoding/json"
	"slices"

	"maxrelay/session/chat"
)

// event takes one event of the model's. Everything after the first message is hidden:
// the CLI started it on its own (a continuation, an answer to a tool that is not
// there), and the client asked for one answer.
func (t *turn) event(e *streamEvent) error {
	t.meter.take(e)
	if e.Type == chat.EventMessageStart {
		if t.starts++; t.starts > 1 {
			return t.interrupt()
		}
	}
	if t.starts != 1 || t.closed {
		return nil
	}
	switch e.Type {
	case chat.EventMessageStart:
		t.begin(e)
	case chat.EventBlockStart:
		t.startBlock(e)
	case chat.EventBlockDelta:
		return t.delta(e)
	case chat.EventBlockStop:
		t.endBlock(e)
	case chat.EventMessageDelta:
		return t.stopMessage(e)
	case chat.EventMessageStop:
		return t.closeMessage(e)
	}
	return nil
}

func (t *turn) begin(e *streamEvent) {
	t.upstream = e.Message.Model
	u := t.meter.call
	t.emit(chat.Event{Type: e.Type, Model: t.upstream, Usage: &u})
}

// startBlock withholds kinds of blocks that this program does not know.
func (t *turn) startBlock(e *streamEvent) {
	t.calling, t.telling = nil, true
	switch e.ContentBlock.Type {
	case chat.BlockText, chat.BlockThinking:
		t.text.WriteString(e.ContentBlock.Text)
	case chat.BlockToolUse:
		t.startCall(e)
	default:
		t.withhold(e.Index)
	}
	b := e.ContentBlock
	b.Input = nil // it comes in pieces
	t.show(chat.Event{Type: e.Type, Index: e.Index, Block: &b})
}

func (t *turn) withhold(index int) {
	if t.withheld == nil {
		t.withheld = make(map[int]bool)
	}
	t.withheld[index] = true
}

func (t *turn) delta(e *streamEvent) error {
	if t.calling != nil {
		t.calling.input.WriteString(e.Delta.PartialJSON)
	}
	text, stop := t.cut.next(e.Delta.Text)
	t.text.WriteString(text)
	if text != "" || e.Delta.Text == "" {
		t.show(chat.Event{Type: e.Type, Index: e.Index, Text: text, Thinking: e.Delta.Thinking,
			Signature: e.Delta.Signature, PartialJSON: e.Delta.PartialJSON})
	}
	if stop != "" {
		return t.stopHere(e.Index, stop)
	}
	return nil
}

// endBlock lets out what could have become a stop and did not.
func (t *turn) endBlock(e *streamEvent) {
	t.calling, t.telling = nil, false
	if rest := t.cut.rest(); rest != "" {
		t.text.WriteString(rest)
		t.show(chat.Event{Type: chat.EventBlockDelta, Index: e.Index, Text: rest})
	}
	t.show(chat.Event{Type: e.Type, Index: e.Index})
}

func (t *turn) show(e chat.Event) {
	if !t.withheld[e.Index] {
		t.emit(e)
	}
}

// stopMessage takes the reason why the first message ends. Where the CLI would go on by
// itself (a cut or blank answer, a block that has no end, a call that nobody answers) it
// is interrupted at once, and also after a reason that is not known here.
func (t *turn) stopMessage(e *streamEvent) error {
	if e.Delta.StopReason == "" {
		t.broken = true // the CLI's own epilogue; its result line follows
		return nil
	}
	t.stop = e.Delta.StopReason
	if t.stop == chat.StopToolUse && len(t.calls) == 0 {
		t.stop = chat.StopEndTurn // of what is left of it
	}
	u := t.meter.call
	t.emit(chat.Event{Type: e.Type, StopReason: t.stop, StopSequence: e.Delta.StopSequence, Usage: &u})
	if _, ok := t.said(); ok && !t.telling && len(t.withheld) == 0 && goodEnds[t.stop] {
		return nil
	}
	return t.interrupt()
}

// goodEnds are the reasons after which the CLI asks nothing more by itself.
var goodEnds = map[chat.StopReason]bool{chat.StopEndTurn: true, chat.StopSequence: true, chat.StopToolUse: true}

// closeMessage ends the first message. One whose reason never came was cut off between
// two events: Claude Code 2.1.330 would ask the model to resume it, three times.
func (t *turn) closeMessage(e *streamEvent) error {
	switch {
	case t.stop != "":
		t.closed = true
		t.emit(chat.Event{Type: e.Type})
	case !t.broken:
		return t.interrupt()
	}
	return nil
}

// heard takes an assistant line: a block of the model's, as the CLI has it in its history
// now, or a notice of its own.
func (t *turn) heard(l *line) {
	switch {
	case l.Message.Model == "<synthetic>":
		t.notice = noticeOf(l)
	case t.starts == 1:
		for _, b := range blocksOf(l.Message.Content) {
			switch b.Type {
			case chat.BlockText:
				t.held.WriteString(b.Text)
			case chat.BlockToolUse:
				t.heldCalls = append(t.heldCalls, b.Input)
			}
		}
	}
}

// whole reports whether the process holds the answer that the client was shown, and
// nothing else of this turn. An upstream that repeats itself can make the two differ,
// and so can a call whose arguments have the letters of an escape in a text, like the
// six of \u0041: Claude Code 2.1.330 takes them for the mistake of a model that escaped
// twice, and puts right what it keeps.
func (t *turn) whole(r result) bool {
	return t.closed && t.starts == 1 && !t.interrupted && !r.IsError && t.held.String() == t.text.String() &&
		slices.EqualFunc(t.calls, t.heldCalls, func(c *call, input json.RawMessage) bool {
			held, err := chat.CanonicalJSON(input)
			return err == nil && bytes.Equal(held, c.block.Input)
		})
}
