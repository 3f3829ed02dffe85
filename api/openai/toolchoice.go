package openai

import (
	"slices"

	"maxrelay/session/chat"
)

// toolChoice reads tool_choice and parallel_tool_calls, and returns the tools that the
// model is offered: all, or the allowed ones.
func (d *decoder) toolChoice(o offer) ([]chat.Tool, chat.ToolChoice) {
	sequential := d.sequential()
	v, ok := d.members["tool_choice"]
	if !ok {
		v = value{raw: []byte(`"auto"`)}
	}
	tools, choice, err := chooseTools(v, o)
	d.fail(err)
	if len(tools) == 0 {
		return nil, chat.ToolChoice{}
	}
	choice.Sequential = sequential
	return tools, choice
}

func (d *decoder) sequential() bool {
	v, ok := d.members["parallel_tool_calls"]
	if !ok {
		return false
	}
	parallel, err := v.flag()
	d.fail(err)
	return !parallel
}

func chooseTools(v value, o offer) ([]chat.Tool, chat.ToolChoice, error) {
	if v.is('{') {
		return chooseAmong(v, o)
	}
	mode, err := chooseMode(v, o, "none", "auto", "required")
	return o.tools, chat.ToolChoice{Mode: mode}, err
}

// chooseMode reads one of the words that OpenAI has for a choice.
func chooseMode(v value, o offer, words ...string) (chat.Choice, error) {
	word, err := v.among(words...)
	if err != nil {
		return "", err
	}
	switch {
	case word == "none":
		return chat.ChoiceNone, nil
	case word == "auto":
		return "", nil
	case len(o.tools) == 0:
		return "", chat.Invalid(v.at, "must be none or auto in a request without tools")
	}
	return chat.ChoiceAny, nil
}

// chooseAmong reads the two forms that name functions.
func chooseAmong(v value, o offer) ([]chat.Tool, chat.ToolChoice, error) {
	if len(o.tools) == 0 {
		return nil, chat.ToolChoice{}, chat.Invalid(v.at, "must be none or auto in a request without tools")
	}
	members, err := v.members("type", "allowed_tools")
	if err != nil {
		return nil, chat.ToolChoice{}, err
	}
	kind, ok := members["type"]
	if !ok {
		return nil, chat.ToolChoice{}, chat.Invalid(v.at+".type", "is required: function or allowed_tools")
	}
	name, err := kind.among("function", "allowed_tools")
	if err != nil {
		return nil, chat.ToolChoice{}, err
	}
	if name == "allowed_tools" {
		return chooseAllowed(v, members, o)
	}
	tool, err := chooseFunction(v, o)
	return o.tools, chat.ToolChoice{Mode: chat.ChoiceTool, Name: tool.Name}, err
}

// chooseFunction returns the tool that {"type":"function","function":{"name":…}} names.
func chooseFunction(v value, o offer) (chat.Tool, error) {
	function, err := functionOf(v)
	if err != nil {
		return chat.Tool{}, err
	}
	members, err := function.members("name")
	if err != nil {
		return chat.Tool{}, err
	}
	name, err := functionName(function, members)
	if err != nil {
		return chat.Tool{}, err
	}
	tool, ok := o.find(chat.ToolName(name))
	if !ok {
		return chat.Tool{}, chat.Invalid(function.at+".name", "must be the name of one of the tools")
	}
	return tool, nil
}

// chooseAllowed narrows the offer: the Messages API has no list of allowed tools, but a
// tool that is not offered is not called.
func chooseAllowed(v value, members map[string]value, o offer) ([]chat.Tool, chat.ToolChoice, error) {
	var choice chat.ToolChoice
	allowed, ok := members["allowed_tools"]
	if !ok {
		return nil, choice, chat.Invalid(v.at+".allowed_tools", "is required: an object with mode and tools")
	}
	members, err := allowed.members("mode", "tools")
	if err != nil {
		return nil, choice, err
	}
	if mode, ok := members["mode"]; ok {
		if choice.Mode, err = chooseMode(mode, o, "auto", "required"); err != nil {
			return nil, choice, err
		}
	}
	list, ok := members["tools"]
	if !ok || !list.is('[') || list.empty() {
		return nil, choice, chat.Invalid(allowed.at+".tools", "must be an array of at least one of the tools")
	}
	var names []string
	for _, v := range list.elements() {
		tool, err := chooseFunction(v, o)
		if err != nil {
			return nil, choice, err
		}
		names = append(names, tool.Name)
	}
	return slices.DeleteFunc(slices.Clone(o.tools), func(t chat.Tool) bool { return !slices.Contains(names, t.Name) }), choice, nil
}
