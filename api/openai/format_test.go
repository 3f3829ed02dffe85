package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"maxrelay/api/field"
	"maxrelay/session/chat"
)

// schemaFormat is a response_format of that schema.
func schemaFormat(schema, more string) string {
	return `"response_format":{"type":"json_schema","json_schema":{"name":"reply","schema":` + schema + more + `}}`
}

const person = `{"type":"object","properties":{"name":{"type":"string","pattern":"^[A-Z]"},"age":{"type":"integer","minimum":0}},"required":["name"],"additionalProperties":false}`

func TestFormats(t *testing.T) {
	if r := accept(t, `"response_format":{"type":"text"}`); r.Format.Checked() || r.Params.Schema != nil || r.System != "" {
		t.Errorf("text: %+v", r)
	}
	if r := accept(t, `"response_format":{"type":"json_object"}`); !r.Format.JSON || r.System != jsonInstruction {
		t.Errorf("json_object: %+v", r)
	}
	r := accept(t, schemaFormat(person, `,"strict":true`))
	if !r.Format.Strict || string(r.Format.Schema) != person || !strings.Contains(string(r.Params.Schema), `"age":{"type":"integer","description":"{minimum: 0}"}`) {
		t.Errorf("json_schema: %+v, upstream %s", r.Format, r.Params.Schema)
	}
	if r := accept(t, schemaFormat(person, `,"strict":null`)); r.Format.Checked() || r.Params.Schema == nil {
		t.Errorf("json_schema that is not strict: %+v", r.Format)
	}
}

func TestTheInstructionFollowsTheSystemPrompt(t *testing.T) {
	r, err := Decode([]byte(`{"model":"m","messages":[{"role":"system","content":"Be kind."},{"role":"user","content":"a"}],"response_format":{"type":"json_object"}}`))
	if err != nil || r.System != "Be kind.\n\n"+jsonInstruction {
		t.Errorf("got %q (%v)", r.System, err)
	}
}

func TestFormatsRefused(t *testing.T) {
	const at = "response_format.json_schema.schema"
	deep := strings.Repeat(`{"not":`, 65) + `{}` + strings.Repeat(`}`, 65)
	many := `{"enum":[` + strings.TrimSuffix(strings.Repeat(`{},`, maxSubschemas), ",") + `]}`
	mustRefuse(t, map[string][2]string{
		"a string":                   {`"response_format":"json_object"`, "response_format"},
		"no type":                    {`"response_format":{}`, "response_format.type"},
		"an unknown type":            {`"response_format":{"type":"grammar"}`, "response_format.type"},
		"no schema object":           {`"response_format":{"type":"json_schema"}`, "response_format.json_schema"},
		"no name":                    {`"response_format":{"type":"json_schema","json_schema":{"schema":{}}}`, "response_format.json_schema.name"},
		"a name with spaces":         {`"response_format":{"type":"json_schema","json_schema":{"name":"a b","schema":{}}}`, "response_format.json_schema.name"},
		"no schema":                  {`"response_format":{"type":"json_schema","json_schema":{"name":"a"}}`, at},
		"a schema that is true":      {schemaFormat(`true`, ``), at},
		"an unknown type of value":   {schemaFormat(`{"type":"text"}`, ``), at},
		"a keyword of another type":  {schemaFormat(`{"properties":{"a":{"required":"b"}}}`, ``), at},
		"a reference to nowhere":     {schemaFormat(`{"$ref":"#/$defs/a"}`, ``), at},
		"a reference to a file":      {schemaFormat(`{"$ref":"file:///etc/passwd"}`, ``), at},
		"a reference to the network": {schemaFormat(`{"$ref":"https://127.0.0.1:1/a"}`, ``), at},
		"an unknown draft":           {schemaFormat(`{"$schema":"https://127.0.0.1:1/a"}`, ``), at},
		"a broken pattern":           {schemaFormat(`{"pattern":"("}`, `,"strict":true`), at},
		"not with strict":            {schemaFormat(`{"properties":{"a":{"not":{}}}}`, `,"strict":true`), at},
		"oneOf with strict":          {schemaFormat(`{"oneOf":[{}]}`, `,"strict":true`), at},
		"a bottomless schema":        {schemaFormat(deep, ``), at},
		"too many schemas":           {schemaFormat(many, ``), at},
		"strict as text":             {schemaFormat(`{}`, `,"strict":"yes"`), "response_format.json_schema.strict"},
		"a number as description":    {schemaFormat(`{}`, `,"description":1`), "response_format.json_schema.description"},
	})
}

func TestSchemasThatAreNotStrictMayUseAllOfJSONSchema(t *testing.T) {
	for _, schema := range []string{
		`{}`, `{"oneOf":[{"type":"string"}],"not":{"const":1}}`, `{"type":"string","pattern":"^(?=a)b"}`,
		`{"$schema":"http://json-schema.org/draft-07/schema#","definitions":{"a":{"type":"object"}},"$ref":"#/definitions/a"}`,
		`{"$defs":{"node":{"type":"object","properties":{"next":{"$ref":"#/$defs/node"}}}},"$ref":"#/$defs/node"}`,
	} {
		accept(t, schemaFormat(schema, ``))
	}
}

func TestOutputSchemaHasWhatTheUpstreamTakes(t *testing.T) {
	for name, tc := range map[string]struct{ schema, description, want string }{
		"as it is":                   {`{"type":"object","properties":{"b":{"enum":["x"]},"a":{"$ref":"#/$defs/c"}},"required":["b"],"additionalProperties":false,"$defs":{"c":{"type":["string","null"]}}}`, "", `{"type":"object","properties":{"b":{"enum":["x"]},"a":{"$ref":"#/$defs/c"}},"required":["b"],"$defs":{"c":{"type":["string","null"]}},"additionalProperties":false}`},
		"objects are closed":         {`{"properties":{"a":{"type":"object","properties":{"b":{"type":"null"}}}},"additionalProperties":true}`, "", `{"properties":{"a":{"type":"object","properties":{"b":{"type":"null"}},"additionalProperties":false}},"additionalProperties":false}`},
		"but not to hold nothing":    {`{"type":"object"}`, "", `{"type":"object"}`},
		"maps stay":                  {`{"type":"object","additionalProperties":{"type":"integer","maximum":9}}`, "", `{"type":"object","additionalProperties":{"type":"integer","description":"{maximum: 9}"}}`},
		"limits become words":        {`{"type":"string","description":"A code.","minLength":2,"pattern":"^\\d"}`, "", `{"type":"string","description":"A code.\n\n{minLength: 2, pattern: \"^\\\\d\"}"}`},
		"known formats stay":         {`{"anyOf":[{"type":"string","format":"uuid"},{"type":"string","format":"isbn"}]}`, "", `{"anyOf":[{"type":"string","format":"uuid"},{"type":"string","description":"{format: \"isbn\"}"}]}`},
		"few items":                  {`{"type":"array","minItems":1,"items":{"type":"array","minItems":2,"items":{}}}`, "", `{"type":"array","minItems":1,"items":{"type":"array","items":{},"description":"{minItems: 2}"}}`},
		"oneOf is anyOf":             {`{"oneOf":[{"type":"null"}]}`, "", `{"anyOf":[{"type":"null"}]}`},
		"a schema's name is dropped": {`{"$schema":"x","$id":"y","$comment":"z","type":"null"}`, "", `{"type":"null"}`},
		"the format's description":   {`{"type":"null"}`, "nothing", `{"description":"nothing","type":"null"}`},
		"of an empty schema":         {`{}`, "anything", `{"description":"anything"}`},
		"the schema's own first":     {`{"type":"null","description":"own"}`, "nothing", `{"type":"null","description":"own"}`},
		"a property named minimum":   {`{"properties":{"minimum":{"type":"null"}}}`, "", `{"properties":{"minimum":{"type":"null"}},"additionalProperties":false}`},
	} {
		if got := string(outputSchema(field.Value{Raw: []byte(tc.schema)}, tc.description)); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, tc.want)
		}
	}
}

func TestCheckTakesTheObjectOutOfTheWords(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":1}`:                               `{"a":1}`,
		"```json\n{\"a\": {}}\n```":             `{"a": {}}`,
		"Here {you} go: { \"a}\":\"\\\"}\" } !": `{ "a}":"\"}" }`,
		"{ \n }":                                "{ \n }",
		`{"a":1}{"b":2}`:                        `{"a":1}`,
		`{{"a":1}`:                              `{"a":1}`,
		``:                                      "",
		`no`:                                    "",
		`[{"a":1}]`:                             "",
		`"{\"a\":1}"`:                           "",
		`{"a":1`:                                "",
		`{"a":nope}`:                            "",
		`{a:1}`:                                 "",
	} {
		got, err := Format{JSON: true}.Check(in)
		if e, ok := errors.AsType[*chat.Error](err); got != want || (want == "") != (ok && e.Code == chat.CodeInvalidOutput) {
			t.Errorf("%q: got %q (%v), want %q", in, got, err, want)
		}
	}
}

func TestCheckHoldsAnswersToAStrictSchema(t *testing.T) {
	strict := Format{Schema: json.RawMessage(person), Strict: true}
	for text, good := range map[string]bool{
		`{"name":"Ada","age":36}`: true, ` {"name":"Ada"} `: true, `{"name":"ada"}`: false, `{"name":"Ada","age":-1}`: false,
		`{"age":1}`: false, `{"name":"Ada","x":1}`: false, `{"name":"Ada"`: false, `{"name":"Ada"} ok`: false, `{"age":1e999}`: false,
	} {
		got, err := strict.Check(text)
		if e, ok := errors.AsType[*chat.Error](err); good != (err == nil) || !good && (!ok || e.Code != chat.CodeInvalidOutput) || good && got != text {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
	if text, err := (Format{Schema: json.RawMessage(person)}).Check("anything"); text != "anything" || err != nil {
		t.Errorf("not strict: %q, %v", text, err)
	}
}

// Each level of the answer doubles the visits to the next: without a bound this would
// not end.
func TestCheckGivesUpOnSchemasMadeToBeSlow(t *testing.T) {
	answer := strings.Repeat(`{"a":`, 60) + `1` + strings.Repeat(`}`, 60)
	for name, schema := range map[string]string{
		"references":   `{"$ref":"#/$defs/t","$defs":{"t":{"properties":{"a":{"allOf":[{"$ref":"#/$defs/t"},{"$ref":"#/$defs/t"}]}}}}}`,
		"alternatives": `{"anyOf":[{"$ref":"#/$defs/t"},{"$ref":"#/$defs/t"}],"$defs":{"t":{"type":"object","properties":{"a":{"anyOf":[{"$ref":"#/$defs/t"},{"$ref":"#/$defs/t"}]}}}}}`,
		"an old draft": `{"$schema":"http://json-schema.org/draft-07/schema#","allOf":[{"$ref":"#/definitions/t"}],"definitions":{"t":{"properties":{"a":{"allOf":[{"$ref":"#/definitions/t"},{"$ref":"#/definitions/t"}]}}}}}`,
	} {
		r := accept(t, schemaFormat(schema, `,"strict":true`))
		if _, err := r.Format.Check(answer); err == nil || !strings.Contains(err.Error(), "invalid_output") {
			t.Errorf("%s: %v", name, err)
		}
	}
	slow := Format{Strict: true, Schema: json.RawMessage(`{"items":{"pattern":"(a{500}b?){2}c"}}`)}
	if _, err := slow.Check(`["` + strings.Repeat("a", 1<<20) + `"]`); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("a pattern: %v", err)
	}
}

func TestFormatsOfWholeAnswers(t *testing.T) {
	fenced := []chat.Event{{Type: chat.EventBlockDelta, Text: "Sure!\n```json\n{ \"a"}, {Type: chat.EventBlockDelta, Text: "\": 1}\n```"}}
	end := func(stop chat.StopReason) chat.Event {
		return chat.Event{Type: chat.EventMessageDelta, StopReason: stop}
	}
	object := &Request{Format: Format{JSON: true}}
	for name, tc := range map[string]struct {
		events []chat.Event
		want   string
	}{
		"whole":              {append(fenced, end(chat.StopEndTurn)), `{ "a": 1}`},
		"cut":                {append(fenced[:1:1], end(chat.StopMaxTokens)), `{ "a`},
		"cut before it":      {[]chat.Event{{Type: chat.EventBlockDelta, Text: "Sure! {"}, end(chat.StopMaxTokens)}, ``},
		"stopped":            {append(fenced[:1:1], end(chat.StopSequence)), `{ "a`},
		"words beside calls": {calling, ``},
	} {
		choice, err := gather(object, tc.events).Choice(0)
		if err != nil || choice.Message.Content != nil && *choice.Message.Content != tc.want {
			t.Errorf("%s: %+v, %v", name, choice, err)
		}
		if got := contentOf(t, stream(t, object, tc.events)); got != tc.want {
			t.Errorf("%s: streamed %q, want %q", name, got, tc.want)
		}
	}
}

// contentOf joins what a stream says.
func contentOf(t *testing.T, out string) (content string) {
	for line := range strings.SplitSeq(strings.TrimSuffix(out, "data: [DONE]\n\n"), "\n\n") {
		var chunk struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if line == "" {
			continue
		}
		if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "data: ")), &chunk); err != nil {
			t.Fatal(err)
		}
		content += chunk.Choices[0].Delta.Content
	}
	return content
}

func TestAnswersWithoutTheirFormatFail(t *testing.T) {
	for name, r := range map[string]*Request{
		"json_object": {Format: Format{JSON: true}},
		"json_schema": {Format: Format{Schema: json.RawMessage(person), Strict: true}},
	} {
		events := []chat.Event{{Type: chat.EventBlockDelta, Text: `{"name":"Ada"`}, {Type: chat.EventMessageDelta, StopReason: chat.StopEndTurn}}
		_, whole := gather(r, events).Choice(0)
		s := NewStream(head, r)
		for _, e := range events {
			s.Append(nil, 0, e)
		}
		_, streamed := s.Finish(nil, 0)
		for _, err := range []error{whole, streamed} {
			if e, ok := errors.AsType[*chat.Error](err); !ok || e.Code != chat.CodeInvalidOutput || strings.Contains(e.Message, "Ada") {
				t.Errorf("%s: %v", name, err)
			}
			if f := FailureOf(err); f.Status != 502 || f.Code != "invalid_output" {
				t.Errorf("%s: %d %s", name, f.Status, f.Code)
			}
		}
	}
}

// What streams is what Check gives, however the text is cut in pieces.
func FuzzCheckObject(f *testing.F) {
	for _, text := range []string{`{"a":1}`, "```json\n{ \"a\": {} }\n```", `{{"`, `{ "\\\"}" : "}" } {"b"}`, `[{"a":1}]`, "{\n{}"} {
		f.Add(text, 3)
	}
	f.Fuzz(func(t *testing.T, text string, size int) {
		if !utf8.ValidString(text) || size < 1 {
			return
		}
		clean, err := Format{JSON: true}.Check(text)
		var c objectCut
		streamed := ""
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			streamed += c.next(rest[:n])
			rest = rest[n:]
		}
		if err == nil && (streamed != clean || !json.Valid([]byte(clean)) || clean[0] != '{') {
			t.Errorf("%q streams as %q", clean, streamed)
		}
		if !strings.Contains(text, streamed) {
			t.Errorf("%q is no part of the text", streamed)
		}
	})
}

// No schema makes decoding or checking fail in another way than with an error for the
// client.
func FuzzCheckSchema(f *testing.F) {
	for _, schema := range []string{person, `{"$ref":"#"}`, `{"$dynamicRef":"#a"}`, `{"$id":"urn:x","$anchor":"y"}`, `{"items":[true,{"pattern":"a*"}]}`, `{"$schema":"http://json-schema.org/draft-04/schema#","id":"#a"}`} {
		f.Add(schema, `{"name":"Ada","a":[1,{"a":null}]}`, true)
		f.Add(schema, `[]`, false)
	}
	f.Fuzz(func(t *testing.T, schema, answer string, strict bool) {
		v, err := field.Parse([]byte(schema))
		if err != nil {
			return
		}
		if err := checkSchema(v, strict); err != nil {
			if _, ok := errors.AsType[*chat.Error](err); !ok {
				t.Fatalf("error of type %T: %v", err, err)
			}
			return
		}
		if out := outputSchema(v, "d"); !json.Valid(out) {
			t.Fatalf("upstream's form is no JSON: %s", out)
		}
		if _, err := (Format{Schema: v.Raw, Strict: strict}).Check(answer); err != nil {
			if _, ok := errors.AsType[*chat.Error](err); !ok {
				t.Fatalf("error of type %T: %v", err, err)
			}
		}
	})
}

func BenchmarkStrictSchema(b *testing.B) {
	body := []byte(`{` + hello + `,` + schemaFormat(person, `,"strict":true`) + `}`)
	b.ReportAllocs()
	for b.Loop() {
		r, err := Decode(body)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.Format.Check(`{"name":"Ada","age":36}`); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHostileSchemas(b *testing.B) {
	many := `{"enum":[` + strings.TrimSuffix(strings.Repeat(`{},`, maxSubschemas-2), ",") + `]}`
	var properties strings.Builder
	for i := range maxSubschemas - 2 {
		fmt.Fprintf(&properties, `"p%d":{},`, i)
	}
	wide := `{"properties":{` + strings.TrimSuffix(properties.String(), ",") + `}}`
	for name, schema := range map[string]string{"enum": many, "properties": wide} {
		b.Run(name, func(b *testing.B) {
			body := []byte(`{` + hello + `,` + schemaFormat(schema, ``) + `}`)
			for b.Loop() {
				if _, err := Decode(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("slow", func(b *testing.B) {
		f := Format{Strict: true, Schema: json.RawMessage(`{"$ref":"#/$defs/t","$defs":{"t":{"properties":{"a":{"allOf":[{"$ref":"#/$defs/t"},{"$ref":"#/$defs/t"}]}}}}}`)}
		answer := strings.Repeat(`{"a":`, 60) + `1` + strings.Repeat(`}`, 60)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := f.Check(answer); err == nil {
				b.Fatal("taken")
			}
		}
	})
}
