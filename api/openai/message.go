package openai

import (
	"regexp"

	"maxrelay/api/content"
	"maxrelay/api/field"
	"maxrelay/session/chat"
)

const roles = "system, developer, user, assistant or tool"

// message reads one message.
func (r *reader) message(v field.Value) (chat.Message, error) {
	if err := r.Piece(); err != nil {
		return chat.Message{}, err
	}
	members, err := v.Members("role", "content", "name", "refusal", "tool_calls", "tool_call_id", "function_call", "audio")
	if err != nil {
		return chat.Message{}, err
	}
	role, ok := members["role"]
	if !ok {
		return chat.Message{}, chat.Invalid(v.At+".role", "is required: %s", roles)
	}
	kind, err := role.Text()
	if err != nil {
		return chat.Message{}, err
	}
	name, err := speaker(members)
	if err != nil {
		return chat.Message{}, err
	}
	switch kind {
	case "system", "developer":
		return r.withContent(v, chat.RoleSystem, inSystem, members)
	case "user":
		m, err := r.withContent(v, chat.RoleUser, inUser, members)
		return named(m, name), err
	case "assistant":
		return r.assistant(members)
	case "tool":
		return r.result(v, members)
	case "function":
		return chat.Message{}, chat.Invalid(role.At, "function messages are gone from the API: use tools")
	}
	return chat.Message{}, chat.Invalid(role.At, "unknown role: it must be %s", roles)
}

func (r *reader) withContent(v field.Value, role chat.Role, p place, members map[string]field.Value) (chat.Message, error) {
	content, ok := members["content"]
	if !ok {
		return chat.Message{}, chat.Invalid(v.At+".content", "is required: a string or an array of content parts")
	}
	blocks, err := r.content(content, p)
	return chat.Message{Role: role, Content: blocks}, err
}

// OpenAI's own rule for names.
var nameForm = regexp.MustCompile(`^[^\s<|\\/>]{1,64}$`)

// speaker returns the name of who speaks, "" for none.
func speaker(members map[string]field.Value) (string, error) {
	v, ok := members["name"]
	if !ok {
		return "", nil
	}
	name, err := v.Text()
	if err == nil && !nameForm.MatchString(name) {
		err = chat.Invalid(v.At, `must be 1 to 64 characters long, without white space and the characters < > | \ /`)
	}
	return name, err
}

// named tells the model who of several users speaks: in front of the message's own
// blocks stands a text block <name>alice</name>. The Messages API has no field for it.
// The other roles have one speaker each, so a name of theirs is not told. A message
// that says nothing stays one.
func named(m chat.Message, name string) chat.Message {
	if name != "" && !silent(m) {
		m.Content = append([]chat.Block{content.Text("<name>" + name + "</name>")}, m.Content...)
	}
	return m
}

func silent(m chat.Message) bool {
	for _, b := range m.Content {
		if b.Type != chat.BlockText || !chat.Blank(b.Text) {
			return false
		}
	}
	return true
}

// assistant reads an earlier answer. Clients send back what they were given, so an
// answer without content is one that said nothing; a refusal is what it said.
func (r *reader) assistant(members map[string]field.Value) (chat.Message, error) {
	m := chat.Message{Role: chat.RoleAssistant}
	if call, ok := members["function_call"]; ok {
		return m, chat.Invalid(call.At, "function calls are gone from the API: use tools")
	}
	if audio, ok := members["audio"]; ok {
		return m, chat.Invalid(audio.At, "audio is not supported: send the answer's text")
	}
	if content, ok := members["content"]; ok {
		blocks, err := r.content(content, inAssistant)
		if err != nil {
			return m, err
		}
		m.Content = blocks
	}
	if refusal, ok := members["refusal"]; ok {
		text, err := refusal.Text()
		if err != nil {
			return m, err
		}
		m.Content = append(m.Content, content.Text(text))
	}
	calls, err := r.calls(members)
	m.Content = append(m.Content, calls...)
	return m, err
}
