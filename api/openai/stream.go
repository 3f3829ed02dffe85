package openai

import (
	"encoding/json"
	"strconv"

	"maxrelay/session/chat"
)

// Stream writes a turn's events as server-sent events, one chat.completion.chunk a
// delta. It runs once per token of every open stream, so what the chunks of one
// stream have in common is encoded once and the rest appended by hand.
type Stream struct {
	open, shut string // a chunk up to its choices' delta, and from there on
	include    bool
	head       string // a chunk up to its choices
	begun      bool   // the role went out
	stop       chat.StopReason
}

// NewStream returns the encoder of one answer.
func NewStream(h Head, includeUsage bool) *Stream {
	b := appendString([]byte(`data: {"id":`), h.ID)
	b = append(b, `,"object":"chat.completion.chunk","created":`...)
	b = strconv.AppendInt(b, h.Created, 10)
	b = append(b, `,"model":`...)
	b = appendString(b, h.Model)
	b = append(b, `,"system_fingerprint":`...)
	b = appendString(b, h.Fingerprint)
	s := &Stream{head: string(b), include: includeUsage}
	s.open = s.head + `,"choices":[{"index":0,"delta":`
	s.shut = `}]}` + "\n\n"
	if includeUsage {
		s.shut = `}],"usage":null}` + "\n\n"
	}
	return s
}

// Begun reports whether any chunk was written.
func (s *Stream) Begun() bool { return s.begun }

// Append appends the chunks for the turn's next event; many events have none.
func (s *Stream) Append(dst []byte, e chat.Event) []byte {
	switch e.Type {
	case chat.EventBlockDelta:
		if e.Thinking != "" {
			dst = s.delta(dst, `{"reasoning_content":`, e.Thinking)
		}
		if e.Text != "" {
			dst = s.delta(dst, `{"content":`, e.Text)
		}
	case chat.EventMessageDelta:
		if e.StopReason != "" {
			s.stop = e.StopReason
		}
	}
	return dst
}

// Finish appends the chunk with the finish reason, the usage if it was asked for, and
// the end mark. It is apart from the events because a turn has succeeded only when
// the worker says so.
func (s *Stream) Finish(dst []byte, u chat.Usage) []byte {
	dst = s.role(dst)
	dst = append(append(dst, s.open...), `{},"logprobs":null,"finish_reason":`...)
	dst = appendString(dst, FinishReason(s.stop))
	dst = append(dst, s.shut...)
	if s.include {
		usage, _ := json.Marshal(UsageOf(u)) // ints only
		dst = append(append(dst, s.head...), `,"choices":[],"usage":`...)
		dst = append(append(dst, usage...), "}\n\n"...)
	}
	return append(dst, "data: [DONE]\n\n"...)
}

func (s *Stream) delta(dst []byte, key, text string) []byte {
	dst = s.role(dst)
	dst = append(append(dst, s.open...), key...)
	dst = appendString(dst, text)
	dst = append(dst, `},"logprobs":null,"finish_reason":null`...)
	return append(dst, s.shut...)
}

// role appends the first chunk, once.
func (s *Stream) role(dst []byte) []byte {
	if s.begun {
		return dst
	}
	s.begun = true
	dst = append(dst, s.open...)
	dst = append(dst, `{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null`...)
	return append(dst, s.shut...)
}
