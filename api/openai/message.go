package openai

import "maxrelay/session/chat"

func decodeMessage(v value) (chat.Message, error) {
	members, err := v.members("role", "content", "refusal", "tool_calls", "function_call", "audio")
	if err != nil {
		return chat.Message{}, err
	}
	role, ok := members["role"]
	if !ok {
		return chat.Message{}, chat.Invalid(v.at+".role", "is required: %s", roles)
	}
	name, err := role.text()
	if err != nil {
		return chat.Message{}, err
	}
	switch name {
	case "system", "developer":
		return withContent(v, chat.RoleSystem, members)
	case "user":
		return withContent(v, chat.RoleUser, members)
	case "assistant":
		return decodeAssistant(members)
	case "tool":
		return chat.Message{}, chat.Invalid(role.at, "tool results are not supported by this server yet")
	case "function":
		return chat.Message{}, chat.Invalid(role.at, "function messages are gone from the API: use tools")
	}
	return chat.Message{}, chat.Invalid(role.at, "unknown role: it must be %s", roles)
}

const roles = "system, developer, user or assistant"

func withContent(v value, role chat.Role, members map[string]value) (chat.Message, error) {
	content, ok := members["content"]
	if !ok {
		return chat.Message{}, chat.Invalid(v.at+".content", "is required: a string or an array of content parts")
	}
	blocks, err := decodeContent(content, role)
	return chat.Message{Role: role, Content: blocks}, err
}

// decodeAssistant reads an earlier answer. Clients send back what they were given, so
// an answer without content is one that said nothing; a refusal is what it said.
func decodeAssistant(members map[string]value) (chat.Message, error) {
	m := chat.Message{Role: chat.RoleAssistant}
	if calls, ok := members["tool_calls"]; ok && !calls.is('[') {
		return m, calls.wrong("an array of tool calls")
	} else if ok && !calls.empty() {
		return m, chat.Invalid(calls.at, "tool calls are not supported by this server yet")
	}
	if call, ok := members["function_call"]; ok {
		return m, chat.Invalid(call.at, "function calls are gone from the API: use tools")
	}
	if audio, ok := members["audio"]; ok {
		return m, chat.Invalid(audio.at, "audio is not supported: send the answer's text")
	}
	if content, ok := members["content"]; ok {
		blocks, err := decodeContent(content, m.Role)
		if err != nil {
			return m, err
		}
		m.Content = blocks
	}
	if refusal, ok := members["refusal"]; ok {
		text, err := refusal.text()
		if err != nil {
			return m, err
		}
		m.Content = append(m.Content, textBlock(text))
	}
	return m, nil
}

func decodeContent(v value, role chat.Role) ([]chat.Block, error) {
	switch {
	case v.is('"'):
		return []chat.Block{textBlock(unquote(v.raw))}, nil
	case v.is('['):
		return decodeParts(v, role)
	}
	return nil, v.wrong("a string or an array of content parts")
}

func decodeParts(v value, role chat.Role) ([]chat.Block, error) {
	var blocks []chat.Block
	for _, part := range v.elements() {
		text, err := decodePart(part, role)
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, textBlock(text))
	}
	return blocks, nil
}

func decodePart(v value, role chat.Role) (string, error) {
	members, err := v.members("type", "text", "refusal")
	if err != nil {
		return "", err
	}
	kind, ok := members["type"]
	if !ok {
		return "", chat.Invalid(v.at+".type", "is required: the kind of content part, like text")
	}
	name, err := kind.text()
	if err != nil {
		return "", err
	}
	switch {
	case name == "text", name == "refusal" && role == chat.RoleAssistant:
		return partText(v, members, name)
	case name == "refusal":
		return "", chat.Invalid(kind.at, "only assistant messages can hold a refusal")
	case name == "input_audio":
		return "", chat.Invalid(kind.at, "audio is not supported: the models read text")
	case name == "image_url", name == "image", name == "file":
		return "", chat.Invalid(kind.at, "images and files are not supported by this server yet: send text")
	}
	return "", chat.Invalid(kind.at, "unknown kind of content part: it must be text")
}

func partText(v value, members map[string]value, name string) (string, error) {
	text, ok := members[name]
	if !ok {
		return "", chat.Invalid(v.at+"."+name, "is required in a part of the type %s", name)
	}
	return text.text()
}

func textBlock(text string) chat.Block {
	return chat.Block{Type: chat.BlockText, Text: text}
}
