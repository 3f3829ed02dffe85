package anthropic

import (
	"encoding/json"

	"maxrelay/api/tool"
	"maxrelay/session/chat"
)

// Whole gathers the one answer to a request for a client that does not stream.
type Whole struct {
	form
	head   Head
	blocks []*block
	end    ending
}

// NewWhole returns what gathers the answer to r.
func NewWhole(h Head, r *Request) *Whole { return &Whole{form: r.form, head: h} }

// Restart forgets what the answer has said.
func (w *Whole) Restart(int) bool {
	*w = Whole{form: w.form, head: w.head}
	return true
}

// Append takes the turn's next event, of which nothing is sent before the end.
func (w *Whole) Append(dst []byte, _ int, e chat.Event) []byte {
	switch e.Type {
	case chat.EventBlockStart:
		w.start(e.Block)
	case chat.EventBlockDelta:
		if n := len(w.blocks); n > 0 {
			w.tell(w.blocks[n-1], e)
		}
	case chat.EventMessageDelta:
		w.end.note(e)
	}
	return dst
}

func (w *Whole) start(b *chat.Block) {
	if b != nil {
		w.blocks = append(w.blocks, w.begin(b))
	}
}

func (w *Whole) tell(b *block, e chat.Event) {
	b.text.WriteString(e.Text)
	if !w.silent {
		b.text.WriteString(e.Thinking)
	}
	b.signature += e.Signature
	b.call.Tell(e.PartialJSON)
}

// Finish never fails: the upstream itself holds an answer to its format.
func (w *Whole) Finish(dst []byte, _ int) ([]byte, error) { return dst, nil }

// End appends the response; its usage is that of the one answer.
func (w *Whole) End(dst []byte, answers ...chat.Usage) []byte {
	m := newMessage(w.head, answers[0])
	for _, b := range w.blocks {
		m.Content = append(m.Content, b.content())
	}
	m.StopReason, m.StopSequence = w.end.words()
	body, _ := json.Marshal(m) // of this package's own types
	return append(dst, body...)
}

// begin begins a block of an answer.
func (f form) begin(b *chat.Block) *block {
	begun := &block{kind: b.Type}
	begun.text.WriteString(b.Text)
	if tool.IsCall(b) {
		begun.call = f.wrapped.Begin(b)
	}
	return begun
}
