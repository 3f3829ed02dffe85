package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"maxrelay/api/schema"
	"maxrelay/session/chat"
)

const weather = `{"type":"function","function":{"name":"get_weather","description":"of a city","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}`

// function is a tool of that name and those parameters.
func function(name, parameters string) string {
	return fmt.Sprintf(`{"type":"function","function":{"name":%q,"parameters":%s}}`, name, parameters)
}

func accept(t *testing.T, params string) *Request {
	t.Helper()
	r, err := Decode([]byte(`{` + strings.TrimSuffix(hello+","+params, ",") + `}`))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// mustRefuse wants each of the parameters refused, and the error to name its place.
func mustRefuse(t *testing.T, cases map[string][2]string) {
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Decode([]byte(`{` + hello + `,` + tc[0] + `}`))
			if e, ok := errors.AsType[*chat.Error](err); !ok || e.Code != chat.CodeInvalid || e.Param != tc[1] || e.Message == "" {
				t.Errorf("got %v, want one at %s", err, tc[1])
			}
		})
	}
}

func TestTools(t *testing.T) {
	r := accept(t, `"tools":[`+weather+`,{"type":"function","function":{"name":"now","strict":true}}]`)
	want := []chat.Tool{
		{Name: "get_weather", Description: "of a city", Schema: json.RawMessage(`{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}`)},
		{Name: "now", Schema: json.RawMessage(`{"type":"object","properties":{}}`)},
	}
	if !reflect.DeepEqual(r.Tools, want) {
		t.Errorf("got %s, want %s", r.Tools, want)
	}
	if r.ToolChoice != (chat.ToolChoice{}) || !reflect.DeepEqual(r.Ignored, []string{"tools.strict"}) {
		t.Errorf("choice %+v, ignored %q", r.ToolChoice, r.Ignored)
	}
}

func TestNamesThatTheUpstreamDoesNotTakeAreMapped(t *testing.T) {
	r := accept(t, `"tools":[`+function("get.weather", `{"anyOf":[{}]}`)+`],"tool_choice":{"type":"function","function":{"name":"get.weather"}}`)
	if name := chat.ToolName("get.weather"); r.Tools[0].Name != name || r.ToolChoice.Name != name || !r.wrapped[name] {
		t.Errorf("got %+v, %+v, %v", r.Tools, r.ToolChoice, r.wrapped)
	}
	call := r.wrapped.Begin(&chat.Block{Type: chat.BlockToolUse, ID: chat.ToolID("a.b"), Name: r.Tools[0].Name})
	if call.Name != "get.weather" || call.ID != "a.b" || !call.Wrapped {
		t.Errorf("call %+v", call)
	}
}

func TestToolChoice(t *testing.T) {
	const tools = `"tools":[` + weather + `,{"type":"function","function":{"name":"now"}}],`
	for name, tc := range map[string]struct {
		params string
		want   chat.ToolChoice
		tools  int
	}{
		"none":                    {tools + `"tool_choice":"none"`, chat.ToolChoice{Mode: chat.ChoiceNone}, 2},
		"auto":                    {tools + `"tool_choice":"auto"`, chat.ToolChoice{}, 2},
		"required":                {tools + `"tool_choice":"required"`, chat.ToolChoice{Mode: chat.ChoiceAny}, 2},
		"by name":                 {tools + `"tool_choice":{"type":"function","function":{"name":"now"}}`, chat.ToolChoice{Mode: chat.ChoiceTool, Name: "now"}, 2},
		"allowed tools":           {tools + `"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"now"}}]}}`, chat.ToolChoice{}, 1},
		"required of allowed":     {tools + `"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"now"}}]}}`, chat.ToolChoice{Mode: chat.ChoiceAny}, 1},
		"one after the other":     {tools + `"parallel_tool_calls":false`, chat.ToolChoice{Sequential: true}, 2},
		"all at once":             {tools + `"parallel_tool_calls":true`, chat.ToolChoice{}, 2},
		"none without tools":      {`"tool_choice":"none","parallel_tool_calls":false`, chat.ToolChoice{}, 0},
		"auto with an empty list": {`"tools":[],"tool_choice":"auto"`, chat.ToolChoice{}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := accept(t, tc.params)
			if r.ToolChoice != tc.want || len(r.Tools) != tc.tools {
				t.Errorf("got %+v of %d tools, want %+v of %d", r.ToolChoice, len(r.Tools), tc.want, tc.tools)
			}
		})
	}
}

func TestToolsRefused(t *testing.T) {
	named := func(choice string) string { return `"tools":[` + weather + `],"tool_choice":` + choice }
	var many []string
	for i := range 129 {
		many = append(many, function(fmt.Sprint("f", i), `{}`))
	}
	mustRefuse(t, map[string][2]string{
		"an object":                   {`"tools":{}`, "tools"},
		"too many":                    {`"tools":[` + strings.Join(many, ",") + `]`, "tools"},
		"a tool that is null":         {`"tools":[null]`, "tools[0]"},
		"no type":                     {`"tools":[{"function":{"name":"f"}}]`, "tools[0].type"},
		"a custom tool":               {`"tools":[` + weather + `,{"type":"custom","custom":{"name":"f"}}]`, "tools[1].type"},
		"no function":                 {`"tools":[{"type":"function"}]`, "tools[0].function"},
		"no name":                     {`"tools":[{"type":"function","function":{}}]`, "tools[0].function.name"},
		"an empty name":               {`"tools":[` + function("", `{}`) + `]`, "tools[0].function.name"},
		"an endless name":             {`"tools":[` + function(strings.Repeat("f", 129), `{}`) + `]`, "tools[0].function.name"},
		"a name twice":                {`"tools":[` + weather + `,` + weather + `]`, "tools[1].function.name"},
		"a number as description":     {`"tools":[{"type":"function","function":{"name":"f","description":1}}]`, "tools[0].function.description"},
		"strict as text":              {`"tools":[{"type":"function","function":{"name":"f","strict":"yes"}}]`, "tools[0].function.strict"},
		"parameters of another type":  {`"tools":[` + function("f", `true`) + `]`, "tools[0].function.parameters"},
		"a schema that is none":       {`"tools":[` + function("f", `{"properties":{"a":{"type":"text"}}}`) + `]`, "tools[0].function.parameters"},
		"arguments of another type":   {`"tools":[` + function("f", `{"type":"string"}`) + `]`, "tools[0].function.parameters.type"},
		"properties of another type":  {`"tools":[` + function("f", `{"properties":[]}`) + `]`, "tools[0].function.parameters.properties"},
		"required of another type":    {`"tools":[` + function("f", `{"required":true}`) + `]`, "tools[0].function.parameters.required"},
		"a number, in an old draft":   {`"tools":[` + function("f", `{"$schema":"http://json-schema.org/draft-07/schema#","required":["a",1]}`) + `]`, "tools[0].function.parameters.required"},
		"a bottomless schema":         {`"tools":[` + function("f", `{"items":`+strings.Repeat(`[`, 70)+strings.Repeat(`]`, 70)+`}`) + `]`, "tools[0].function.parameters"},
		"an endless schema":           {`"tools":[` + function("f", `{"title":"`+strings.Repeat("x", schema.MaxBytes)+`"}`) + `]`, "tools[0].function.parameters"},
		"required without tools":      {`"tool_choice":"required"`, "tool_choice"},
		"required of an empty list":   {`"tools":[],"tool_choice":"required"`, "tool_choice"},
		"a name without tools":        {`"tool_choice":{"type":"function","function":{"name":"f"}}`, "tool_choice"},
		"an unknown word":             {named(`"any"`), "tool_choice"},
		"an unknown choice":           {named(`{"type":"custom","custom":{"name":"f"}}`), "tool_choice.type"},
		"a choice without type":       {named(`{}`), "tool_choice.type"},
		"a choice without function":   {named(`{"type":"function"}`), "tool_choice.function"},
		"a choice without name":       {named(`{"type":"function","function":{}}`), "tool_choice.function.name"},
		"a name not among the tools":  {named(`{"type":"function","function":{"name":"now"}}`), "tool_choice.function.name"},
		"nothing allowed":             {named(`{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}`), "tool_choice.allowed_tools.tools"},
		"allowed but not offered":     {named(`{"type":"allowed_tools","allowed_tools":{"tools":[{"type":"function","function":{"name":"now"}}]}}`), "tool_choice.allowed_tools.tools[0].function.name"},
		"an unknown mode":             {named(`{"type":"allowed_tools","allowed_tools":{"mode":"none","tools":[]}}`), "tool_choice.allowed_tools.mode"},
		"parallel_tool_calls as text": {`"parallel_tool_calls":"no"`, "parallel_tool_calls"},
	})
}

// The CLI drops all tools when one has a schema that is not plainly an object.
func TestSchemasThatCannotStandAtTheTopAreWrapped(t *testing.T) {
	in := func(inner string) string {
		return `{"type":"object","properties":{"value":` + inner + `},"required":["value"],"additionalProperties":false}`
	}
	for name, tc := range map[string]struct{ schema, want string }{
		"plain":                    {`{"$schema":"x", "type":"object","properties":{"b":{},"a":{}}}`, `{"$schema":"x", "type":"object","properties":{"b":{},"a":{}}}`},
		"without type":             {`{"properties":{"a":{"type":"string"}}}`, `{"type":"object","properties":{"a":{"type":"string"}}}`},
		"empty":                    {`{}`, `{"type":"object"}`},
		"anyOf":                    {`{"type":"object","anyOf":[{},{}]}`, in(`{"type":"object","anyOf":[{},{}]}`)},
		"several types":            {`{"type":["object","null"]}`, in(`{"type":["object","null"]}`)},
		"a property of anything":   {`{"type":"object","properties":{"a":true}}`, `{"type":"object","properties":{"a":true}}`},
		"a property with a sign":   {`{"type":"object","properties":{"@id":{}}}`, in(`{"type":"object","properties":{"@id":{}}}`)},
		"a sign further down":      {`{"type":"object","properties":{"a":{"properties":{"@id":{}}}}}`, `{"type":"object","properties":{"a":{"properties":{"@id":{}}}}}`},
		"a reference":              {`{"$ref":"#/$defs/a","$defs":{"a":{"type":"object","properties":{"next":{"$ref":"#"}}}}}`, in(`{"$ref":"#/properties/value/$defs/a","$defs":{"a":{"type":"object","properties":{"next":{"$ref":"#/properties/value"}}}}}`)},
		"what only looks like one": {`{"oneOf":[{"const":{"$ref":"#"}},{"properties":{"$ref":{"type":"string"}}},{"$ref":"https://x/y#/z"},{"$ref":"#anchor"}]}`, in(`{"oneOf":[{"const":{"$ref":"#"}},{"properties":{"$ref":{"type":"string"}}},{"$ref":"https://x/y#/z"},{"$ref":"#anchor"}]}`)},
	} {
		t.Run(name, func(t *testing.T) {
			r := accept(t, `"tools":[`+function("f", tc.schema)+`]`)
			if got := string(r.Tools[0].Schema); got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
			if r.wrapped["f"] != strings.Contains(tc.want, `"value"`) {
				t.Errorf("wrapped %v", r.wrapped)
			}
		})
	}
}

func TestAConversationWithAWrappedToolLooksToTheModelAsItWas(t *testing.T) {
	r, err := Decode([]byte(`{"model":"m","tools":[` + function("f", `{"anyOf":[{"type":"object"}]}`) + `],"messages":[{"role":"user","content":"a"},
		{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},{"role":"tool","tool_call_id":"c","content":"b"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(r.Messages[1].Content[0].Input); got != `{"value":{"a":1}}` {
		t.Errorf("got %s", got)
	}
}
