package schema

import (
	"math"
	"slices"
	"strings"

	"maxrelay/api/field"
	"maxrelay/session/chat"
)

// latestDraft is what a schema is held to that names no other.
const latestDraft = "https://json-schema.org/draft/2020-12/schema"

// lawful holds a tool's schema to the vocabulary of JSON Schema 2020-12. Claude Code
// 2.1.330 does so too, and leaves out a tool that breaks it without an error, so the
// client is told here. Of a schema of another draft only properties and required count:
// the CLI looks at no more, and a wrong one costs all tools. This is much cheaper than
// compiling the schemas of every request.
func lawful(v field.Value) error {
	members, err := v.Members("$schema", "properties", "required")
	if err != nil {
		return err
	}
	for _, keyword := range []string{"properties", "required"} {
		if member, ok := members[keyword]; ok && !vocabulary[keyword].holds(member) {
			return chat.Invalid(member.At, "must be %s", vocabulary[keyword].want)
		}
	}
	if draft := members["$schema"]; draft.Is('"') && strings.TrimSuffix(field.Unquote(draft.Raw), "#") != latestDraft {
		return nil
	}
	if keyword, want := unlawful(v); keyword != "" {
		return chat.Invalid(v.At, "must be a JSON Schema (draft 2020-12), in which %s is %s", keyword, want)
	}
	return nil
}

// unlawful returns the first keyword, in this schema or one in it, with a value that it
// cannot have, and what it can have.
func unlawful(v field.Value) (keyword, want string) {
	for key, member := range v.Pairs() {
		if rule, ok := vocabulary[key]; ok && !rule.holds(member) {
			return key, rule.want
		}
		for schema := range In(key, member) {
			if !schema.Is('{') && !schema.Is('t') && !schema.Is('f') {
				return key, "made of schemas, each an object or true or false"
			}
			if keyword, want := unlawful(schema); keyword != "" {
				return keyword, want
			}
		}
	}
	return "", ""
}

// rule is what a keyword's value can be.
type rule struct {
	want  string
	holds func(field.Value) bool
}

var (
	aText     = rule{"a string", func(v field.Value) bool { return v.Is('"') }}
	aFlag     = rule{"true or false", func(v field.Value) bool { return v.Is('t') || v.Is('f') }}
	aNumber   = rule{"a number", func(v field.Value) bool { _, err := v.Number(); return err == nil }}
	aStep     = rule{"a number above 0", func(v field.Value) bool { f, err := v.Number(); return err == nil && f > 0 }}
	aCount    = rule{"a whole number, 0 or more", isCount}
	aList     = rule{"an array", func(v field.Value) bool { return v.Is('[') }}
	names     = rule{"an array of different strings", distinctStrings}
	typeNames = rule{"the name of a type, or an array of different ones", isType}
	oneOrMore = rule{"an array of at least one schema", func(v field.Value) bool { return v.Is('[') && !v.Empty() }}
	byName    = rule{"an object of schemas", func(v field.Value) bool { return v.Is('{') }}
	aSchema   = rule{"a schema, an object or true or false", func(v field.Value) bool { return v.Is('{') || v.Is('t') || v.Is('f') }}
)

var vocabulary = map[string]rule{
	"$anchor": aText, "$comment": aText, "$dynamicAnchor": aText, "$dynamicRef": aText, "$id": aText, "$ref": aText,
	"contentEncoding": aText, "contentMediaType": aText, "description": aText, "format": aText, "pattern": aText, "title": aText,
	"deprecated": aFlag, "readOnly": aFlag, "uniqueItems": aFlag, "writeOnly": aFlag,
	"exclusiveMaximum": aNumber, "exclusiveMinimum": aNumber, "maximum": aNumber, "minimum": aNumber, "multipleOf": aStep,
	"maxContains": aCount, "maxItems": aCount, "maxLength": aCount, "maxProperties": aCount,
	"minContains": aCount, "minItems": aCount, "minLength": aCount, "minProperties": aCount,
	"enum": aList, "examples": aList, "required": names, "type": typeNames,
	"allOf": oneOrMore, "anyOf": oneOrMore, "oneOf": oneOrMore, "prefixItems": oneOrMore,
	"$defs": byName, "definitions": byName, "dependentSchemas": byName, "patternProperties": byName, "properties": byName,
	"additionalProperties": aSchema, "contains": aSchema, "else": aSchema, "if": aSchema, "items": aSchema, "not": aSchema,
	"propertyNames": aSchema, "then": aSchema, "unevaluatedItems": aSchema, "unevaluatedProperties": aSchema,
}

func isCount(v field.Value) bool {
	f, err := v.Number()
	return err == nil && f >= 0 && f == math.Trunc(f)
}

func distinctStrings(v field.Value) bool {
	seen := make(map[string]bool)
	for _, e := range v.Elements() {
		if !e.Is('"') || seen[field.Unquote(e.Raw)] {
			return false
		}
		seen[field.Unquote(e.Raw)] = true
	}
	return v.Is('[')
}

var simpleTypes = []string{"array", "boolean", "integer", "null", "number", "object", "string"}

func isType(v field.Value) bool {
	if v.Is('"') {
		return slices.Contains(simpleTypes, field.Unquote(v.Raw))
	}
	for _, e := range v.Elements() {
		if !e.Is('"') || !slices.Contains(simpleTypes, field.Unquote(e.Raw)) {
			return false
		}
	}
	return distinctStrings(v) && !v.Empty()
}
