package schema

import (
	"bytes"
	"iter"

	"maxrelay/api/field"
	"maxrelay/session/chat"
)

// Bounds of a JSON Schema in a request, far above what OpenAI takes. They keep the
// work of walking one small.
const (
	MaxBytes = 128 << 10
	MaxDepth = 64
)

// Check refuses what cannot be walked as a JSON Schema.
func Check(v field.Value) error {
	if !v.Is('{') {
		return v.Wrong("a JSON Schema, an object")
	}
	if len(v.Raw) > MaxBytes {
		return chat.Invalid(v.At, "must not be longer than %d bytes", MaxBytes)
	}
	if v.Depth() > MaxDepth {
		return chat.Invalid(v.At, "must not be nested deeper than %d levels", MaxDepth)
	}
	return nil
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

// In yields the schemas in a keyword's value.
func In(keyword string, v field.Value) iter.Seq[field.Value] {
	return func(yield func(field.Value) bool) {
		switch holding := applicators[keyword]; {
		case holding == each:
			for _, schema := range v.Pairs() {
				if !yield(schema) {
					return
				}
			}
		case holding == itself && v.Is('['):
			for _, schema := range v.Elements() {
				if !yield(schema) {
					return
				}
			}
		case holding == itself:
			yield(v)
		}
	}
}

// Writer appends a schema in another form.
type Writer func(dst []byte, schema field.Value) []byte

// AppendKeyword appends a keyword's value, the schemas in it in write's form.
func AppendKeyword(dst []byte, keyword string, v field.Value, write Writer) []byte {
	switch holding := applicators[keyword]; {
	case holding == each && v.Is('{'):
		return AppendObject(dst, v, func(dst []byte, _ string, schema field.Value) []byte { return write(dst, schema) })
	case holding == itself && v.Is('['):
		dst = append(dst, '[')
		for i, schema := range v.Elements() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = write(dst, schema)
		}
		return append(dst, ']')
	case holding == itself && v.Is('{'):
		return write(dst, v)
	}
	return append(dst, v.Raw...)
}

// AppendObject appends an object, each member's value as write gives it.
func AppendObject(dst []byte, v field.Value, write func(dst []byte, key string, member field.Value) []byte) []byte {
	dst = append(dst, '{')
	for key, member := range v.Pairs() {
		dst = write(AppendKey(dst, key), key, member)
	}
	return append(dst, '}')
}

// AppendKey appends a key and its colon, and the comma before it where one is due.
func AppendKey(dst []byte, key string) []byte {
	if !bytes.HasSuffix(dst, []byte("{")) {
		dst = append(dst, ',')
	}
	return append(field.AppendString(dst, key), ':')
}
