package openai

import (
	"encoding/json"
	"slices"
	"strings"
)

// outputSchema returns a schema in the part of JSON Schema that the Messages API's
// structured output takes: anything else there is refused. An object takes no other
// properties than those it names, oneOf is anyOf, and a keyword that cannot be enforced
// is told to the model in the description, as Anthropic's own SDKs do. Answers to a
// strict format are held to the client's schema all the same.
func outputSchema(schema value, description string) json.RawMessage {
	out := enforceable(nil, schema)
	if members, _ := schema.members("description"); description == "" || members["description"].raw != nil {
		return out
	}
	return append(append(appendString([]byte(`{"description":`), description), comma(out[1:])...), out[1:]...)
}

// comma is what goes before the rest of an object.
func comma(rest []byte) string {
	if rest[0] == '}' {
		return ""
	}
	return ","
}

// enforced are the keywords that structured output takes as they are.
var enforced = []string{
	"$defs", "$ref", "allOf", "anyOf", "const", "default", "definitions", "enum", "items", "properties", "required", "title", "type",
}

// enforcedFormats are the formats of strings that it knows.
var enforcedFormats = []string{"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"}

// unsaid are the keywords that say nothing of the value.
var unsaid = []string{"$comment", "$id", "$schema"}

// enforceable appends a schema without what cannot be enforced.
func enforceable(dst []byte, schema value) []byte {
	if !schema.is('{') {
		return append(dst, schema.raw...)
	}
	var said []string
	description := ""
	dst = append(dst, '{')
	for key, v := range schema.pairs() {
		switch {
		case key == "description" && v.is('"'):
			description = unquote(v.raw)
		case key == "oneOf":
			dst = appendKeyword(appendKey(dst, "anyOf"), "anyOf", v, enforceable)
		case isEnforced(key, v):
			dst = appendKeyword(appendKey(dst, key), key, v, enforceable)
		case key != "additionalProperties" && !slices.Contains(unsaid, key):
			said = append(said, key+": "+string(v.raw))
		}
	}
	dst = appendClosed(dst, schema)
	if len(said) > 0 {
		description = strings.TrimSpace(description + "\n\n{" + strings.Join(said, ", ") + "}")
	}
	if description != "" {
		dst = appendString(appendKey(dst, "description"), description)
	}
	return append(dst, '}')
}

func isEnforced(key string, v value) bool {
	switch key {
	case "format":
		return v.is('"') && slices.Contains(enforcedFormats, unquote(v.raw))
	case "minItems":
		return string(v.raw) == "0" || string(v.raw) == "1"
	}
	return slices.Contains(enforced, key)
}

// appendClosed appends additionalProperties. An object that names properties is closed.
// One that names none, or has a schema for the others, cannot be: closed it would hold
// nothing, so the upstream is to say that it does not take it.
func appendClosed(dst []byte, schema value) []byte {
	members, _ := schema.members("type", "properties", "additionalProperties")
	others, given := members["additionalProperties"]
	switch {
	case given && others.is('{'):
		return enforceable(appendKey(dst, "additionalProperties"), others)
	case given && others.is('f'), members["properties"].is('{') && !members["properties"].empty():
		return append(appendKey(dst, "additionalProperties"), "false"...)
	}
	return dst
}
