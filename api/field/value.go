package field

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"maxrelay/session/chat"
)

// Value is a JSON value of the request and its place, like messages[2].content.
//
// A request may be 50 MB, nearly all of it a few strings, and an error must name the
// element at fault. So the body is validated once, and afterwards values are slices
// of it: going down a level costs a scan for its end and no copy.
type Value struct {
	Raw []byte // valid JSON without white space around it
	At  string
}

// Parse validates a body. It must be UTF-8, RFC 8259 section 8.1.
func Parse(body []byte) (Value, error) {
	if !utf8.Valid(body) {
		return Value{}, chat.Invalid("", "the body is not valid JSON: it is not UTF-8 text")
	}
	if len(bytes.TrimSpace(body)) == 0 {
		return Value{}, chat.Invalid("", "the body is empty: it must be a JSON object")
	}
	if !json.Valid(body) {
		return Value{}, chat.Invalid("", "the body is not valid JSON%s", where(body))
	}
	return Value{Raw: bytes.TrimSpace(body)}, nil
}

// where tells how far a broken body reads, without repeating any of it.
func where(body []byte) string {
	var v json.RawMessage
	if syntax, ok := errors.AsType[*json.SyntaxError](json.Unmarshal(body, &v)); ok {
		return fmt.Sprintf(": it breaks off or goes wrong at byte %d", syntax.Offset)
	}
	return ""
}

// Null reports whether the value is null, or none at all.
func (v Value) Null() bool { return len(v.Raw) == 0 || v.Raw[0] == 'n' }

// Is reports whether the value begins with that byte, which tells its type.
func (v Value) Is(first byte) bool { return len(v.Raw) > 0 && v.Raw[0] == first }

// Wrong is the error for a value of another type than wanted.
func (v Value) Wrong(want string) error {
	return chat.Invalid(v.At, "must be %s, not %s", want, v.Kind())
}

// Kind names the type of the value, for error messages.
func (v Value) Kind() string {
	if v.Null() {
		return "null"
	}
	switch v.Raw[0] {
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

// Text returns a string.
func (v Value) Text() (string, error) {
	if !v.Is('"') {
		return "", v.Wrong("a string")
	}
	return Unquote(v.Raw), nil
}

// Flag returns a boolean.
func (v Value) Flag() (bool, error) {
	if !v.Is('t') && !v.Is('f') {
		return false, v.Wrong("true or false")
	}
	return v.Raw[0] == 't', nil
}

// Number returns a number.
func (v Value) Number() (float64, error) {
	if v.Kind() != "a number" {
		return 0, v.Wrong("a number")
	}
	f, err := strconv.ParseFloat(string(v.Raw), 64)
	if err != nil {
		return 0, chat.Invalid(v.At, "is out of the range of numbers")
	}
	return f, nil
}

// Whole returns a whole number; 64 and 64.0 are the same JSON number.
func (v Value) Whole() (int64, error) {
	f, err := v.Number()
	if err != nil {
		return 0, err
	}
	if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, chat.Invalid(v.At, "must be a whole number")
	}
	return int64(f), nil
}

// Within returns a number of that range.
func (v Value) Within(low, high float64) (float64, error) {
	f, err := v.Number()
	if err == nil && (f < low || f > high) {
		return 0, chat.Invalid(v.At, "must be between %g and %g", low, high)
	}
	return f, err
}

// Among returns one of the words that the value can be.
func (v Value) Among(words ...string) (string, error) {
	word, err := v.Text()
	if err == nil && !slices.Contains(words, word) {
		return "", chat.Invalid(v.At, "must be one of %s", strings.Join(words, ", "))
	}
	return word, err
}
