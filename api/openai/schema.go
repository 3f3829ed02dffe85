package openai

import (
	"bytes"
	"iter"

	"maxrelay/session/chat"
)

// Bounds of a JSON Schema in a request, far above what OpenAI takes. They keep the
// work of walking one small.
const (
	maxSchemaBytes = 128 << 10
	maxSchemaDepth = 64
)

// schema checks that v can be walked as a JSON Schema.
func (v value) schema() error {
	if !v.is('{') {
		return v.wrong("a JSON Schema, an object")
	}
	if len(v.raw) > maxSchemaBytes {
		return chat.Invalid(v.at, "must not be longer than %d bytes", maxSchemaBytes)
	}
	if v.depth() > maxSchemaDepth {
		return chat.Invalid(v.at, "must not be nested deeper than %d levels", maxSchemaDepth)
	}
	return nil
}

// depth counts the levels of arrays and objects.
func (v value) depth() int {
	depth, deepest := 0, 0
	for s := (scanner{v.raw, 0}); s.pos < len(s.b); {
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

// pairs yields an object's members in their order; of any other value it yields
// nothing. They keep the object's place: their names are the caller's words, which no
// error repeats.
func (v value) pairs() iter.Seq2[string, value] {
	return func(yield func(string, value) bool) {
		if !v.is('{') {
			return
		}
		s := scanner{v.raw, 1}
		for s.next('}') {
			key := unquote(s.value())
			s.next(':')
			if !yield(key, value{s.value(), v.at}) {
				return
			}
		}
	}
}

// holding says where a keyword's value has schemas in it.
type holding int

const (
	itself holding = 1 + iota // the value, or each element of an array
	each                      // each member of the value
)

// applicators are the keywords of all drafts that have schemas in them.
var applicators = map[string]holding{
	"additionalItems": itself, "additionalProperties": itself, "allOf": itself, "anyOf": itself, "contains": itself, "else": itself,
	"if": itself, "items": itself, "not": itself, "oneOf": itself, "prefixItems": itself, "propertyNames": itself, "then": itself,
	"unevaluatedItems": itself, "unevaluatedProperties": itself,
	"$defs": each, "definitions": each, "dependentSchemas": each, "patternProperties": each, "properties": each,
}

// schemas yields the schemas in a keyword's value.
func (v value) schemas(keyword string) iter.Seq[value] {
	return func(yield func(value) bool) {
		switch holding := applicators[keyword]; {
		case holding == each:
			for _, schema := range v.pairs() {
				if !yield(schema) {
					return
				}
			}
		case holding == itself && v.is('['):
			for _, schema := range v.elements() {
				if !yield(schema) {
					return
				}
			}
		case holding == itself:
			yield(v)
		}
	}
}

// writer appends a schema in another form.
type writer func(dst []byte, schema value) []byte

// appendKeyword appends a keyword's value, the schemas in it in write's form.
func appendKeyword(dst []byte, keyword string, v value, write writer) []byte {
	switch holding := applicators[keyword]; {
	case holding == each && v.is('{'):
		return appendObject(dst, v, func(dst []byte, _ string, schema value) []byte { return write(dst, schema) })
	case holding == itself && v.is('['):
		dst = append(dst, '[')
		for i, schema := range v.elements() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = write(dst, schema)
		}
		return append(dst, ']')
	case holding == itself && v.is('{'):
		return write(dst, v)
	}
	return append(dst, v.raw...)
}

// appendObject appends an object, each member's value as write gives it.
func appendObject(dst []byte, v value, write func(dst []byte, key string, member value) []byte) []byte {
	dst = append(dst, '{')
	for key, member := range v.pairs() {
		dst = write(appendKey(dst, key), key, member)
	}
	return append(dst, '}')
}

// appendKey appends a key and its colon, and the comma before it where one is due.
func appendKey(dst []byte, key string) []byte {
	if !bytes.HasSuffix(dst, []byte("{")) {
		dst = append(dst, ',')
	}
	return append(appendString(dst, key), ':')
}
