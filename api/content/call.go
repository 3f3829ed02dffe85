package content

import (
	"bytes"
	"encoding/json"

	"maxrelay/api/field"
	"maxrelay/session/chat"
)

// maxCallID bounds the ids of calls; some relays put a whole signature into them.
const maxCallID = 2 << 10 // bytes

// CallID returns the id in a member, in the form that the upstream takes.
func CallID(v field.Value, name string) (string, error) {
	id, err := v.RequireText(name, "the id of a tool call")
	if err == nil && (id == "" || len(id) > maxCallID) {
		err = chat.Invalid(v.Member(name), "must be 1 to %d bytes long", maxCallID)
	}
	return chat.ToolID(id), err
}

// CalledName returns the name of the tool that was called, in the form that the upstream
// takes.
func CalledName(v field.Value) (string, error) {
	name, err := v.RequireText("name", "the name of what was called")
	if err != nil {
		return "", err
	}
	mapped := chat.ToolName(name)
	if name == "" || len(mapped) > chat.MaxToolName {
		return "", chat.Invalid(v.Member("name"), "must be 1 to %d letters, digits, hyphens and underscores", chat.MaxToolName)
	}
	return mapped, nil
}

// Input returns the arguments of an earlier call, in canonical form; want says what they
// have to be, an object in some form.
func (r *Reader) Input(v field.Value, want string) (json.RawMessage, error) {
	if r.values += v.Count(); r.values > MaxValues {
		return nil, chat.Invalid(v.At, "has a value too many: the arguments of all calls of a request can have up to %d", MaxValues)
	}
	input, err := chat.CanonicalJSON(v.Raw)
	if err != nil || !bytes.HasPrefix(input, []byte("{")) {
		return nil, chat.Invalid(v.At, "must be %s", want)
	}
	return input, nil
}
