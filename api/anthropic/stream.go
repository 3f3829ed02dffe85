package anthropic

import (
	"encoding/json"
	"strconv"

	"maxrelay/api/field"
	"maxrelay/api/tool"
	"maxrelay/session/chat"
)

// Ping is an event that shows a client that its stream lives.
const Ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n"

// Stream writes an answer as server-sent events. What comes before the first content is
// held back, so that until then a failure has a status of its own and the answer can be
// made by another worker. It runs once per token of every open stream, so deltas are
// appended by hand.
type Stream struct {
	form
	head  Head
	held  []byte // what is not shown yet
	begun bool
	next  int // index of the next block: there is no gap where a block was withheld
	open  bool
	call  tool.Call // the open block's
	end   ending
}

// NewStream returns the encoder of the answer to r.
func NewStream(h Head, r *Request) *Stream { return &Stream{form: r.form, head: h} }

// Restart forgets an attempt that nothing was shown of. It reports false when something was.
func (s *Stream) Restart(int) bool {
	if !s.begun {
		*s = Stream{form: s.form, head: s.head}
	}
	return !s.begun
}

// Append appends the events for the turn's next one.
func (s *Stream) Append(dst []byte, _ int, e chat.Event) []byte {
	if s.begun {
		return s.write(dst, e)
	}
	s.held = s.write(s.held, e)
	if !e.Visible() {
		return dst
	}
	return s.show(dst)
}

// Finish has nothing to say: the upstream itself holds an answer to its format.
func (s *Stream) Finish(dst []byte, _ int) ([]byte, error) { return dst, nil }

// End appends the last events. It is apart from the turn's own because a turn has
// succeeded only when the worker says so, and only then its counts are final.
func (s *Stream) End(dst []byte, answers ...chat.Usage) []byte {
	if !s.begun {
		if len(s.held) == 0 {
			s.held = s.start(s.held, chat.Usage{})
		}
		dst = s.show(dst)
	}
	if s.open {
		dst = s.stop(dst)
	}
	dst = appendEvent(dst, "message_delta", struct {
		Type  string     `json:"type"`
		Delta delta      `json:"delta"`
		Usage deltaUsage `json:"usage"`
	}{"message_delta", s.end.delta(), newDeltaUsage(answers[0])})
	return append(dst, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"...)
}

func (s *Stream) show(dst []byte) []byte {
	dst = append(dst, s.held...)
	s.held, s.begun = nil, true
	return dst
}

func (s *Stream) write(dst []byte, e chat.Event) []byte {
	switch e.Type {
	case chat.EventMessageStart:
		var u chat.Usage
		if e.Usage != nil {
			u = *e.Usage
		}
		return s.start(dst, u)
	case chat.EventBlockStart:
		return s.startBlock(dst, e.Block)
	case chat.EventBlockDelta:
		return s.delta(dst, e)
	case chat.EventBlockStop:
		return s.stop(dst)
	case chat.EventMessageDelta:
		s.end.note(e)
	}
	return dst
}

func (s *Stream) start(dst []byte, u chat.Usage) []byte {
	return appendEvent(dst, "message_start", struct {
		Type    string  `json:"type"`
		Message message `json:"message"`
	}{"message_start", newMessage(s.head, u)})
}

func (s *Stream) startBlock(dst []byte, b *chat.Block) []byte {
	if b == nil {
		return dst
	}
	begun := s.begin(b)
	s.open, s.call = true, begun.call
	s.next++
	return appendEvent(dst, "content_block_start", struct {
		Type    string `json:"type"`
		Index   int    `json:"index"`
		Content any    `json:"content_block"`
	}{"content_block_start", s.next - 1, begun.content()})
}

// delta appends a piece of a block. Wrapped arguments can be unwrapped only when they are
// whole, so they are held back.
func (s *Stream) delta(dst []byte, e chat.Event) []byte {
	switch {
	case e.Text != "":
		return s.piece(dst, `"text_delta","text":`, e.Text)
	case e.Thinking != "" && !s.silent:
		return s.piece(dst, `"thinking_delta","thinking":`, e.Thinking)
	case e.Signature != "":
		return s.piece(dst, `"signature_delta","signature":`, e.Signature)
	case e.PartialJSON != "" && s.call.Wrapped:
		s.call.Tell(e.PartialJSON)
	case e.PartialJSON != "":
		return s.piece(dst, `"input_json_delta","partial_json":`, e.PartialJSON)
	}
	return dst
}

func (s *Stream) piece(dst []byte, kind, text string) []byte {
	dst = append(dst, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":"...)
	dst = strconv.AppendInt(dst, int64(s.next-1), 10)
	dst = append(append(dst, `,"delta":{"type":`...), kind...)
	return append(field.AppendString(dst, text), "}}\n\n"...)
}

func (s *Stream) stop(dst []byte) []byte {
	if s.call.Wrapped {
		dst = s.piece(dst, `"input_json_delta","partial_json":`, s.call.Arguments())
	}
	s.open = false
	dst = append(dst, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":"...)
	dst = strconv.AppendInt(dst, int64(s.next-1), 10)
	return append(dst, "}\n\n"...)
}

// delta is what a message_delta says besides the usage.
type delta struct {
	StopReason   *string   `json:"stop_reason"`
	StopSequence *string   `json:"stop_sequence"`
	StopDetails  *struct{} `json:"stop_details"` // always null
	Container    *struct{} `json:"container"`    // always null
}

func (e ending) delta() delta {
	reason, sequence := e.words()
	return delta{StopReason: reason, StopSequence: sequence}
}

// deltaUsage has the counts that a message_delta repeats, and the final ones.
type deltaUsage struct {
	InputTokens      int       `json:"input_tokens"`
	CacheWriteTokens int       `json:"cache_creation_input_tokens"`
	CacheReadTokens  int       `json:"cache_read_input_tokens"`
	OutputTokens     int       `json:"output_tokens"`
	Details          *details  `json:"output_tokens_details"`
	ServerToolUse    *struct{} `json:"server_tool_use"` // always null
}

func newDeltaUsage(u chat.Usage) deltaUsage {
	all := newUsage(u)
	return deltaUsage{InputTokens: all.InputTokens, CacheWriteTokens: all.CacheWriteTokens, CacheReadTokens: all.CacheReadTokens,
		OutputTokens: all.OutputTokens, Details: all.Details}
}

// appendEvent appends an event of which there are few in a stream.
func appendEvent(dst []byte, name string, v any) []byte {
	data, _ := json.Marshal(v) // of this package's own types
	dst = append(append(dst, "event: "...), name...)
	dst = append(append(dst, "\ndata: "...), data...)
	return append(dst, "\n\n"...)
}
