package openai

import "maxrelay/session/chat"

func isCall(b *chat.Block) bool { return b != nil && b.Type == chat.BlockToolUse }

// call is a call that the model is making.
type call struct {
	id, name  string // as the client knows them
	wrapped   bool
	arguments []byte
	streamed  bool   // the client has some of the arguments
	input     string // arguments that came with the call's begin, as a rule none
}

// begin begins the call of a block.
func (f form) begin(b *chat.Block) call {
	return call{id: chat.ClientToolID(b.ID), name: chat.ClientToolName(b.Name), wrapped: f.wrapped[b.Name], input: string(b.Input)}
}

func (c *call) tell(arguments string) { c.arguments = append(c.arguments, arguments...) }

// whole returns the call with all its arguments, in the client's schema.
func (c *call) whole() ToolCall {
	return ToolCall{ID: c.id, Type: "function", Function: Function{Name: c.name, Arguments: c.rest()}}
}

// rest returns the arguments that were told, unwrapped; a function that takes none is
// called with an empty object, of which the upstream streams nothing.
func (c *call) rest() string {
	arguments := c.arguments
	if len(arguments) == 0 {
		arguments = []byte(c.input)
	}
	if c.wrapped {
		arguments = unwrapArguments(arguments)
	}
	if len(arguments) == 0 {
		return "{}"
	}
	return string(arguments)
}
