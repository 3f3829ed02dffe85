package openai

import (
	"slices"

	"maxrelay/api/field"
	"maxrelay/api/tool"
	"maxrelay/session/chat"
)

// toolChoice reads tool_choice and parallel_tool_calls, and returns the tools that the
// model is offered: all, or the allowed ones.
func (d *decoder) toolChoice(o tool.Offer) ([]chat.Tool, chat.ToolChoice) {
	sequential := d.sequential()
	v, ok := d.Members["tool_choice"]
	if !ok {
		v = field.Value{Raw: []byte(`"auto"`)}
	}
	tools, choice, err := chooseTools(v, o)
	d.Fail(err)
	if len(tools) == 0 {
		return nil, chat.ToolChoice{}
	}
	choice.Sequential = sequential
	return tools, choice
}

func (d *decoder) sequential() bool {
	v, ok := d.Members["parallel_tool_calls"]
	if !ok {
		return false
	}
	parallel, err := v.Flag()
	d.Fail(err)
	return !parallel
}

func chooseTools(v field.Value, o tool.Offer) ([]chat.Tool, chat.ToolChoice, error) {
	if v.Is('{') {
		return chooseAmong(v, o)
	}
	mode, err := chooseMode(v, o, "none", "auto", "required")
	return o.Tools, chat.ToolChoice{Mode: mode}, err
}

// chooseMode reads one of the words that OpenAI has for a choice.
func chooseMode(v field.Value, o tool.Offer, words ...string) (chat.Choice, error) {
	word, err := v.Among(words...)
	if err != nil {
		return "", err
	}
	switch {
	case word == "none":
		return chat.ChoiceNone, nil
	case word == "auto":
		return "", nil
	case len(o.Tools) == 0:
		return "", chat.Invalid(v.At, "must be none or auto in a request without tools")
	}
	return chat.ChoiceAny, nil
}

// chooseAmong reads the two forms that name functions.
func chooseAmong(v field.Value, o tool.Offer) ([]chat.Tool, chat.ToolChoice, error) {
	if len(o.Tools) == 0 {
		return nil, chat.ToolChoice{}, chat.Invalid(v.At, "must be none or auto in a request without tools")
	}
	members, err := v.Members("type", "allowed_tools")
	if err != nil {
		return nil, chat.ToolChoice{}, err
	}
	kind, ok := members["type"]
	if !ok {
		return nil, chat.ToolChoice{}, chat.Invalid(v.At+".type", "is required: function or allowed_tools")
	}
	name, err := kind.Among("function", "allowed_tools")
	if err != nil {
		return nil, chat.ToolChoice{}, err
	}
	if name == "allowed_tools" {
		return chooseAllowed(v, members, o)
	}
	chosen, err := chooseFunction(v, o)
	return o.Tools, chat.ToolChoice{Mode: chat.ChoiceTool, Name: chosen.Name}, err
}

// chooseFunction returns the tool that {"type":"function","function":{"name":…}} names.
func chooseFunction(v field.Value, o tool.Offer) (chat.Tool, error) {
	function, err := functionOf(v)
	if err != nil {
		return chat.Tool{}, err
	}
	return o.Named(function, aName)
}

// chooseAllowed narrows the offer: the Messages API has no list of allowed tools, but a
// tool that is not offered is not called.
func chooseAllowed(v field.Value, members map[string]field.Value, o tool.Offer) ([]chat.Tool, chat.ToolChoice, error) {
	var choice chat.ToolChoice
	allowed, ok := members["allowed_tools"]
	if !ok {
		return nil, choice, chat.Invalid(v.At+".allowed_tools", "is required: an object with mode and tools")
	}
	members, err := allowed.Members("mode", "tools")
	if err != nil {
		return nil, choice, err
	}
	if mode, ok := members["mode"]; ok {
		if choice.Mode, err = chooseMode(mode, o, "auto", "required"); err != nil {
			return nil, choice, err
		}
	}
	list, ok := members["tools"]
	if !ok || !list.Is('[') || list.Empty() {
		return nil, choice, chat.Invalid(allowed.At+".tools", "must be an array of at least one of the tools")
	}
	var names []string
	for _, v := range list.Elements() {
		chosen, err := chooseFunction(v, o)
		if err != nil {
			return nil, choice, err
		}
		names = append(names, chosen.Name)
	}
	return slices.DeleteFunc(slices.Clone(o.Tools), func(t chat.Tool) bool { return !slices.Contains(names, t.Name) }), choice, nil
}
