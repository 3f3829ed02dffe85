package openai

import (
	"strconv"

	"maxrelay/session/chat"
)

// beginCall appends the chunk that names a call.
func (s *ChoiceStream) beginCall(dst []byte, b *chat.Block) []byte {
	s.call, s.calling = s.begin(b), true
	s.end.calls++
	dst = s.openCall(dst)
	dst = appendString(append(dst, `,"id":`...), s.call.id)
	dst = appendString(append(dst, `,"type":"function","function":{"name":`...), s.call.name)
	return s.shutCall(append(dst, `,"arguments":""`...))
}

// arguments appends a piece of the arguments. Wrapped ones can be unwrapped only when
// they are whole, so they are held back.
func (s *ChoiceStream) arguments(dst []byte, piece string) []byte {
	if s.call.wrapped {
		s.call.tell(piece)
		return dst
	}
	s.call.streamed = true
	return s.argumentsDelta(dst, piece)
}

// endCall appends what the open call still has to tell.
func (s *ChoiceStream) endCall(dst []byte) []byte {
	if !s.calling {
		return dst
	}
	s.calling = false
	if s.call.streamed {
		return dst
	}
	return s.argumentsDelta(dst, s.call.rest())
}

func (s *ChoiceStream) argumentsDelta(dst []byte, piece string) []byte {
	dst = s.openCall(dst)
	return s.shutCall(appendString(append(dst, `,"function":{"arguments":`...), piece))
}

func (s *ChoiceStream) openCall(dst []byte) []byte {
	dst = append(append(s.role(dst), s.open...), `{"tool_calls":[{"index":`...)
	return strconv.AppendInt(dst, int64(s.end.calls-1), 10)
}

func (s *ChoiceStream) shutCall(dst []byte) []byte {
	return append(append(dst, `}}]},"logprobs":null,"finish_reason":null`...), s.shut...)
}
