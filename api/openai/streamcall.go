package openai

import (
	"strconv"

	"maxrelay/api/field"
	"maxrelay/session/chat"
)

// beginCall appends the chunk that names a call.
func (s *choice) beginCall(dst []byte, b *chat.Block) []byte {
	s.call, s.calling, s.told = s.wrapped.Begin(b), true, false
	s.end.calls++
	dst = s.openCall(dst)
	dst = field.AppendString(append(dst, `,"id":`...), s.call.ID)
	dst = field.AppendString(append(dst, `,"type":"function","function":{"name":`...), s.call.Name)
	return s.shutCall(append(dst, `,"arguments":""`...))
}

// arguments appends a piece of the arguments. Wrapped ones can be unwrapped only when
// they are whole, so they are held back.
func (s *choice) arguments(dst []byte, piece string) []byte {
	if s.call.Wrapped {
		s.call.Tell(piece)
		return dst
	}
	s.told = true
	return s.argumentsDelta(dst, piece)
}

// endCall appends what the open call still has to tell.
func (s *choice) endCall(dst []byte) []byte {
	if !s.calling {
		return dst
	}
	s.calling = false
	if s.told {
		return dst
	}
	return s.argumentsDelta(dst, s.call.Arguments())
}

func (s *choice) argumentsDelta(dst []byte, piece string) []byte {
	dst = s.openCall(dst)
	return s.shutCall(field.AppendString(append(dst, `,"function":{"arguments":`...), piece))
}

func (s *choice) openCall(dst []byte) []byte {
	dst = append(append(s.role(dst), s.open...), `{"tool_calls":[{"index":`...)
	return strconv.AppendInt(dst, int64(s.end.calls-1), 10)
}

func (s *choice) shutCall(dst []byte) []byte {
	return append(append(dst, `}}]},"logprobs":null,"finish_reason":null`...), s.shut...)
}
