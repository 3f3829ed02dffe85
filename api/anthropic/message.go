package anthropic

import (
	"maxrelay/api/content"
	"maxrelay/api/field"
	"maxrelay/session/chat"
)

// messages reads the conversation.
func (d *decoder) messages() []chat.Message {
	list, ok := d.Members["messages"]
	switch {
	case !ok:
		d.Fail(chat.Invalid("messages", "is required: the conversation, an array of at least one message"))
	case !list.Is('['):
		d.Fail(list.Wrong("an array of messages"))
	}
	var messages []chat.Message
	var r reader
	for _, v := range list.Elements() {
		m, err := r.message(v)
		if err != nil {
			d.Fail(err)
			return nil
		}
		messages = append(messages, m)
	}
	if r.cited {
		d.Ignore("citations")
	}
	return messages
}

// reader reads messages.
type reader struct {
	content.Reader
	cited bool // citations of a document are asked for
}

// message reads one message. Those of the role system stand between the others; the CLI
// writes them itself when it is a client.
func (r *reader) message(v field.Value) (chat.Message, error) {
	if err := r.Piece(); err != nil {
		return chat.Message{}, err
	}
	role, err := v.Require("role", "user, assistant or system")
	if err != nil {
		return chat.Message{}, err
	}
	name, err := role.Among("user", "assistant", "system")
	if err != nil {
		return chat.Message{}, err
	}
	said, err := v.Require("content", "a string or an array of content blocks")
	if err != nil {
		return chat.Message{}, err
	}
	blocks, err := r.content(said, places[chat.Role(name)])
	return chat.Message{Role: chat.Role(name), Content: blocks}, err
}

// place is where content blocks stand, which decides what they may be.
type place struct {
	what  string // for error messages
	kinds map[string]func(*reader, field.Value) (chat.Block, error)
}

var (
	inSystem = place{"a system prompt or message", kinds{"text": (*reader).text}}
	inResult = place{"the result of a tool", kinds{
		"text": (*reader).text, "image": (*reader).Image, "document": (*reader).document, "tool_reference": (*reader).reference,
	}}
)

type kinds = map[string]func(*reader, field.Value) (chat.Block, error)

var places = map[chat.Role]place{
	chat.RoleSystem: inSystem,
	chat.RoleUser: {"a user message", kinds{
		"text": (*reader).text, "image": (*reader).Image, "document": (*reader).document, "tool_result": (*reader).result,
	}},
	chat.RoleAssistant: {"an assistant message", kinds{
		"text": (*reader).text, "thinking": (*reader).thinking, "redacted_thinking": (*reader).thinking, "tool_use": (*reader).call,
	}},
}

// content reads the content of a message or of a result.
func (r *reader) content(v field.Value, p place) ([]chat.Block, error) {
	return r.Blocks(v, "block", func(v, kind field.Value, name string) (chat.Block, error) {
		if read, ok := p.kinds[name]; ok {
			return read(r, v)
		}
		return chat.Block{}, chat.Invalid(kind.At, "%s cannot hold a block of this type here: blocks that tools of Anthropic's make are not supported, nor are files kept here", p.what)
	})
}
