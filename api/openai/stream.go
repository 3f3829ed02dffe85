package openai

import (
	"encoding/json"
	"strconv"
	"strings"

	"maxrelay/api/field"
	"maxrelay/api/tool"
	"maxrelay/session/chat"
)

// Stream writes the answers to one request as server-sent events, one
// chat.completion.chunk a delta. It runs once per token of every open stream, so what
// the chunks of one stream have in common is encoded once and the rest appended by
// hand.
type Stream struct {
	head    string // a chunk up to its choices
	include bool
	choices []choice
}

// NewStream returns the encoder of the answers to r.
func NewStream(h Head, r *Request) *Stream {
	b := field.AppendString([]byte(`data: {"id":`), h.ID)
	b = append(b, `,"object":"chat.completion.chunk","created":`...)
	b = strconv.AppendInt(b, h.Created, 10)
	b = append(b, `,"model":`...)
	b = field.AppendString(b, h.Model)
	b = append(b, `,"system_fingerprint":`...)
	b = field.AppendString(b, h.Fingerprint)
	s := &Stream{head: string(b), include: r.IncludeUsage, choices: make([]choice, max(1, r.N))}
	shut := `}]}` + "\n\n"
	if s.include {
		shut = `}],"usage":null}` + "\n\n"
	}
	for i := range s.choices {
		open := s.head + `,"choices":[{"index":` + strconv.Itoa(i) + `,"delta":`
		s.choices[i] = choice{form: r.form(), open: open, shut: shut}
	}
	return s
}

// Append appends the chunks for the next event of the answer with that index; many events
// have none. The chunks of several answers may follow one another in any order.
func (s *Stream) Append(dst []byte, answer int, e chat.Event) []byte {
	return s.choices[answer].append(dst, e)
}

// Restart reports whether an answer can be made anew: nothing of it was shown.
func (s *Stream) Restart(answer int) bool { return !s.choices[answer].begun }

// Finish appends an answer's chunk with the finish reason. The error is one of
// Format.Check: what was shown does not keep to the format.
func (s *Stream) Finish(dst []byte, answer int) ([]byte, error) {
	return s.choices[answer].finish(dst)
}

// End appends, when all answers are finished, their usage if it was asked for, and the
// end mark.
func (s *Stream) End(dst []byte, answers ...chat.Usage) []byte {
	if s.include {
		usage, _ := json.Marshal(UsageOf(answers...)) // ints only
		dst = append(append(dst, s.head...), `,"choices":[],"usage":`...)
		dst = append(append(dst, usage...), "}\n\n"...)
	}
	return append(dst, "data: [DONE]\n\n"...)
}

// choice writes one answer of a stream.
type choice struct {
	form
	open, shut string // a chunk up to its choice's delta, and from there on
	begun      bool   // the role went out
	end        ending

	call    tool.Call // the last one
	calling bool      // it is being told
	told    bool      // the client has some of its arguments

	cut  objectCut       // of the format json_object
	said strings.Builder // the text, where its format is to be checked
}

func (s *choice) append(dst []byte, e chat.Event) []byte {
	switch e.Type {
	case chat.EventBlockStart:
		if tool.IsCall(e.Block) {
			return s.beginCall(s.endCall(dst), e.Block)
		}
	case chat.EventBlockDelta:
		if e.Thinking != "" {
			dst = s.delta(dst, `{"reasoning_content":`, e.Thinking)
		}
		if e.Text != "" {
			dst = s.text(dst, e.Text)
		}
		if e.PartialJSON != "" && s.calling {
			dst = s.arguments(dst, e.PartialJSON)
		}
	case chat.EventBlockStop:
		return s.endCall(dst)
	case chat.EventMessageDelta:
		s.end.note(e)
	}
	return dst
}

// finish appends the chunk with the finish reason. It is apart from the events because
// a turn has succeeded only when the worker says so.
func (s *choice) finish(dst []byte) ([]byte, error) {
	if s.format.Checked() && s.end.formed() {
		if _, err := s.format.Check(s.said.String()); err != nil {
			return dst, err
		}
	}
	dst = s.role(s.endCall(dst))
	if s.end.stop == chat.StopRefusal {
		dst = s.delta(dst, `{"refusal":`, refused)
	}
	dst = append(append(dst, s.open...), `{},"logprobs":null,"finish_reason":`...)
	dst = field.AppendString(dst, s.end.reason())
	return append(dst, s.shut...), nil
}

// text appends what of a piece of text is to be shown.
func (s *choice) text(dst []byte, piece string) []byte {
	if s.format.Checked() {
		s.said.WriteString(piece)
		if s.format.JSON {
			if piece = s.cut.next(piece); piece == "" {
				return dst
			}
		}
	}
	return s.delta(dst, `{"content":`, piece)
}

func (s *choice) delta(dst []byte, key, text string) []byte {
	dst = s.role(dst)
	dst = append(append(dst, s.open...), key...)
	dst = field.AppendString(dst, text)
	dst = append(dst, `},"logprobs":null,"finish_reason":null`...)
	return append(dst, s.shut...)
}

// role appends the first chunk, once.
func (s *choice) role(dst []byte) []byte {
	if s.begun {
		return dst
	}
	s.begun = true
	dst = append(dst, s.open...)
	dst = append(dst, `{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null`...)
	return append(dst, s.shut...)
}
