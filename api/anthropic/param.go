package anthropic

import (
	"strings"

	"maxrelay/api/content"
	"maxrelay/api/field"
	"maxrelay/api/schema"
	"maxrelay/session/chat"
)

// unapplied lists the parameters that have no effect here although a client may count on
// one: the CLI decides on them, or they belong to servers of Anthropic's. A client learns
// of each from a response header. A cache_control, wherever it stands, is left out without
// a word: the breakpoints of the prompt cache are the CLI's.
var unapplied = field.Checks{
	"compaction":         field.AnObject,
	"context_management": field.AnObject,
	"diagnostics":        field.AnObject,
	"fallbacks":          anything,
	"inference_geo":      aText,
	"speed":              field.OneOf("standard", "fast"),
}

// refusals lists the parameters whose effect a client would miss: what cannot be done is
// refused and never left out in silence.
var refusals = field.Checks{
	"container":   field.Never("is not supported: no code is run here"),
	"mcp_servers": noServers,
	"thread":      field.Never("is not supported: no conversations are kept here, so send the whole of each"),
}

// others looks at the parameters that are not acted on.
func (d *decoder) others() {
	d.Check(refusals)
	for _, name := range d.Check(unapplied) {
		if name != "speed" || d.Text("speed") != "standard" { // which is what it gets
			d.Ignore(name)
		}
	}
}

func noServers(v field.Value) error {
	if v.Is('[') && v.Empty() {
		return nil
	}
	return chat.Invalid(v.At, "is not supported: this server calls no others, so offer their tools as tools of your own")
}

func anything(field.Value) error { return nil }

func aText(v field.Value) error {
	_, err := v.Text()
	return err
}

// output reads output_config, and the name that its format had before.
func (d *decoder) output(p *chat.Params) {
	config := d.object("output_config", "effort", "format", "task_budget")
	if v, ok := config.Members["effort"]; ok {
		effort, err := v.Among("low", "medium", "high", "xhigh", "max")
		d.Fail(err)
		p.Effort = effort
	}
	if _, ok := config.Members["task_budget"]; ok {
		d.Ignore("output_config.task_budget")
	}
	for _, v := range []field.Value{config.Members["format"], d.Members["output_format"]} {
		if !v.Null() {
			d.format(p, v)
		}
	}
}

// format reads the schema that the upstream holds the answer to. What of JSON Schema it
// takes, it says itself.
func (d *decoder) format(p *chat.Params, v field.Value) {
	kind, _, err := v.Type("json_schema")
	if err == nil {
		_, err = kind.Among("json_schema")
	}
	d.Fail(err)
	given, err := v.Require("schema", "a JSON Schema, an object")
	d.Fail(err)
	if d.Err != nil {
		return
	}
	d.Fail(schema.Check(given))
	p.Schema = given.Raw
}

// system reads the system prompt.
func (d *decoder) system() string {
	v, ok := d.Members["system"]
	if !ok {
		return ""
	}
	var r reader
	blocks, err := r.content(v, inSystem)
	d.Fail(err)
	return strings.Join(content.Texts(blocks), "\n\n")
}
