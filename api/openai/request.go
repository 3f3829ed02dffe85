package openai

import (
	"slices"
	"strings"

	"maxrelay/api/content"
	"maxrelay/api/field"
	"maxrelay/api/tool"
	"maxrelay/session/chat"
)

// Request is a chat completion request as far as it is acted on.
type Request struct {
	Model        string
	Stream       bool
	IncludeUsage bool   // a last chunk with the usage
	User         string // the caller's end user: user, else safety_identifier
	System       string // the system prompt; "" for none

	// Messages are the conversation, not yet canonical. There is one for each the
	// client sent, so that indices in errors agree; those that became the system
	// prompt are empty and vanish in chat.Canonical.
	Messages []chat.Message

	N          int // independent answers, 1 to 8
	Tools      []chat.Tool
	ToolChoice chat.ToolChoice
	Params     chat.Params
	Format     Format

	// Ignored names the parameters that were given and are not applied, sorted.
	Ignored []string

	wrapped tool.Wrapped
}

// Decode reads the body of POST /v1/chat/completions. Its errors are of type
// *chat.Error, name the field at fault and say what would be right.
func Decode(body []byte) (*Request, error) {
	root, err := field.ParseObject(body, acted...)
	if err != nil {
		return nil, err
	}
	d := decoder{root}
	r := &Request{
		Model:        d.Required("model", "the id of one of the models of GET /v1/models"),
		Stream:       d.Flag("stream"),
		IncludeUsage: d.includeUsage(),
		User:         d.user(),
		N:            d.answers(),
	}
	d.others()
	tools := tool.Read(&d.Object, maxTools, d.tool)
	r.Tools, r.ToolChoice = d.toolChoice(tools)
	r.Format, r.Params.Schema = d.format()
	d.sampling(&r.Params, r.ToolChoice)
	r.System, r.Messages = d.messages()
	if d.Err != nil {
		return nil, d.Err
	}
	r.System = r.Format.instruct(r.System)
	r.wrapped = tools.Wrapped
	r.wrapped.WrapCalls(r.Messages)
	slices.Sort(d.Ignored)
	r.Ignored = d.Ignored
	return r, nil
}

// acted has the name of every member that is read.
var acted = append(field.Names(unapplied, refusals),
	"max_completion_tokens", "max_tokens", "messages", "model", "n", "parallel_tool_calls", "reasoning_effort", "response_format",
	"safety_identifier", "stop", "stream", "stream_options", "temperature", "tool_choice", "tools", "top_p", "user",
)

// decoder reads the members of the request.
type decoder struct {
	field.Object
}

func (d *decoder) user() string {
	user, identifier := d.Text("user"), d.Text("safety_identifier")
	if user != "" {
		return user
	}
	return identifier
}

func (d *decoder) includeUsage() bool {
	v, ok := d.Members["stream_options"]
	if !ok {
		return false
	}
	options, err := v.Members("include_usage")
	if err != nil {
		d.Fail(err)
		return false
	}
	include, ok := options["include_usage"]
	if !ok {
		return false
	}
	b, err := include.Flag()
	d.Fail(err)
	return b
}

// messages returns the system prompt, which is all that system and developer
// messages say before the first other message, and the conversation.
func (d *decoder) messages() (string, []chat.Message) {
	list, ok := d.Members["messages"]
	if !ok {
		d.Fail(chat.Invalid("messages", "is required: the conversation, an array of at least one message"))
		return "", nil
	}
	if !list.Is('[') {
		d.Fail(list.Wrong("an array of messages"))
		return "", nil
	}
	var messages []chat.Message
	var system []string
	begun := false
	var r reader
	for _, v := range list.Elements() {
		m, err := r.message(v)
		if err != nil {
			d.Fail(err)
			return "", nil
		}
		if begun = begun || m.Role != chat.RoleSystem; !begun {
			system = append(system, content.Texts(m.Content)...)
			m.Content = nil
		}
		messages = append(messages, m)
	}
	if !begun {
		d.Fail(chat.Invalid("messages", "must hold at least one message of the role user"))
	}
	return strings.Join(system, "\n\n"), messages
}
