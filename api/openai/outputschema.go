package openai

import (
	"encoding/json"
	"maxrelay/api/field"
	"maxrelay/api/schema"
	"slices"
	"strings"
)

// outputSchema returns a schema in the part of JSON Schema that the Messages API's
// structured output takes: anything else there is refused. An object takes no other
// properties than those it names, oneOf is anyOf, and a keyword that cannot be enforced
// is told to the model in the description, as Anthropic's own SDKs do. Answers to a
// strict format are held to the client's schema all the same.
func outputSchema(v field.Value, description string) json.RawMessage {
	out := enforceable(nil, v)
	if members, _ := v.Members("description"); description == "" || members["description"].Raw != nil {
		return out
	}
	return append(append(field.AppendString([]byte(`{"description":`), description), comma(out[1:])...), out[1:]...)
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
func enforceable(dst []byte, v field.Value) []byte {
	if !v.Is('{') {
		return append(dst, v.Raw...)
	}
	var said []string
	description := ""
	dst = append(dst, '{')
	for key, member := range v.Pairs() {
		switch {
		case key == "description" && member.Is('"'):
			description = field.Unquote(member.Raw)
		case key == "oneOf":
			dst = schema.AppendKeyword(schema.AppendKey(dst, "anyOf"), "anyOf", member, enforceable)
		case isEnforced(key, member):
			dst = schema.AppendKeyword(schema.AppendKey(dst, key), key, member, enforceable)
		case key != "additionalProperties" && !slices.Contains(unsaid, key):
			said = append(said, key+": "+string(member.Raw))
		}
	}
	dst = appendClosed(dst, v)
	if len(said) > 0 {
		description = strings.TrimSpace(description + "\n\n{" + strings.Join(said, ", ") + "}")
	}
	if description != "" {
		dst = field.AppendString(schema.AppendKey(dst, "description"), description)
	}
	return append(dst, '}')
}

func isEnforced(key string, v field.Value) bool {
	switch key {
	case "format":
		return v.Is('"') && slices.Contains(enforcedFormats, field.Unquote(v.Raw))
	case "minItems":
		return string(v.Raw) == "0" || string(v.Raw) == "1"
	}
	return slices.Contains(enforced, key)
}

// appendClosed appends additionalProperties. An object that names properties is closed.
// One that names none, or has a schema for the others, cannot be: closed it would hold
// nothing, so the upstream is to say that it does not take it.
func appendClosed(dst []byte, v field.Value) []byte {
	members, _ := v.Members("type", "properties", "additionalProperties")
	others, given := members["additionalProperties"]
	switch {
	case given && others.Is('{'):
		return enforceable(schema.AppendKey(dst, "additionalProperties"), others)
	case given && others.Is('f'), members["properties"].Is('{') && !members["properties"].Empty():
		return append(schema.AppendKey(dst, "additionalProperties"), "false"...)
	}
	return dst
}
