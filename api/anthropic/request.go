package anthropic

import (
	"slices"
	"strings"

	"maxrelay/api/field"
	"maxrelay/api/tool"
	"maxrelay/session/chat"
)

// Request is a request of the Messages API as far as it is acted on.
type Request struct {
	Model    string
	Stream   bool
	User     string // metadata.user_id: the caller's end user
	System   string // the system prompt; "" for none
	Messages []chat.Message

	Tools      []chat.Tool
	ToolChoice chat.ToolChoice
	Params     chat.Params

	// Ignored names the parameters that were given and are not applied, sorted.
	Ignored []string

	form
}

// form is what of a request its answer is written by; an answer outlives the rest.
type form struct {
	wrapped tool.Wrapped
	silent  bool // thinking is shown without its text
}

// Decode reads the body of POST /v1/messages. Its messages are canonical. Its errors are
// of type *chat.Error, name the field at fault and say what would be right.
func Decode(body []byte) (*Request, error) {
	root, err := field.ParseObject(body, acted...)
	if err != nil {
		return nil, err
	}
	d := decoder{root}
	d.others()
	r := &Request{Model: d.Required("model", "the id of one of the models of GET /v1/models"), Stream: d.Flag("stream"), User: d.user()}
	offer := tool.Read(&d.Object, maxTools, d.tool)
	r.Tools, r.ToolChoice = d.toolChoice(offer)
	r.wrapped = offer.Wrapped
	d.output(&r.Params)
	d.sampling(&r.Params)
	r.silent = d.thinking(&r.Params, r.ToolChoice)
	r.System = d.system()
	r.Messages = d.messages()
	if d.Err != nil {
		return nil, d.Err
	}
	r.wrapped.WrapCalls(r.Messages)
	if r.Messages, err = chat.Canonical(r.Messages); err != nil {
		return nil, atContent(err)
	}
	slices.Sort(d.Ignored)
	r.Ignored = d.Ignored
	return r, nil
}

// acted has the name of every member that is read.
var acted = append(field.Names(unapplied, refusals),
	"max_tokens", "messages", "metadata", "model", "output_config", "output_format", "stop_sequences", "stream", "system",
	"temperature", "thinking", "tool_choice", "tools", "top_k", "top_p",
)

// decoder reads the members of the request.
type decoder struct {
	field.Object
}

// object returns the members of a member that is an object; without it they are empty.
func (d *decoder) object(name string, members ...string) field.Object {
	v, ok := d.Members[name]
	if !ok {
		return field.Object{}
	}
	m, err := v.Members(members...)
	d.Fail(err)
	return field.Object{Members: m}
}

func (d *decoder) user() string {
	metadata := d.object("metadata", "user_id")
	user := metadata.Text("user_id")
	d.Fail(metadata.Err)
	return user
}

// atContent names the place of an error of the canonical form as this API knows it: calls
// and results are blocks of a message's content.
func atContent(err error) error {
	e, ok := err.(*chat.Error)
	if !ok {
		return err
	}
	for _, member := range []string{".tool_calls", ".tool_call_id"} {
		if message, ok := strings.CutSuffix(e.Param, member); ok {
			e.Param = message + ".content"
		}
	}
	return e
}
