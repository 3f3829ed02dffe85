package tool

import (
	"encoding/json"

	"maxrelay/api/field"
	"maxrelay/api/schema"
	"maxrelay/session/chat"
)

// MaxBytes bounds the JSON of all tools of a request: the time for looking into their
// schemas, and what a process keeps of them in this program's memory.
const MaxBytes = 1 << 20

// Offer is what a request has in tools.
type Offer struct {
	Tools   []chat.Tool
	Wrapped Wrapped
}

// Has reports whether a tool of the client's name is among them.
func (o Offer) Has(name string) bool {
	_, ok := o.Find(name)
	return ok
}

// Find returns the tool of the client's name.
func (o Offer) Find(name string) (chat.Tool, bool) {
	upstream := chat.ToolName(name)
	for _, t := range o.Tools {
		if t.Name == upstream {
			return t, true
		}
	}
	return chat.Tool{}, false
}

// Read reads the member tools of a request, an array of up to most, each read by one.
func Read(request *field.Object, most int, one func(*Offer, field.Value) error) (o Offer) {
	if v, ok := request.Members["tools"]; ok {
		request.Fail(o.read(v, most, one))
	}
	return o
}

func (o *Offer) read(v field.Value, most int, one func(*Offer, field.Value) error) error {
	if !v.Is('[') {
		return v.Wrong("an array of tools")
	}
	if len(v.Raw) > MaxBytes {
		return chat.Invalid(v.At, "are %d bytes of JSON: a request can have up to %d", len(v.Raw), MaxBytes)
	}
	for i, e := range v.Elements() {
		if i == most {
			return chat.Invalid(v.At, "must hold at most %d tools", most)
		}
		if err := one(o, e); err != nil {
			return err
		}
	}
	return nil
}

// nothing is the schema of a tool that takes no arguments.
var nothing = json.RawMessage(`{"type":"object","properties":{}}`)

// Add adds a tool that was defined at a place. One without a schema takes no arguments.
func (o *Offer) Add(at, name, description string, arguments field.Value) error {
	if o.Has(name) {
		return chat.Invalid(at+".name", "must be another name than those of the tools before")
	}
	t := chat.Tool{Name: chat.ToolName(name), Description: description, Schema: nothing}
	if !arguments.Null() {
		var wrapped bool
		var err error
		if t.Schema, wrapped, err = schema.Arguments(arguments); err != nil {
			return err
		}
		o.Wrapped = o.Wrapped.with(t.Name, wrapped)
	}
	o.Tools = append(o.Tools, t)
	return nil
}

// Named returns the tool that is called so in the member of that name.
func (o Offer) Named(v field.Value, what string) (chat.Tool, error) {
	name, err := Name(v, what)
	if err != nil {
		return chat.Tool{}, err
	}
	t, ok := o.Find(name)
	if !ok {
		return chat.Tool{}, chat.Invalid(v.Member("name"), "must be the name of one of the tools")
	}
	return t, nil
}

// Name returns a tool's name as the client has it, from the member of that name. It may
// be any string for which chat.ToolName finds one that the upstream takes.
func Name(v field.Value, what string) (string, error) {
	name, err := v.RequireText("name", what)
	switch {
	case err != nil:
		return "", err
	case name == "":
		return "", chat.Invalid(v.Member("name"), "must not be empty")
	case len(chat.ToolName(name)) > chat.MaxToolName:
		return "", chat.Invalid(v.Member("name"), "must not be longer than %d bytes, of which any but letters, digits, underscores and dashes count three times", chat.MaxToolName)
	}
	return name, nil
}
