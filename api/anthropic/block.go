package anthropic

import (
	"maxrelay/api/content"
	"maxrelay/api/field"
	"maxrelay/session/chat"
)

// document reads a document. The conversation has no place for citations, so that they
// are asked for is noted only.
func (r *reader) document(v field.Value) (chat.Block, error) {
	members, err := v.Members("citations")
	if err != nil {
		return chat.Block{}, err
	}
	if citations, ok := members["citations"]; ok {
		if err := r.cite(citations); err != nil {
			return chat.Block{}, err
		}
	}
	return r.Document(v)
}

func (r *reader) cite(v field.Value) error {
	members, err := v.Members("enabled")
	if err != nil {
		return err
	}
	m := field.Object{Members: members}
	r.cited = m.Flag("enabled") || r.cited
	return m.Err
}

func (r *reader) text(v field.Value) (chat.Block, error) {
	text, err := v.RequireText("text", "the text of a block of the type text")
	return content.Text(text), err
}

// thinking takes what the model thought before. It is no part of what is compared, and
// the process that holds the conversation has it.
func (r *reader) thinking(field.Value) (chat.Block, error) {
	return chat.Block{Type: chat.BlockThinking}, nil
}

func (r *reader) call(v field.Value) (chat.Block, error) {
	id, err := content.CallID(v, "id")
	if err != nil {
		return chat.Block{}, err
	}
	name, err := content.CalledName(v)
	if err != nil {
		return chat.Block{}, err
	}
	given, err := v.Require("input", "the arguments of the call, an object")
	if err != nil {
		return chat.Block{}, err
	}
	input, err := r.Input(given, "an object")
	return chat.Block{Type: chat.BlockToolUse, ID: id, Name: name, Input: input}, err
}

func (r *reader) result(v field.Value) (chat.Block, error) {
	b := chat.Block{Type: chat.BlockToolResult}
	var err error
	if b.ToolUseID, err = content.CallID(v, "tool_use_id"); err != nil {
		return b, err
	}
	members, err := v.Members("content", "is_error")
	if err != nil {
		return b, err
	}
	m := field.Object{Members: members}
	b.IsError = m.Flag("is_error")
	if given, ok := members["content"]; ok {
		b.Content, err = r.content(given, inResult)
		m.Fail(err)
	}
	return b, m.Err
}

// reference tells in words which tool a search for tools found. All tools are offered
// from the beginning, so nothing is to be loaded.
func (r *reader) reference(v field.Value) (chat.Block, error) {
	name, err := v.RequireText("tool_name", "the name of the tool that was found")
	return content.Text("<tool_reference>" + name + "</tool_reference>"), err
}
