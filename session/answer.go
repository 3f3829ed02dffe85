package session

import (
	"maxrelay/session/chat"
)

// event takes one event of the model's. Everything after the first message is hidden:
// the CLI started it on its own (a continuation, an answer to a tool that is not
// there), and the client asked for one answer.
func (t *turn) event(e *streamEvent) error {
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
		t.delta(e)
	case chat.EventBlockStop:
		t.show(chat.Event{Type: e.Type, Index: e.Index})
	case chat.EventMessageDelta:
		return t.stopMessage(e)
	case chat.EventMessageStop:
		if t.stop == "" {
			return nil // of the same epilogue
		}
		t.closed = true
		t.emit(chat.Event{Type: e.Type})
	}
	return nil
}

func (t *turn) begin(e *streamEvent) {
	t.upstream = e.Message.Model
	e.Message.Usage.onto(&t.usage)
	u := t.usage
	t.emit(chat.Event{Type: e.Type, Model: t.upstream, Usage: &u})
}

// startBlock withholds calls of tools, none of which were offered, and kinds of blocks
// that this program does not know.
func (t *turn) startBlock(e *streamEvent) {
	switch e.ContentBlock.Type {
	case chat.BlockText, chat.BlockThinking:
	default:
		if t.withheld == nil {
			t.withheld = make(map[int]bool)
		}
		t.withheld[e.Index] = true
	}
	t.text.WriteString(e.ContentBlock.Text)
	b := e.ContentBlock
	t.show(chat.Event{Type: e.Type, Index: e.Index, Block: &b})
}

func (t *turn) delta(e *streamEvent) {
	t.text.WriteString(e.Delta.Text)
	t.show(chat.Event{Type: e.Type, Index: e.Index, Text: e.Delta.Text, Thinking: e.Delta.Thinking,
		Signature: e.Delta.Signature, PartialJSON: e.Delta.PartialJSON})
}

func (t *turn) show(e chat.Event) {
	if !t.withheld[e.Index] {
		t.emit(e)
	}
}

// stopMessage ends the first message. Where the CLI would go on by itself (a cut or
// blank answer, a refusal, a call that nobody answers) it is interrupted at once.
func (t *turn) stopMessage(e *streamEvent) error {
	e.Usage.onto(&t.usage)
	if e.Delta.StopReason == "" {
		return nil // the CLI's own epilogue of a message that broke off
	}
	t.stop, t.counted = e.Delta.StopReason, true
	if t.stop == chat.StopToolUse {
		t.stop = chat.StopEndTurn // of what is left of it
	}
	u := t.usage
	t.emit(chat.Event{Type: e.Type, StopReason: t.stop, StopSequence: e.Delta.StopSequence, Usage: &u})
	ended := t.stop == chat.StopEndTurn || t.stop == chat.StopSequence
	if ended && len(t.withheld) == 0 && !blank(t.text.String()) {
		return nil
	}
	return t.interrupt()
}
