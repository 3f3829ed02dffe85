package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// testRefusals holds every refusal to what a developer needs of it: the field at fault,
// and what would be right. None of them reaches the model.
func testRefusals(t *testing.T, b *paramBench) {
	before := len(b.model.Requests())
	for i, tc := range badRequests {
		t.Run(tc.params[:min(len(tc.params), 90)], func(t *testing.T) {
			h := b.ask(t, call{params: tc.params, stream: i%2 == 0})
			h.mustRefuse(t, http.StatusBadRequest, badRequest, "", tc.param, tc.words)
			if !strings.HasPrefix(h.err.Message, tc.param+": ") {
				t.Errorf("the message does not begin with the field: %q", h.err.Message)
			}
		})
	}
	if n := len(b.model.Requests()) - before; n > 0 {
		t.Errorf("the model was asked %d times", n)
	}
	t.Logf("%d refusals", len(badRequests))
}

func userSays(content string) string { return `"messages":[{"role":"user","content":` + content + `}]` }

func messages(list string) string { return `"messages":[` + list + `]` }

func withTool(function string) string {
	return `"tools":[{"type":"function","function":` + function + `}]`
}

const (
	asks    = `{"role":"user","content":"q"},`
	answers = `{"role":"user","content":"r"}`
)

var badRequests = []struct{ params, param, words string }{
	{`"model":null`, "model", "is required"},
	{`"model":""`, "model", "GET /v1/models"},
	{`"model":7`, "model", "must be a string, not a number"},
	{`"stream":"yes"`, "stream", "true or false, not a string"},
	{`"stream_options":true`, "stream_options", "an object, not a boolean"},
	{`"stream_options":{"include_usage":1}`, "stream_options.include_usage", "true or false"},
	{`"user":7`, "user", "a string, not a number"},
	{`"safety_identifier":{}`, "safety_identifier", "a string, not an object"},

	{`"max_tokens":0`, "max_tokens", "at least 1"},
	{`"max_tokens":-5`, "max_tokens", "at least 1"},
	{`"max_tokens":1.5`, "max_tokens", "a whole number"},
	{`"max_tokens":"10"`, "max_tokens", "a number, not a string"},
	{`"max_tokens":1e400`, "max_tokens", "range"},
	{`"max_completion_tokens":0`, "max_completion_tokens", "at least 1"},
	{`"max_completion_tokens":true`, "max_completion_tokens", "a number, not a boolean"},
	{`"temperature":2.1`, "temperature", "between 0 and 2"},
	{`"temperature":-0.1`, "temperature", "between 0 and 2"},
	{`"temperature":"1"`, "temperature", "a number, not a string"},
	{`"top_p":2.5`, "top_p", "between 0 and 2"},
	{`"top_p":[]`, "top_p", "a number, not an array"},
	{`"stop":["a","b","c","d","e"]`, "stop", "at most 4"},
	{`"stop":""`, "stop", "must not be empty"},
	{`"stop":["a",""]`, "stop[1]", "must not be empty"},
	{`"stop":["a",1]`, "stop[1]", "a string, not a number"},
	{`"stop":[null]`, "stop[0]", "a string, not null"},
	{`"stop":{}`, "stop", "a string or an array of strings"},
	{`"reasoning_effort":"huge"`, "reasoning_effort", "one of none, minimal, low, medium, high, xhigh, max"},
	{`"reasoning_effort":3`, "reasoning_effort", "a string, not a number"},
	{`"n":0`, "n", "between 1 and 8"},
	{`"n":9`, "n", "between 1 and 8"},
	{`"n":1.5`, "n", "a whole number"},
	{`"n":"2"`, "n", "a number, not a string"},
	{`"seed":"x"`, "seed", "a number, not a string"},
	{`"seed":1.5`, "seed", "a whole number"},
	{`"presence_penalty":3`, "presence_penalty", "between -2 and 2"},
	{`"frequency_penalty":"x"`, "frequency_penalty", "a number"},
	{`"logit_bias":[]`, "logit_bias", "an object, not an array"},
	{`"verbosity":"loud"`, "verbosity", "one of low, medium, high"},
	{`"prediction":"x"`, "prediction", "an object, not a string"},
	{`"web_search_options":true`, "web_search_options", "an object"},

	{`"logprobs":true`, "logprobs", "not supported"},
	{`"logprobs":"yes"`, "logprobs", "true or false"},
	{`"top_logprobs":3`, "logprobs", "not supported"},
	{`"audio":{"voice":"alloy","format":"wav"}`, "audio", "text"},
	{`"modalities":["text","audio"]`, "modalities[1]", "text"},
	{`"modalities":"text"`, "modalities", "an array of strings"},
	{`"functions":[{"name":"f"}]`, "functions", "use tools"},
	{`"function_call":"auto"`, "function_call", "use tools and tool_choice"},

	{`"tools":{}`, "tools", "an array of tools, not an object"},
	{`"tools":[1]`, "tools[0]", "an object, not a number"},
	{`"tools":[{}]`, "tools[0].type", "is required: function"},
	{`"tools":[{"type":"retrieval"}]`, "tools[0].type", "must be function"},
	{`"tools":[{"type":"custom","custom":{"name":"x"}}]`, "tools[0].type", "must be function"},
	{`"tools":[{"type":"function"}]`, "tools[0].function", "is required: an object"},
	{withTool(`"f"`), "tools[0].function", "an object, not a string"},
	{withTool(`{}`), "tools[0].function.name", "is required"},
	{withTool(`{"name":""}`), "tools[0].function.name", "must not be empty"},
	{withTool(`{"name":"` + strings.Repeat("x", 129) + `"}`), "tools[0].function.name", "not be longer than 128"},
	{withTool(`{"name":"f","description":5}`), "tools[0].function.description", "a string"},
	{withTool(`{"name":"f","strict":"yes"}`), "tools[0].function.strict", "true or false"},
	{withTool(`{"name":"f","parameters":[]}`), "tools[0].function.parameters", "a JSON Schema, an object"},
	{withTool(`{"name":"f","parameters":{"type":"string"}}`), "tools[0].function.parameters.type", "must be object"},
	{withTool(`{"name":"f","parameters":{"type":"object","properties":[]}}`), "tools[0].function.parameters.properties", "an object of schemas"},
	{withTool(`{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"strin"}}}}`), "tools[0].function.parameters", "the name of a type"},
	{withTool(`{"name":"f","parameters":{"type":"object","required":"a"}}`), "tools[0].function.parameters.required", "an array of different strings"},
	{`"tools":[` + function("f", anObject) + `,` + function("f", anObject) + `]`, "tools[1].function.name", "another name"},
	{many(129), "tools", "at most 128"},
	{`"tool_choice":"required"`, "tool_choice", "none or auto in a request without tools"},
	{`"tool_choice":{"type":"function","function":{"name":"f"}}`, "tool_choice", "none or auto in a request without tools"},
	{two + `,"tool_choice":"any"`, "tool_choice", "one of none, auto, required"},
	{two + `,"tool_choice":5`, "tool_choice", "a string"},
	{two + `,"tool_choice":{}`, "tool_choice.type", "is required"},
	{two + `,"tool_choice":{"type":"tool"}`, "tool_choice.type", "one of function, allowed_tools"},
	{two + `,"tool_choice":{"type":"function"}`, "tool_choice.function", "is required"},
	{two + `,"tool_choice":{"type":"function","function":{"name":"f"}}`, "tool_choice.function.name", "one of the tools"},
	{two + `,"tool_choice":{"type":"allowed_tools"}`, "tool_choice.allowed_tools", "mode and tools"},
	{two + `,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"none","tools":[]}}`, "tool_choice.allowed_tools.mode", "one of auto, required"},
	{two + `,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[]}}`, "tool_choice.allowed_tools.tools", "at least one of the tools"},
	{two + `,"parallel_tool_calls":"no"`, "parallel_tool_calls", "true or false"},

	{`"response_format":"json"`, "response_format", "an object, not a string"},
	{`"response_format":{}`, "response_format.type", "text, json_object or json_schema"},
	{`"response_format":{"type":"yaml"}`, "response_format.type", "one of text, json_object, json_schema"},
	{`"response_format":{"type":"json_schema"}`, "response_format.json_schema", "name and schema"},
	{`"response_format":{"type":"json_schema","json_schema":{"schema":{}}}`, "response_format.json_schema.name", "is required"},
	{`"response_format":{"type":"json_schema","json_schema":{"name":"a b","schema":{}}}`, "response_format.json_schema.name", "letters, digits"},
	{`"response_format":{"type":"json_schema","json_schema":{"name":"a"}}`, "response_format.json_schema.schema", "is required"},
	{schemaFormat(`[]`, ``), "response_format.json_schema.schema", "a JSON Schema, an object"},
	{schemaFormat(`{"type":"strin"}`, ``), "response_format.json_schema.schema", "must be a JSON Schema"},
	{schemaFormat(`{"$ref":"https://example.com/x.json"}`, ``), "response_format.json_schema.schema", "nothing outside"},
	{schemaFormat(`{"not":{}}`, `,"strict":true`), "response_format.json_schema.schema", "anyOf"},
	{schemaFormat(`{}`, `,"strict":"yes"`), "response_format.json_schema.strict", "true or false"},

	{`"messages":null`, "messages", "is required"},
	{`"messages":[]`, "messages", "at least one message"},
	{`"messages":"hi"`, "messages", "an array of messages, not a string"},
	{messages(`null`), "messages[0]", "an object, not null"},
	{messages(`{"content":"q"}`), "messages[0].role", "system, developer, user, assistant or tool"},
	{messages(`{"role":"human","content":"q"}`), "messages[0].role", "system, developer, user, assistant or tool"},
	{messages(`{"role":7,"content":"q"}`), "messages[0].role", "a string"},
	{messages(asks + `{"role":"function","name":"f","content":"q"}`), "messages[1].role", "use tools"},
	{messages(`{"role":"system","content":"s"}`), "messages", "role user"},
	{messages(`{"role":"user"}`), "messages[0].content", "is required"},
	{userSays(`7`), "messages[0].content", "a string or an array of content parts"},
	{userSays(`" \n"`), "messages[0].content", "must hold some text"},
	{userSays(`[]`), "messages[0].content", "must hold some text"},
	{userSays(`[{"text":"q"}]`), "messages[0].content[0].type", "is required"},
	{userSays(`[{"type":"video"}]`), "messages[0].content[0].type", "text, image_url, image, document or file"},
	{userSays(`[{"type":"text"}]`), "messages[0].content[0].text", "is required"},
	{userSays(`[{"type":"text","text":"q"},{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}}]`), "messages[0].content[1].type", "audio is not supported"},
	{userSays(`[{"type":"image_url"}]`), "messages[0].content[0].image_url", "is required"},
	{userSays(`[{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}]`), "messages[0].content[0].image_url.url", "http:, https: or data:"},
	{userSays(`[{"type":"image_url","image_url":{"url":"data:image/png,AAAA"}}]`), "messages[0].content[0].image_url.url", "base64"},
	{userSays(`[{"type":"image_url","image_url":"data:image/png;base64,A*"}]`), "messages[0].content[0].image_url", "is not base64"},
	{userSays(`[{"type":"image_url","image_url":"data:image/png;base64,AAAA"}]`), "messages[0].content[0].image_url", "PNG, JPEG, GIF or WebP"},
	{userSays(`[{"type":"image","source":{"type":"file"}}]`), "messages[0].content[0].source.type", "base64 or url"},
	{userSays(`[{"type":"file","file":{"file_id":"file-1"}}]`), "messages[0].content[0].file.file_id", "file_data"},
	{userSays(`[{"type":"file","file":{"filename":"a.pdf"}}]`), "messages[0].content[0].file.file_data", "is required"},
	{userSays(`[{"type":"file","file":{"file_data":"data:application/pdf;base64,AAAA"}}]`), "messages[0].content[0].file.file_data", "%PDF-"},
	{messages(`{"role":"system","content":[{"type":"image_url","image_url":"https://example.com/a.png"}]},` + answers), "messages[0].content[0].type", "system and developer messages cannot hold"},
	{messages(`{"role":"user","name":"a b","content":"q"}`), "messages[0].name", "1 to 64 characters"},
	{messages(asks + `{"role":"assistant","content":"prefill"}`), "messages[1]", "must not be the assistant's"},
	{messages(asks + `{"role":"assistant","function_call":{"name":"f","arguments":"{}"}},` + answers), "messages[1].function_call", "use tools"},
	{messages(asks + `{"role":"assistant","audio":{"id":"a"}},` + answers), "messages[1].audio", "audio is not supported"},
	{messages(asks + `{"role":"assistant","tool_calls":{}},` + answers), "messages[1].tool_calls", "an array of tool calls"},
	{messages(asks + `{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]},` + answers), "messages[1].tool_calls[0].id", "is required"},
	{messages(asks + `{"role":"assistant","tool_calls":[{"id":"c","type":"custom"}]},` + answers), "messages[1].tool_calls[0].type", "must be function"},
	{messages(asks + `{"role":"assistant","tool_calls":[{"id":"c","function":{"arguments":"{}"}}]},` + answers), "messages[1].tool_calls[0].function.name", "is required"},
	{messages(asks + `{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f"}}]},` + answers), "messages[1].tool_calls[0].function.arguments", "is required"},
	{messages(asks + `{"role":"tool","content":"r"}`), "messages[1].tool_call_id", "is required"},
	{messages(asks + `{"role":"tool","tool_call_id":"","content":"r"}`), "messages[1].tool_call_id", "bytes long"},
	{messages(asks + `{"role":"tool","tool_call_id":"c","content":"r"}`), "messages[1].tool_call_id", `no call "c"`},
	{fmt.Sprintf(`"messages":[%s%s]`, strings.Repeat(asks, 3), `{"role":"user","content":[{"type":"text","text":7}]}`), "messages[3].content[0].text", "a string, not a number"},
}
