package openai

import (
	"encoding/json"

	"maxrelay/session/chat"
)

// maxTools is OpenAI's bound on the number of tools.
const maxTools = 128

// offer is what a request has in tools.
type offer struct {
	tools   []chat.Tool
	wrapped wrappedTools
}

// has reports whether a tool of the client's name is among them.
func (o offer) has(name string) bool {
	_, ok := o.find(chat.ToolName(name))
	return ok
}

func (o offer) find(upstream string) (chat.Tool, bool) {
	for _, t := range o.tools {
		if t.Name == upstream {
			return t, true
		}
	}
	return chat.Tool{}, false
}

// maxToolBytes bounds the time for looking into schemas, and what a process keeps of
// them in this program's memory.
const maxToolBytes = 1 << 20

func (d *decoder) tools() offer {
	v, ok := d.members["tools"]
	if !ok {
		return offer{}
	}
	if !v.is('[') {
		d.fail(v.wrong("an array of tools"))
	}
	if len(v.raw) > maxToolBytes {
		d.fail(chat.Invalid(v.at, "are %d bytes of JSON: a request can have up to %d", len(v.raw), maxToolBytes))
		return offer{}
	}
	var o offer
	for _, v := range d.atMost(v, maxTools, "tools") {
		if err := d.tool(&o, v); err != nil {
			d.fail(err)
			return offer{}
		}
	}
	return o
}

func (d *decoder) tool(o *offer, v value) error {
	function, err := functionOf(v)
	if err != nil {
		return err
	}
	members, err := function.members("name", "description", "parameters", "strict")
	if err != nil {
		return err
	}
	name, err := functionName(function, members)
	if err != nil {
		return err
	}
	if o.has(name) {
		return chat.Invalid(function.at+".name", "must be another name than those of the tools before")
	}
	f := decoder{members: members}
	tool := chat.Tool{Name: chat.ToolName(name), Description: f.text("description")}
	schema, wrapped := f.parameters()
	tool.Schema = schema
	if f.flag("strict") {
		d.ignore("tools.strict")
	}
	o.add(tool, wrapped)
	return f.err
}

func (o *offer) add(tool chat.Tool, wrapped bool) {
	o.tools = append(o.tools, tool)
	if !wrapped {
		return
	}
	if o.wrapped == nil {
		o.wrapped = make(wrappedTools)
	}
	o.wrapped[tool.Name] = true
}

// parameters returns the schema of a function's arguments; one without parameters takes
// none.
func (d *decoder) parameters() (schema json.RawMessage, wrapped bool) {
	v, ok := d.members["parameters"]
	if !ok {
		return json.RawMessage(`{"type":"object","properties":{}}`), false
	}
	schema, wrapped, err := argumentSchema(v)
	d.fail(err)
	return schema, wrapped
}

// functionOf returns the function of {"type":"function","function":{…}}, the form of
// both a tool and a choice.
func functionOf(v value) (value, error) {
	members, err := v.members("type", "function")
	if err != nil {
		return value{}, err
	}
	kind, ok := members["type"]
	if !ok {
		return value{}, chat.Invalid(v.at+".type", "is required: function")
	}
	if name, err := kind.text(); err != nil {
		return value{}, err
	} else if name != "function" {
		return value{}, chat.Invalid(kind.at, "must be function: other kinds of tools are not supported")
	}
	function, ok := members["function"]
	if !ok {
		return value{}, chat.Invalid(v.at+".function", "is required: an object with the function's name")
	}
	return function, nil
}

// functionName returns a function's name as the client has it. It may be any string
// for which chat.ToolName finds one that the upstream takes.
func functionName(function value, members map[string]value) (string, error) {
	v, ok := members["name"]
	if !ok {
		return "", chat.Invalid(function.at+".name", "is required: the function's name")
	}
	name, err := v.text()
	switch {
	case err != nil:
		return "", err
	case name == "":
		return "", chat.Invalid(v.at, "must not be empty")
	case len(chat.ToolName(name)) > chat.MaxToolName:
		return "", chat.Invalid(v.at, "must not be longer than %d bytes, of which any but letters, digits, underscores and dashes count three times", chat.MaxToolName)
	}
	return name, nil
}
