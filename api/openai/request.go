package openai

import (
	"cmp"
	"slices"
	"strings"

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

	wrapped wrappedTools
}

// Decode reads the body of POST /v1/chat/completions. Its errors are of type
// *chat.Error, name the field at fault and say what would be right.
func Decode(body []byte) (*Request, error) {
	root, err := parse(body)
	if err != nil {
		return nil, err
	}
	if !root.is('{') {
		return nil, chat.Invalid("", "the body must be a JSON object, not %s", root.kind())
	}
	members, err := root.members(acted...)
	if err != nil {
		return nil, err
	}
	d := decoder{members: members}
	r := &Request{
		Model:        d.model(),
		Stream:       d.flag("stream"),
		IncludeUsage: d.includeUsage(),
		User:         d.user(),
		N:            d.answers(),
	}
	d.refuse()
	d.checkUnapplied()
	tools := d.tools()
	r.Tools, r.ToolChoice = d.toolChoice(tools)
	r.Format, r.Params.Schema = d.format()
	d.sampling(&r.Params, r.ToolChoice)
	r.System, r.Messages = d.messages()
	if d.err != nil {
		return nil, d.err
	}
	r.System = r.Format.instruct(r.System)
	r.wrapped = tools.wrapped
	r.wrapped.wrapCalls(r.Messages)
	slices.Sort(d.ignored)
	r.Ignored = d.ignored
	return r, nil
}

// acted has the name of every member that is read.
var acted = func() []string {
	names := []string{
		"max_completion_tokens", "max_tokens", "messages", "model", "n", "parallel_tool_calls", "reasoning_effort", "response_format",
		"safety_identifier", "stop", "stream", "stream_options", "temperature", "tool_choice", "tools", "top_p", "user",
	}
	for _, p := range slices.Concat(unapplied, refusals) {
		names = append(names, p.name)
	}
	return names
}()

// decoder reads the members of the request. The first error stays; what is read
// after it does not count.
type decoder struct {
	members map[string]value
	ignored []string
	err     error
}

func (d *decoder) fail(err error) {
	d.err = cmp.Or(d.err, err)
}

// ignore lists a parameter as given and not applied, once.
func (d *decoder) ignore(name string) {
	if !slices.Contains(d.ignored, name) {
		d.ignored = append(d.ignored, name)
	}
}
func (d *decoder) flag(name string) bool {
	v, ok := d.members[name]
	if !ok {
		return false
	}
	b, err := v.flag()
	d.fail(err)
	return b
}

func (d *decoder) text(name string) string {
	v, ok := d.members[name]
	if !ok {
		return ""
	}
	s, err := v.text()
	d.fail(err)
	return s
}

func (d *decoder) model() string {
	model := d.text("model")
	if strings.TrimSpace(model) == "" {
		d.fail(chat.Invalid("model", "is required: the id of one of the models of GET /v1/models"))
	}
	return model
}

func (d *decoder) user() string {
	user, identifier := d.text("user"), d.text("safety_identifier")
	if user != "" {
		return user
	}
	return identifier
}

func (d *decoder) includeUsage() bool {
	v, ok := d.members["stream_options"]
	if !ok {
		return false
	}
	options, err := v.members("include_usage")
	if err != nil {
		d.fail(err)
		return false
	}
	include, ok := options["include_usage"]
	if !ok {
		return false
	}
	b, err := include.flag()
	d.fail(err)
	return b
}

// messages returns the system prompt, which is all that system and developer
// messages say before the first other message, and the conversation.
func (d *decoder) messages() (string, []chat.Message) {
	list, ok := d.members["messages"]
	if !ok {
		d.fail(chat.Invalid("messages", "is required: the conversation, an array of at least one message"))
		return "", nil
	}
	if !list.is('[') {
		d.fail(list.wrong("an array of messages"))
		return "", nil
	}
	var messages []chat.Message
	var system []string
	begun := false
	var r reader
	for _, v := range list.elements() {
		m, err := r.message(v)
		if err != nil {
			d.fail(err)
			return "", nil
		}
		if begun = begun || m.Role != chat.RoleSystem; !begun {
			system = append(system, texts(m)...)
			m.Content = nil
		}
		messages = append(messages, m)
	}
	if !begun {
		d.fail(chat.Invalid("messages", "must hold at least one message of the role user"))
	}
	return strings.Join(system, "\n\n"), messages
}

func texts(m chat.Message) []string {
	var all []string
	for _, b := range m.Content {
		if strings.TrimSpace(b.Text) != "" {
			all = append(all, b.Text)
		}
	}
	return all
}
