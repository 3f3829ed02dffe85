package tool

import (
	"maxrelay/api/schema"
	"maxrelay/session/chat"
)

// Wrapped are the tools whose schema was wrapped, by the name the upstream knows.
type Wrapped map[string]bool

func (w Wrapped) with(name string, wrapped bool) Wrapped {
	if !wrapped {
		return w
	}
	if w == nil {
		w = make(Wrapped)
	}
	w[name] = true
	return w
}

// WrapCalls makes earlier calls look to the model as it made them.
func (w Wrapped) WrapCalls(messages []chat.Message) {
	for _, m := range messages {
		for i := range m.Content {
			if b := &m.Content[i]; b.Type == chat.BlockToolUse && w[b.Name] {
				b.Input = schema.WrapArguments(b.Input)
			}
		}
	}
}
