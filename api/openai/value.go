package openai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"unicode/utf8"

	"maxrelay/session/chat"
)

// value is a JSON value of the request and its place, like messages[2].content.
//
// A request may be 50 MB, nearly all of it a few strings, and an error must name the
// element at fault. So the body is validated once, and afterwards values are slices
// of it: going down a level costs a scan for its end and no copy.
type value struct {
	raw []byte // valid JSON without white space around it
	at  string
}

// parse validates a body. It must be UTF-8, RFC 8259 section 8.1.
func parse(body []byte) (value, error) {
	if !utf8.Valid(body) {
		return value{}, chat.Invalid("", "the body is not valid JSON: it is not UTF-8 text")
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return value{}, chat.Invalid("", "the body is empty: it must be a JSON object")
	}
	if !json.Valid(body) {
		return value{}, chat.Invalid("", "the body is not valid JSON%s", where(body))
	}
	return value{raw: bytes.TrimSpace(body)}, nil
}

// where tells how far a broken body reads, without repeating any of it.
func where(body []byte) string {
	var v json.RawMessage
	if syntax, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(body, &v)); ok {
		return fmt.Sprintf(": it breaks off or goes wrong at byte %d", syntax.Offset)
	}
	return ""
}

func (v value) null() bool { return len(v.raw) == 0 || v.raw[0] == 'n' }

func (v value) is(first byte) bool { return len(v.raw) > 0 && v.raw[0] == first }

// wrong is the error for a value of another type than wanted.
func (v value) wrong(want string) error {
	return chat.Invalid(v.at, "must be %s, not %s", want, v.kind())
}

func (v value) kind() string {
	if v.null() {
		return "null"
	}
	switch v.raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	}
	return "a number"
}

func (v value) text() (string, error) {
	if !v.is('"') {
		return "", v.wrong("a string")
	}
	return unquote(v.raw), nil
}

func (v value) flag() (bool, error) {
	if !v.is('t') && !v.is('f') {
		return false, v.wrong("true or false")
	}
	return v.raw[0] == 't', nil
}

func (v value) number() (float64, error) {
	if v.kind() != "a number" {
		return 0, v.wrong("a number")
	}
	f, err := strconv.ParseFloat(string(v.raw), 64)
	if err != nil {
		return 0, chat.Invalid(v.at, "is out of the range of numbers")
	}
	return f, nil
}

// whole returns a whole number; 64 and 64.0 are the same JSON number.
func (v value) whole() (int64, error) {
	f, err := v.number()
	if err != nil {
		return 0, err
	}
	if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, chat.Invalid(v.at, "must be a whole number")
	}
	return int64(f), nil
}

// members returns an object's members of the given names; others cost nothing, however
// many a hostile body has. Null members are left out, as null means absent
// everywhere; of two with one name the later counts.
func (v value) members(names ...string) (map[string]value, error) {
	if !v.is('{') {
		return nil, v.wrong("an object")
	}
	members := make(map[string]value, len(names))
	s := scanner{v.raw, 1}
	for s.next('}') {
		name, known := find(names, s.value())
		s.next(':')
		raw := s.value()
		if !known {
			continue
		}
		if members[name] = (value{raw, v.member(name)}); members[name].null() {
			delete(members, name)
		}
	}
	return members, nil
}

// hasNull reports whether an object has a member of that name that is null.
func (v value) hasNull(name string) bool {
	s := scanner{v.raw, 1}
	for s.next('}') {
		_, named := find([]string{name}, s.value())
		s.next(':')
		if raw := s.value(); named && raw[0] == 'n' {
			return true
		}
	}
	return false
}

func (v value) member(name string) string {
	if v.at == "" {
		return name
	}
	return v.at + "." + name
}

// find returns the name that a key spells, which may have escapes.
func find(names []string, key []byte) (string, bool) {
	if bytes.IndexByte(key, '\\') >= 0 {
		key = []byte(`"` + unquote(key) + `"`)
	}
	for _, name := range names {
		if string(key[1:len(key)-1]) == name {
			return name, true
		}
	}
	return "", false
}

// elements yields an array's elements; of any other value it yields nothing.
func (v value) elements() iter.Seq2[int, value] {
	return func(yield func(int, value) bool) {
		if !v.is('[') {
			return
		}
		s := scanner{v.raw, 1}
		for i := 0; s.next(']'); i++ {
			if !yield(i, value{s.value(), v.at + "[" + strconv.Itoa(i) + "]"}) {
				return
			}
		}
	}
}

// empty reports whether an array or object has nothing in it.
func (v value) empty() bool {
	s := scanner{v.raw, 1}
	return (v.is('[') || v.is('{')) && !s.next(v.raw[len(v.raw)-1])
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
