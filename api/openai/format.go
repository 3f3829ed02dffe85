package openai

import (
	"encoding/json"
	"regexp"
	"strings"

	"maxrelay/api/field"
	"maxrelay/session/chat"
)

// Format is the form that response_format wants an answer's text to have. The zero
// value is plain text.
type Format struct {
	JSON   bool            // a JSON object, of any schema
	Schema json.RawMessage // JSON of this schema, the client's own
	Strict bool            // the answer is held to Schema
}

// Checked reports whether Check can fail: the answer is held to a form.
func (f Format) Checked() bool { return f.JSON || f.Strict }

// jsonInstruction is what json_object adds to the system prompt. It is the same for
// all, so conversations of one format share their prompt's cache.
const jsonInstruction = "Answer with a single JSON object and nothing else: no words before or after it, no code fences."

// instruct returns the system prompt for the format. A schema needs no words: the API
// itself keeps the model to it.
func (f Format) instruct(system string) string {
	switch {
	case !f.JSON:
		return system
	case system == "":
		return jsonInstruction
	}
	return system + "\n\n" + jsonInstruction
}

// format reads response_format. The second result is the schema as the upstream takes
// it.
func (d *decoder) format() (Format, json.RawMessage) {
	v, ok := d.Members["response_format"]
	if !ok {
		return Format{}, nil
	}
	f, schema, err := decodeFormat(v)
	d.Fail(err)
	return f, schema
}

func decodeFormat(v field.Value) (Format, json.RawMessage, error) {
	members, err := v.Members("type", "json_schema")
	if err != nil {
		return Format{}, nil, err
	}
	kind, ok := members["type"]
	if !ok {
		return Format{}, nil, chat.Invalid(v.At+".type", "is required: text, json_object or json_schema")
	}
	name, err := kind.Among("text", "json_object", "json_schema")
	if err != nil || name == "text" {
		return Format{}, nil, err
	}
	if name == "json_object" {
		return Format{JSON: true}, nil, nil
	}
	format, ok := members["json_schema"]
	if !ok {
		return Format{}, nil, chat.Invalid(v.At+".json_schema", "is required: an object with name and schema")
	}
	return decodeSchemaFormat(format)
}

var formatName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

func decodeSchemaFormat(v field.Value) (Format, json.RawMessage, error) {
	members, err := v.Members("name", "description", "schema", "strict")
	if err != nil {
		return Format{}, nil, err
	}
	d := field.Object{Members: members}
	if _, ok := members["name"]; !ok {
		d.Fail(chat.Invalid(v.At+".name", "is required: a name for the format"))
	}
	if name := d.Text("name"); !formatName.MatchString(name) {
		d.Fail(chat.Invalid(v.At+".name", "must be 1 to 64 letters, digits, underscores or dashes"))
	}
	schema, ok := members["schema"]
	if !ok {
		d.Fail(chat.Invalid(v.At+".schema", "is required: a JSON Schema, an object"))
	}
	f := Format{Strict: d.Flag("strict")}
	description := d.Text("description")
	if d.Err != nil {
		return Format{}, nil, d.Err
	}
	if err := checkSchema(schema, f.Strict); err != nil {
		return Format{}, nil, err
	}
	f.Schema = json.RawMessage(schema.Raw)
	return f, outputSchema(schema, description), nil
}

// Check returns what of an answer's text is to be shown, or a CodeInvalidOutput error
// when it does not have the format. Of an answer in json_object it takes off what the
// model said around the object.
func (f Format) Check(text string) (string, error) {
	switch {
	case f.JSON:
		return soleObject(text)
	case f.Strict:
		return text, f.validate(text)
	}
	return text, nil
}

func invalidOutput(words string) error {
	return &chat.Error{Code: chat.CodeInvalidOutput, Message: words}
}

func soleObject(text string) (string, error) {
	if whole := strings.TrimSpace(text); !strings.HasPrefix(whole, "{") && json.Valid([]byte(whole)) {
		return "", invalidOutput("the model answered with JSON that is no object: send the request again")
	}
	var c objectCut
	object := c.next(text)
	if !c.ended || !json.Valid([]byte(object)) {
		return "", invalidOutput("the model did not answer with a JSON object: send the request again")
	}
	return object, nil
}
