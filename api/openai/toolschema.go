package openai

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"

	"maxrelay/session/chat"
)

// wrapping is the one property of the object around a schema that cannot stand at the
// top of a tool.
const wrapping = "value"

// argumentSchema returns the schema of a function's arguments as the CLI takes it.
// Claude Code 2.1.330 drops all tools of a list, without an error, when one's schema has
// not "type":"object" at its top, and drops the tool or its schema when there is anyOf,
// oneOf or allOf, or a property's name with other than letters, digits, "_", "." and
// "-". A schema that merely leaves its type out gets it. Any other is wrapped in an
// object of one property, which loses nothing; its arguments are unwrapped on their way
// back.
func argumentSchema(v value) (schema json.RawMessage, wrapped bool, err error) {
	if err := v.schema(); err != nil {
		return nil, false, err
	}
	if err := v.lawful(); err != nil {
		return nil, false, err
	}
	members, err := v.members("type", "properties", "anyOf", "oneOf", "allOf", "$ref", "$dynamicRef")
	if err != nil {
		return nil, false, err
	}
	kind, typed := members["type"]
	if v.hasNull("type") { // not absent: the CLI drops such a tool in silence
		return nil, false, chat.Invalid(v.member("type"), "must be object, not null")
	}
	if typed && !mayBeObject(kind) {
		return nil, false, chat.Invalid(kind.at, "must be object: the arguments of a function are a JSON object")
	}
	switch {
	case !plain(members):
		return wrap(v), true, nil
	case typed:
		return json.RawMessage(v.raw), false, nil
	}
	return typedObject(v), false, nil
}

func mayBeObject(kind value) bool {
	if kind.is('"') {
		return unquote(kind.raw) == "object"
	}
	for _, k := range kind.elements() {
		if k.is('"') && unquote(k.raw) == "object" {
			return true
		}
	}
	return false
}

// propertyName is what the Messages API takes as a name at the top of a tool's schema.
var propertyName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,64}$`)

// plain reports whether the schema can stand at the top of a tool, its type aside.
func plain(members map[string]value) bool {
	for keyword := range members {
		if keyword != "type" && keyword != "properties" {
			return false
		}
	}
	if kind, ok := members["type"]; ok && !kind.is('"') {
		return false
	}
	for name := range members["properties"].pairs() {
		if !propertyName.MatchString(name) {
			return false
		}
	}
	return true
}

func typedObject(v value) json.RawMessage {
	out := []byte(`{"type":"object"`)
	for key, member := range v.pairs() {
		out = append(appendKey(out, key), member.raw...)
	}
	return append(out, '}')
}

func wrap(v value) json.RawMessage {
	out := append([]byte(`{"type":"object","properties":{"`+wrapping+`":`), rebase(nil, v)...)
	return append(out, `},"required":["`+wrapping+`"],"additionalProperties":false}`...)
}

// rebase appends a schema whose references to itself are right one level further down.
func rebase(dst []byte, schema value) []byte {
	if !schema.is('{') {
		return append(dst, schema.raw...)
	}
	return appendObject(dst, schema, func(dst []byte, key string, v value) []byte {
		if key == "$ref" && v.is('"') {
			return appendString(dst, rebased(unquote(v.raw)))
		}
		return appendKeyword(dst, key, v, rebase)
	})
}

func rebased(ref string) string {
	if pointer, ok := strings.CutPrefix(ref, "#"); ok && (pointer == "" || pointer[0] == '/') {
		return "#/properties/" + wrapping + pointer
	}
	return ref
}

// wrappedTools are the tools with a wrapped schema, by the name the upstream knows.
type wrappedTools map[string]bool

// wrapCalls makes earlier calls look to the model as it made them.
func (w wrappedTools) wrapCalls(messages []chat.Message) {
	for _, m := range messages {
		for i := range m.Content {
			if b := &m.Content[i]; b.Type == chat.BlockToolUse && w[b.Name] {
				b.Input = wrapArguments(b.Input)
			}
		}
	}
}

func wrapArguments(input json.RawMessage) json.RawMessage {
	if len(bytes.TrimSpace(input)) == 0 {
		input = json.RawMessage("{}")
	}
	out := append([]byte(`{"`+wrapping+`":`), input...)
	return append(out, '}')
}

// unwrapArguments returns a call's arguments as the client's schema has them. What is
// not in the wrapping, because the answer was cut or the model did not keep to it, stays
// as it is.
func unwrapArguments(arguments []byte) []byte {
	if !json.Valid(arguments) {
		return arguments
	}
	var inner []byte
	n := 0
	for key, v := range (value{raw: bytes.TrimSpace(arguments)}).pairs() {
		if n++; key == wrapping {
			inner = v.raw
		}
	}
	if n != 1 || inner == nil {
		return arguments
	}
	return inner
}
