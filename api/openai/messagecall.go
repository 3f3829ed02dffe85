package openai

import (
	"bytes"
	"encoding/json"

	"maxrelay/api/content"
	"maxrelay/api/field"
	"maxrelay/session/chat"
)

// calls reads the calls of an earlier answer.
func (r *reader) calls(members map[string]field.Value) (blocks []chat.Block, err error) {
	calls, ok := members["tool_calls"]
	if !ok {
		return nil, nil
	}
	if !calls.Is('[') {
		return nil, calls.Wrong("an array of tool calls")
	}
	for _, v := range calls.Elements() {
		if err := r.Piece(); err != nil {
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
func (r *reader) call(v field.Value) (chat.Block, error) {
	members, err := v.Members("id", "type", "function")
	if err != nil {
		return chat.Block{}, err
	}
	if kind, ok := members["type"]; ok {
		if name, err := kind.Text(); err != nil {
			return chat.Block{}, err
		} else if name != "function" {
			return chat.Block{}, chat.Invalid(kind.At, "must be function: other kinds of tools are not supported")
		}
	}
	id, err := content.CallID(v, "id")
	if err != nil {
		return chat.Block{}, err
	}
	function, err := v.Require("function", "an object with the function's name and arguments")
	if err != nil {
		return chat.Block{}, err
	}
	name, err := content.CalledName(function)
	if err != nil {
		return chat.Block{}, err
	}
	input, err := r.arguments(function)
	return chat.Block{Type: chat.BlockToolUse, ID: id, Name: name, Input: input}, err
}

// arguments returns a call's arguments, which are JSON in a string. No arguments at all
// are an empty object, as models that write nothing mean it.
func (r *reader) arguments(function field.Value) (json.RawMessage, error) {
	const want = "a string with a JSON object"
	text, err := function.RequireText("arguments", "a JSON object in a string")
	if err != nil {
		return nil, err
	}
	v := field.Value{Raw: bytes.TrimSpace([]byte(text)), At: function.Member("arguments")}
	if len(v.Raw) > 0 && !json.Valid(v.Raw) {
		return nil, chat.Invalid(v.At, "must be %s", want)
	}
	return r.Input(v, want)
}

// result reads what a tool gave. To the upstream it is a user's.
func (r *reader) result(v field.Value, members map[string]field.Value) (chat.Message, error) {
	id, err := content.CallID(v, "tool_call_id")
	if err != nil {
		return chat.Message{}, err
	}
	m, err := r.withContent(v, chat.RoleUser, inTool, members)
	m.Content = []chat.Block{{Type: chat.BlockToolResult, ToolUseID: id, Content: m.Content}}
	return m, err
}
