package anthropic

import (
	"maxrelay/api/field"
	"maxrelay/api/tool"
	"maxrelay/session/chat"
)

// maxTools is far above what a model can choose among; tool.MaxBytes bounds them too.
const maxTools = 1000

// tool reads one tool. What a client says beside its name, description and schema does not
// reach the model: a tool whose loading is deferred is offered from the beginning.
func (d *decoder) tool(o *tool.Offer, v field.Value) error {
	members, err := v.Members("type", "description", "input_schema", "strict", "defer_loading", "input_examples")
	if err != nil {
		return err
	}
	if kind, ok := members["type"]; ok {
		if err := custom(kind); err != nil {
			return err
		}
	}
	name, err := tool.Name(v, "the tool's name")
	if err != nil {
		return err
	}
	schema, ok := members["input_schema"]
	if !ok {
		return chat.Invalid(v.Member("input_schema"), "is required: a JSON Schema of the tool's arguments, an object")
	}
	t := field.Object{Members: members}
	for _, flag := range []string{"strict", "defer_loading"} {
		if t.Flag(flag) {
			d.Ignore("tools." + flag)
		}
	}
	if _, ok := members["input_examples"]; ok {
		d.Ignore("tools.input_examples")
	}
	t.Fail(o.Add(v.At, name, t.Text("description"), schema))
	return t.Err
}

// custom refuses the tools that Anthropic defines: those that its servers run, and those
// that its models know beforehand.
func custom(kind field.Value) error {
	name, err := kind.Text()
	if err == nil && name != "custom" {
		err = chat.Invalid(kind.At, "must be custom: the tools that Anthropic defines, such as web_search, are not there; define what you run as a tool of your own")
	}
	return err
}

// toolChoice returns the tools that the model is offered, and how it is to use them.
func (d *decoder) toolChoice(o tool.Offer) ([]chat.Tool, chat.ToolChoice) {
	v, ok := d.Members["tool_choice"]
	if !ok {
		return o.Tools, chat.ToolChoice{}
	}
	choice, err := chooseTool(v, o)
	d.Fail(err)
	if len(o.Tools) == 0 {
		return nil, chat.ToolChoice{}
	}
	return o.Tools, choice
}

func chooseTool(v field.Value, o tool.Offer) (chat.ToolChoice, error) {
	kind, _, err := v.Type("auto, any, tool or none")
	if err != nil {
		return chat.ToolChoice{}, err
	}
	mode, err := kind.Among("auto", "any", "tool", "none")
	if err != nil {
		return chat.ToolChoice{}, err
	}
	if (mode == "any" || mode == "tool") && len(o.Tools) == 0 {
		return chat.ToolChoice{}, chat.Invalid(kind.At, "must be auto or none in a request without tools")
	}
	members, err := v.Members("disable_parallel_tool_use")
	if err != nil {
		return chat.ToolChoice{}, err
	}
	m := field.Object{Members: members}
	choice := chat.ToolChoice{Mode: chat.Choice(mode), Sequential: m.Flag("disable_parallel_tool_use")}
	switch choice.Mode {
	case chat.ChoiceAuto:
		choice.Mode = ""
	case chat.ChoiceTool:
		t, err := o.Named(v, "the name of the tool to call")
		m.Fail(err)
		choice.Name = t.Name
	}
	return choice, m.Err
}
