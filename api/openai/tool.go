package openai

import (
	"maxrelay/api/field"
	"maxrelay/api/tool"
	"maxrelay/session/chat"
)

// maxTools is OpenAI's bound on the number of tools.
const maxTools = 128

func (d *decoder) tool(o *tool.Offer, v field.Value) error {
	function, err := functionOf(v)
	if err != nil {
		return err
	}
	name, err := tool.Name(function, aName)
	if err != nil {
		return err
	}
	members, err := function.Members("description", "parameters", "strict")
	if err != nil {
		return err
	}
	f := field.Object{Members: members}
	description := f.Text("description")
	if f.Flag("strict") {
		d.Ignore("tools.strict")
	}
	f.Fail(o.Add(function.At, name, description, members["parameters"]))
	return f.Err
}

const aName = "the function's name"

// functionOf returns the function of {"type":"function","function":{…}}, the form of
// both a tool and a choice.
func functionOf(v field.Value) (field.Value, error) {
	members, err := v.Members("type", "function")
	if err != nil {
		return field.Value{}, err
	}
	kind, ok := members["type"]
	if !ok {
		return field.Value{}, chat.Invalid(v.At+".type", "is required: function")
	}
	if name, err := kind.Text(); err != nil {
		return field.Value{}, err
	} else if name != "function" {
		return field.Value{}, chat.Invalid(kind.At, "must be function: other kinds of tools are not supported")
	}
	function, ok := members["function"]
	if !ok {
		return field.Value{}, chat.Invalid(v.At+".function", "is required: an object with the function's name")
	}
	return function, nil
}
