package schema

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"

	"maxrelay/api/field"
	"maxrelay/session/chat"
)

// wrapping is the one property of the object around a schema that cannot stand at the
// top of a tool.
const wrapping = "value"

// Arguments returns the schema of a function's arguments as the CLI takes it.
// Claude Code 2.1.330 drops all tools of a list, without an error, when one's schema has
// not "type":"object" at its top, and drops the tool or its schema when there is anyOf,
// oneOf or allOf, or a property's name with other than letters, digits, "_", "." and
// "-". A schema that merely leaves its type out gets it. Any other is wrapped in an
// object of one property, which loses nothing; its arguments are unwrapped on their way
// back.
func Arguments(v field.Value) (schema json.RawMessage, wrapped bool, err error) {
	if err := Check(v); err != nil {
		return nil, false, err
	}
	if err := lawful(v); err != nil {
		return nil, false, err
	}
	members, err := v.Members("type", "properties", "anyOf", "oneOf", "allOf", "$ref", "$dynamicRef")
	if err != nil {
		return nil, false, err
	}
	kind, typed := members["type"]
	if v.HasNull("type") { // not absent: the CLI drops such a tool in silence
		return nil, false, chat.Invalid(v.Member("type"), "must be object, not null")
	}
	if typed && !mayBeObject(kind) {
		return nil, false, chat.Invalid(kind.At, "must be object: the arguments of a function are a JSON object")
	}
	switch {
	case !plain(members):
		return wrap(v), true, nil
	case typed:
		return json.RawMessage(v.Raw), false, nil
	}
	return typedObject(v), false, nil
}

func mayBeObject(kind field.Value) bool {
	if kind.Is('"') {
		return field.Unquote(kind.Raw) == "object"
	}
	for _, k := range kind.Elements() {
		if k.Is('"') && field.Unquote(k.Raw) == "object" {
			return true
		}
	}
	return false
}

// propertyName is what the Messages API takes as a name at the top of a tool's schema.
var propertyName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,64}$`)

// plain reports whether the schema can stand at the top of a tool, its type aside.
func plain(members map[string]field.Value) bool {
	for keyword := range members {
		if keyword != "type" && keyword != "properties" {
			return false
		}
	}
	if kind, ok := members["type"]; ok && !kind.Is('"') {
		return false
	}
	for name := range members["properties"].Pairs() {
		if !propertyName.MatchString(name) {
			return false
		}
	}
	return true
}

func typedObject(v field.Value) json.RawMessage {
	out := []byte(`{"type":"object"`)
	for key, member := range v.Pairs() {
		out = append(AppendKey(out, key), member.Raw...)
	}
	return append(out, '}')
}

func wrap(v field.Value) json.RawMessage {
	out := append([]byte(`{"type":"object","properties":{"`+wrapping+`":`), rebase(nil, v)...)
	return append(out, `},"required":["`+wrapping+`"],"additionalProperties":false}`...)
}

// rebase appends a schema whose references to itself are right one level further down.
func rebase(dst []byte, schema field.Value) []byte {
	if !schema.Is('{') {
		return append(dst, schema.Raw...)
	}
	return AppendObject(dst, schema, func(dst []byte, key string, v field.Value) []byte {
		if key == "$ref" && v.Is('"') {
			return field.AppendString(dst, rebased(field.Unquote(v.Raw)))
		}
		return AppendKeyword(dst, key, v, rebase)
	})
}

func rebased(ref string) string {
	if pointer, ok := strings.CutPrefix(ref, "#"); ok && (pointer == "" || pointer[0] == '/') {
		return "#/properties/" + wrapping + pointer
	}
	return ref
}

// WrapArguments gives the arguments of a call the form of a wrapped schema; none are an
// empty object.
func WrapArguments(input json.RawMessage) json.RawMessage {
	if len(bytes.TrimSpace(input)) == 0 {
		input = json.RawMessage("{}")
	}
	out := append([]byte(`{"`+wrapping+`":`), input...)
	return append(out, '}')
}

// UnwrapArguments returns a call's arguments as the client's schema has them. What is
// not in the wrapping, because the answer was cut or the model did not keep to it, stays
// as it is.
func UnwrapArguments(arguments []byte) []byte {
	if !json.Valid(arguments) {
		return arguments
	}
	var inner []byte
	n := 0
	for key, v := range (field.Value{Raw: bytes.TrimSpace(arguments)}).Pairs() {
		if n++; key == wrapping {
			inner = v.Raw
		}
	}
	if n != 1 || inner == nil {
		return arguments
	}
	return inner
}
