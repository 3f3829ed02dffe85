package field

import (
	"bytes"
	"cmp"
	"iter"
	"slices"
	"strings"

	"maxrelay/session/chat"
)

// Members returns an object's members of the given names; others cost nothing, however
// many a hostile body has. Null members are left out, as null means absent
// everywhere; of two with one name the later counts.
func (v Value) Members(names ...string) (map[string]Value, error) {
	if !v.Is('{') {
		return nil, v.Wrong("an object")
	}
	members := make(map[string]Value, len(names))
	s := scanner{v.Raw, 1}
	for s.next('}') {
		name, known := find(names, s.value())
		s.next(':')
		raw := s.value()
		if !known {
			continue
		}
		if members[name] = (Value{raw, v.Member(name)}); members[name].Null() {
			delete(members, name)
		}
	}
	return members, nil
}

// HasNull reports whether an object has a member of that name that is null.
func (v Value) HasNull(name string) bool {
	s := scanner{v.Raw, 1}
	for s.next('}') {
		_, named := find([]string{name}, s.value())
		s.next(':')
		if raw := s.value(); named && raw[0] == 'n' {
			return true
		}
	}
	return false
}

// Member names the place of a member.
func (v Value) Member(name string) string {
	if v.At == "" {
		return name
	}
	return v.At + "." + name
}

// find returns the name that a key spells, which may have escapes.
func find(names []string, key []byte) (string, bool) {
	if bytes.IndexByte(key, '\\') >= 0 {
		key = []byte(`"` + Unquote(key) + `"`)
	}
	for _, name := range names {
		if string(key[1:len(key)-1]) == name {
			return name, true
		}
	}
	return "", false
}

// Pairs yields an object's members in their order; of any other value it yields
// nothing. They keep the object's place: their names are the caller's words, which no
// error repeats.
func (v Value) Pairs() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		if !v.Is('{') {
			return
		}
		s := scanner{v.Raw, 1}
		for s.next('}') {
			key := Unquote(s.value())
			s.next(':')
			if !yield(key, Value{s.value(), v.At}) {
				return
			}
		}
	}
}

// Require returns a member that must be there.
func (v Value) Require(name, what string) (Value, error) {
	members, err := v.Members(name)
	if err != nil {
		return Value{}, err
	}
	m, ok := members[name]
	if !ok {
		return Value{}, chat.Invalid(v.Member(name), "is required: %s", what)
	}
	return m, nil
}

// RequireText returns a string member that must be there.
func (v Value) RequireText(name, what string) (string, error) {
	m, err := v.Require(name, what)
	if err != nil {
		return "", err
	}
	return m.Text()
}

// Type returns the member type, which says what the others of an object mean.
func (v Value) Type(what string) (kind Value, name string, err error) {
	if kind, err = v.Require("type", what); err != nil {
		return Value{}, "", err
	}
	name, err = kind.Text()
	return kind, name, err
}

// Object reads members of an object. The first error stays; what is read after it does
// not count.
type Object struct {
	Members map[string]Value
	Ignored []string // names of parameters that were given and are not applied
	Err     error
}

// ParseObject reads a body that must be an object, as far as its members are named.
func ParseObject(body []byte, names ...string) (Object, error) {
	root, err := Parse(body)
	if err != nil {
		return Object{}, err
	}
	if !root.Is('{') {
		return Object{}, chat.Invalid("", "the body must be a JSON object, not %s", root.Kind())
	}
	members, err := root.Members(names...)
	return Object{Members: members}, err
}

// Fail notes an error.
func (o *Object) Fail(err error) {
	o.Err = cmp.Or(o.Err, err)
}

// Ignore lists a parameter as given and not applied, once.
func (o *Object) Ignore(name string) {
	if !slices.Contains(o.Ignored, name) {
		o.Ignored = append(o.Ignored, name)
	}
}

// Flag returns a boolean member; none is false.
func (o *Object) Flag(name string) bool {
	v, ok := o.Members[name]
	if !ok {
		return false
	}
	b, err := v.Flag()
	o.Fail(err)
	return b
}

// Text returns a string member; none is "".
func (o *Object) Text(name string) string {
	v, ok := o.Members[name]
	if !ok {
		return ""
	}
	s, err := v.Text()
	o.Fail(err)
	return s
}

// Required returns a string member that must be there and not blank.
func (o *Object) Required(name, what string) string {
	text := o.Text(name)
	if strings.TrimSpace(text) == "" {
		o.Fail(chat.Invalid(name, "is required: %s", what))
	}
	return text
}

// Words returns the strings in a list, none of which may be empty or longer than most
// bytes.
func (o *Object) Words(list []Value, most int) (words []string) {
	for _, v := range list {
		s, err := v.Text()
		o.Fail(err)
		switch {
		case err != nil:
		case s == "":
			o.Fail(chat.Invalid(v.At, "must not be empty"))
		case len(s) > most:
			o.Fail(chat.Invalid(v.At, "must be at most %d bytes long", most))
		}
		words = append(words, s)
	}
	return words
}

// AtMost returns the elements of an array that must not have more than n.
func (o *Object) AtMost(v Value, n int, what string) []Value {
	var list []Value
	for i, e := range v.Elements() {
		if i == n {
			o.Fail(chat.Invalid(v.At, "must hold at most %d %s", n, what))
			break
		}
		list = append(list, e)
	}
	return list
}
