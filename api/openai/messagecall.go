package openai

import (
	"bytes"
	"encoding/json"

	"maxrelay/session/chat"
)

// maxCallID bounds the ids of calls; some relays put a whole signature into them.
const maxCallID = 2 << 10 // bytes

// calls reads the calls of an earlier answer.
func (r *reader) calls(members map[string]value) (blocks []chat.Block, err error) {
	calls, ok := members["tool_calls"]
	if !ok {
		return nil, nil
	}
	if !calls.is('[') {
		return nil, calls.wrong("an array of tool calls")
	}
	for _, v := range calls.elements() {
		if err := r.piece(); err != nil {
			return nil, err
		}
		b, err := r.call(v)
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

// call reads one call. Some clients leave its type out.
func (r *reader) call(v value) (chat.Block, error) {
	members, err := v.members("id", "type", "function")
	if err != nil {
		return chat.Block{}, err
	}
	if kind, ok := members["type"]; ok {
		if name, err := kind.text(); err != nil {
			return chat.Block{}, err
		} else if name != "function" {
			return chat.Block{}, chat.Invalid(kind.at, "must be function: other kinds of tools are not supported")
		}
	}
	id, err := callID(v, "id")
	if err != nil {
		return chat.Block{}, err
	}
	function, err := v.require("function", "an object with the function's name and arguments")
	if err != nil {
		return chat.Block{}, err
	}
	name, err := calledName(function)
	if err != nil {
		return chat.Block{}, err
	}
	input, err := r.arguments(function)
	return chat.Block{Type: chat.BlockToolUse, ID: id, Name: name, Input: input}, err
}

// callID returns the id in a member, in the form that the upstream takes.
func callID(v value, name string) (string, error) {
	id, err := v.requireText(name, "the id of a tool call")
	if err == nil && (id == "" || len(id) > maxCallID) {
		err = chat.Invalid(v.member(name), "must be 1 to %d bytes long", maxCallID)
	}
	return chat.ToolID(id), err
}

func calledName(function value) (string, error) {
	name, err := function.requireText("name", "the function's name")
	if err != nil {
		return "", err
	}
	mapped := chat.ToolName(name)
	if name == "" || len(mapped) > chat.MaxToolName {
		return "", chat.Invalid(function.member("name"), "must be 1 to %d letters, digits, hyphens and underscores", chat.MaxToolName)
	}
	return mapped, nil
}

// arguments returns a call's arguments, which are JSON in a string. No arguments at all
// are an empty object, as models that write nothing mean it.
func (r *reader) arguments(function value) ([]byte, error) {
	text, err := function.requireText("arguments", "a JSON object in a string")
	if err != nil {
		return nil, err
	}
	wrong := chat.Invalid(function.member("arguments"), "must be a string with a JSON object")
	raw := bytes.TrimSpace([]byte(text))
	if len(raw) > 0 && !json.Valid(raw) {
		return nil, wrong
	}
	if r.values += valuesIn(raw); r.values > maxValues {
		return nil, chat.Invalid(function.member("arguments"), "has a value too many: the arguments of all calls of a request can have up to %d", maxValues)
	}
	input, err := chat.CanonicalJSON(raw)
	if err != nil || !bytes.HasPrefix(input, []byte("{")) {
		return nil, wrong
	}
	return input, nil
}

// valuesIn counts the values of a JSON text, give or take those in empty brackets.
func valuesIn(raw []byte) (n int) {
	for s := (scanner{raw, 0}); s.pos < len(raw); {
		switch raw[s.pos] {
		case '"':
			s.skipString()
			continue
		case ',', '[', '{', ':':
			n++
		}
		s.pos++
	}
	return n
}

// result reads what a tool gave. To the upstream it is a user's.
func (r *reader) result(v value, members map[string]value) (chat.Message, error) {
	id, err := callID(v, "tool_call_id")
	if err != nil {
		return chat.Message{}, err
	}
	m, err := r.withContent(v, chat.RoleUser, inTool, members)
	m.Content = []chat.Block{{Type: chat.BlockToolResult, ToolUseID: id, Content: m.Content}}
	return m, err
}
