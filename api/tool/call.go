package tool

import (
	"maxrelay/api/schema"
	"maxrelay/session/chat"
)

// Call is a call that the model is making.
type Call struct {
	ID, Name  string // as the client knows them
	Wrapped   bool   // the arguments can be told to the client only when they are whole
	arguments []byte
	input     string // arguments that came with the call's begin, as a rule none
}

// IsCall reports whether a block is a call of a tool.
func IsCall(b *chat.Block) bool { return b != nil && b.Type == chat.BlockToolUse }

// Begin begins the call of a block.
func (w Wrapped) Begin(b *chat.Block) Call {
	return Call{ID: chat.ClientToolID(b.ID), Name: chat.ClientToolName(b.Name), Wrapped: w[b.Name], input: string(b.Input)}
}

// Tell adds a piece of the arguments.
func (c *Call) Tell(arguments string) { c.arguments = append(c.arguments, arguments...) }

// Arguments returns those that were told, in the client's schema; a tool that takes none
// is called with an empty object, of which the upstream streams nothing.
func (c *Call) Arguments() string {
	arguments := c.arguments
	if len(arguments) == 0 {
		arguments = []byte(c.input)
	}
	if c.Wrapped {
		arguments = schema.UnwrapArguments(arguments)
	}
	if len(arguments) == 0 {
		return "{}"
	}
	return string(arguments)
}
