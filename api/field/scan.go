package field

import (
	"bytes"
	"iter"
	"strconv"
)

// Elements yields an array's elements; of any other value it yields nothing.
func (v Value) Elements() iter.Seq2[int, Value] {
	return func(yield func(int, Value) bool) {
		if !v.Is('[') {
			return
		}
		s := scanner{v.Raw, 1}
		for i := 0; s.next(']'); i++ {
			if !yield(i, Value{s.value(), v.At + "[" + strconv.Itoa(i) + "]"}) {
				return
			}
		}
	}
}

// Empty reports whether an array or object has nothing in it.
func (v Value) Empty() bool {
	s := scanner{v.Raw, 1}
	return (v.Is('[') || v.Is('{')) && !s.next(v.Raw[len(v.Raw)-1])
}

// Depth counts the levels of arrays and objects.
func (v Value) Depth() int {
	depth, deepest := 0, 0
	for s := (scanner{v.Raw, 0}); s.pos < len(s.b); {
		switch s.b[s.pos] {
		case '"':
			s.skipString()
			continue
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
		s.pos++
	}
	return deepest
}

// Count counts the values in the value, give or take those in empty brackets.
func (v Value) Count() (n int) {
	for s := (scanner{v.Raw, 0}); s.pos < len(s.b); {
		switch s.b[s.pos] {
		case '"':
			s.skipString()
			continue
		case ',', '[', '{', ':':
			n++
		}
		s.pos++
	}
	return n
}

// scanner walks the inside of an array or object that is known to be valid.
type scanner struct {
	b   []byte
	pos int
}

// next goes to the next value, over white space, commas and colons, and reports
// whether there is one before the closing bracket.
func (s *scanner) next(closing byte) bool {
	for {
		switch s.b[s.pos] {
		case ' ', '\t', '\r', '\n', ',', ':':
			s.pos++
		default:
			return s.b[s.pos] != closing
		}
	}
}

// value returns the value at the position and goes behind it.
func (s *scanner) value() []byte {
	start := s.pos
	for depth := 0; ; {
		switch s.b[s.pos] {
		case '"':
			s.skipString()
		case '{', '[':
			depth++
			s.pos++
		case '}', ']':
			depth--
			s.pos++
		case ' ', '\t', '\r', '\n', ',', ':':
			s.pos++
			continue
		default:
			s.skipScalar()
		}
		if depth == 0 {
			return s.b[start:s.pos]
		}
	}
}

func (s *scanner) skipString() {
	s.pos++
	for {
		s.pos += bytes.IndexByte(s.b[s.pos:], '"')
		back := s.pos
		for s.b[back-1] == '\\' {
			back--
		}
		s.pos++
		if (s.pos-1-back)%2 == 0 {
			return
		}
	}
}

func (s *scanner) skipScalar() {
	for s.pos < len(s.b) {
		switch s.b[s.pos] {
		case ' ', '\t', '\r', '\n', ',', ']', '}':
			return
		}
		s.pos++
	}
}
