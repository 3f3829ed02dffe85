package anthropic

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"maxrelay/session/chat"
)

const (
	needed = `"model":"m","max_tokens":9,`
	hello  = needed + `"messages":[{"role":"user","content":"a"}]`
	dot    = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

func messages(list string) string { return `{` + needed + `"messages":[` + list + `]}` }

func TestDecodeConversations(t *testing.T) {
	const ask = `{"role":"user","content":"q"},`
	const call = ask + `{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"Let me see."},
		{"type":"tool_use","id":"toolu_1","name":"find","input":{"b":1,"a":2.0},"caller":{"type":"direct"},"cache_control":{"type":"ephemeral"}}]},`
	const result = `[{"role":"user","content":[{"type":"text","text":"q"}]},{"role":"assistant","content":[{"type":"text","text":"Let me see."},` +
		`{"type":"tool_use","id":"toolu_1","name":"find","input":{"a":2,"b":1}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1"`
	for name, tc := range map[string]struct{ list, want string }{
		"a string": {`{"role":"user","content":"a"}`, `[{"role":"user","content":[{"type":"text","text":"a"}]}]`},
		"a block": {`{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]}`,
			`[{"role":"user","content":[{"type":"text","text":"a"}]}]`},
		"neighbours": {ask + `{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":" "}]}`,
			`[{"role":"user","content":[{"type":"text","text":"q"},{"type":"text","text":"a"}]}]`},
		"a system message": {ask + `{"role":"system","content":[{"type":"text","text":"s"}],"output_config":{"effort":"low"}}`,
			`[{"role":"user","content":[{"type":"text","text":"q"},{"type":"text","text":"<system_message>\ns\n</system_message>"}]}]`},
		"an opening": {`{"role":"assistant","content":"Hi!"},{"role":"user","content":"a"}`,
			`[{"role":"user","content":[{"type":"text","text":"<conversation_start/>"}]},{"role":"assistant","content":[{"type":"text","text":"Hi!"}]},{"role":"user","content":[{"type":"text","text":"a"}]}]`},
		"thinking alone": {ask + `{"role":"assistant","content":[{"type":"redacted_thinking","data":"x"}]},{"role":"user","content":"a"}`,
			`[{"role":"user","content":[{"type":"text","text":"q"},{"type":"text","text":"a"}]}]`},
		"a result": {call + `{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"r"}]}`,
			result + `,"content":[{"type":"text","text":"r"}]}]}]`},
		"a failure": {call + `{"role":"user","content":[{"type":"text","text":"go on"},{"type":"tool_result","tool_use_id":"toolu_1","is_error":true,"content":[{"type":"text","text":"r"}]}]}`,
			result + `,"content":[{"type":"text","text":"r"}],"is_error":true},{"type":"text","text":"go on"}]}]`},
		"an empty result": {call + `{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1"}]}`, result + `}]}]`},
		"a tool that was found": {call + `{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"tool_reference","tool_name":"WebFetch"}]}]}`,
			result + `,"content":[{"type":"text","text":"<tool_reference>WebFetch</tool_reference>"}]}]}]`},
		"a picture in a result": {call + `{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"image","source":{"type":"url","url":"https://a/b"}}]}]}`,
			result + `,"content":[{"type":"image","source":{"type":"url","url":"https://a/b"}}]}]}]`},
		"a picture": {`{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":"` + dot + `"}}]}`,
			`[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + dot + `","at":"messages[0].content[0].source.data"}}]}]`},
		"a document": {`{"role":"user","content":[{"type":"document","title":"T","context":"C","source":{"type":"text","media_type":"text/plain","data":"d"}}]}`,
			`[{"role":"user","content":[{"type":"document","source":{"type":"text","media_type":"text/plain","data":"d"},"title":"T","context":"C"}]}]`},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Decode([]byte(messages(tc.list)))
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(r.Messages)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != strings.ReplaceAll(strings.ReplaceAll(tc.want, "<", `\u003c`), ">", `\u003e`) {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestDecodeSystemPrompts(t *testing.T) {
	for given, want := range map[string]string{
		`"Be brief."`: "Be brief.", `[]`: "", `" "`: "",
		`[{"type":"text","text":"Be brief.","cache_control":{"type":"ephemeral","ttl":"1h"}},{"type":"text","text":""},{"type":"text","text":"Be kind."}]`: "Be brief.\n\nBe kind.",
	} {
		r, err := Decode([]byte(`{` + hello + `,"system":` + given + `}`))
		if err != nil || r.System != want {
			t.Errorf("%s: %+v, %v", given, r, err)
		}
	}
}

func TestDecodeParameters(t *testing.T) {
	half := 0.5
	one := 1.0
	off := chat.Params{MaxTokens: 9, NoThinking: true}
	with := func(change func(*chat.Params)) chat.Params {
		p := off
		change(&p)
		return p
	}
	for given, want := range map[string]struct {
		params  chat.Params
		ignored []string
	}{
		``:                            {off, nil},
		`"temperature":0.5`:           {with(func(p *chat.Params) { p.Temperature = &half }), nil},
		`"top_p":0.5`:                 {with(func(p *chat.Params) { p.TopP = &half }), nil},
		`"temperature":0.5,"top_p":1`: {with(func(p *chat.Params) { p.Temperature = &half }), []string{"top_p"}},
		`"top_k":40`:                  {with(func(p *chat.Params) { p.TopK = 40 }), nil},
		`"stop_sequences":["END","\n\n"]`: {with(func(p *chat.Params) {
			p.Stop, p.BlankStop = []string{"END"}, []string{"\n\n"}
		}), nil},
		`"thinking":{"type":"disabled"}`:                                {off, nil},
		`"thinking":{"type":"adaptive"}`:                                {chat.Params{MaxTokens: 9}, nil},
		`"thinking":{"type":"adaptive"},"temperature":1`:                {chat.Params{MaxTokens: 9, Temperature: &one}, nil},
		`"thinking":{"type":"enabled","budget_tokens":2048}`:            {chat.Params{MaxTokens: 9}, []string{"thinking.budget_tokens"}},
		`"thinking":{"type":"between_tools"}`:                           {chat.Params{MaxTokens: 9}, []string{"thinking.type"}},
		`"output_config":{"effort":"xhigh","task_budget":{}}`:           {with(func(p *chat.Params) { p.Effort = "xhigh" }), []string{"output_config.task_budget"}},
		`"output_format":{"type":"json_schema","schema":{"a":1}}`:       {with(func(p *chat.Params) { p.Schema = json.RawMessage(`{"a":1}`) }), nil},
		`"output_config":{"format":{"type":"json_schema","schema":{}}}`: {with(func(p *chat.Params) { p.Schema = json.RawMessage(`{}`) }), nil},
		`"speed":"fast","context_management":{"edits":[]},"diagnostics":{},"inference_geo":"us","fallbacks":"default","compaction":{}`: {off,
			[]string{"compaction", "context_management", "diagnostics", "fallbacks", "inference_geo", "speed"}},
		`"speed":"standard","mcp_servers":[],"container":null,"cache_control":{"type":"ephemeral"},"service_tier":"auto","x":1`: {off, nil},
	} {
		body := `{` + hello + `}`
		if given != "" {
			body = `{` + hello + `,` + given + `}`
		}
		r, err := Decode([]byte(body))
		if err != nil {
			t.Errorf("%s: %v", given, err)
			continue
		}
		if !reflect.DeepEqual(r.Params, want.params) || !slices.Equal(r.Ignored, want.ignored) {
			t.Errorf("%s: got %+v, ignored %q; want %+v, ignored %q", given, r.Params, r.Ignored, want.params, want.ignored)
		}
	}
}

func TestCitationsAreNotMade(t *testing.T) {
	for enabled, ignored := range map[string][]string{"true": {"citations"}, "false": nil} {
		r, err := Decode([]byte(messages(`{"role":"user","content":[{"type":"document","citations":{"enabled":` + enabled + `},"source":{"type":"text","data":"d"}}]}`)))
		if err != nil || !slices.Equal(r.Ignored, ignored) {
			t.Errorf("enabled %s: ignored %q, %v", enabled, r.Ignored, err)
		}
	}
}

func TestDecodeTools(t *testing.T) {
	r, err := Decode([]byte(`{` + hello + `,"stream":true,"metadata":{"user_id":"alice"},"tools":[
		{"type":"custom","name":"find","description":"Finds.","input_schema":{"type":"object","properties":{"a":{"type":"string"}}},"cache_control":{"type":"ephemeral"}},
		{"type":null,"name":"Agent","input_schema":{"anyOf":[{"type":"object"}]},"strict":true,"defer_loading":true,"input_examples":[{}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []chat.Tool{
		{Name: "find", Description: "Finds.", Schema: json.RawMessage(`{"type":"object","properties":{"a":{"type":"string"}}}`)},
		{Name: "enc_Agent", Schema: json.RawMessage(`{"type":"object","properties":{"value":{"anyOf":[{"type":"object"}]}},"required":["value"],"additionalProperties":false}`)},
	}
	if !reflect.DeepEqual(r.Tools, want) || r.ToolChoice != (chat.ToolChoice{}) || !r.Stream || r.User != "alice" {
		t.Errorf("got %+v", r)
	}
	if !slices.Equal(r.Ignored, []string{"tools.defer_loading", "tools.input_examples", "tools.strict"}) {
		t.Errorf("ignored %q", r.Ignored)
	}
}

func TestToolChoices(t *testing.T) {
	const tools = `,"tools":[{"name":"get.weather","input_schema":{"type":"object"}}]`
	for given, want := range map[string]chat.ToolChoice{
		`{"type":"auto"}`: {}, `{"type":"any"}`: {Mode: chat.ChoiceAny}, `{"type":"none"}`: {Mode: chat.ChoiceNone},
		`{"type":"tool","name":"get.weather"}`:             {Mode: chat.ChoiceTool, Name: "enc_get_2eweather"},
		`{"type":"auto","disable_parallel_tool_use":true}`: {Sequential: true},
	} {
		r, err := Decode([]byte(`{` + hello + tools + `,"tool_choice":` + given + `}`))
		if err != nil || r.ToolChoice != want || len(r.Tools) != 1 {
			t.Errorf("%s: %+v, %v", given, r, err)
		}
	}
	r, err := Decode([]byte(`{` + hello + `,"tool_choice":{"type":"none"}}`))
	if err != nil || r.ToolChoice != (chat.ToolChoice{}) {
		t.Errorf("without tools: %+v, %v", r, err)
	}
}

func TestDecodeRefusesAndNamesTheField(t *testing.T) {
	const (
		q     = `{"role":"user","content":"q"},`
		tool  = `{"name":"f","input_schema":{"type":"object"}}`
		first = "messages[0].content[0]"
	)
	user := func(block string) string { return messages(`{"role":"user","content":[` + block + `]}`) }
	more := func(more string) string { return `{` + hello + `,` + more + `}` }
	for name, tc := range map[string]struct{ body, param string }{
		"nothing":                         {``, ""},
		"broken JSON":                     {`{"model":`, ""},
		"an array":                        {`[]`, ""},
		"no model":                        {`{"max_tokens":9,"messages":[{"role":"user","content":"a"}]}`, "model"},
		"no max_tokens":                   {`{"model":"m","messages":[{"role":"user","content":"a"}]}`, "max_tokens"},
		"max_tokens of 0":                 {`{"model":"m","max_tokens":0,"messages":[{"role":"user","content":"a"}]}`, "max_tokens"},
		"half a token":                    {`{"model":"m","max_tokens":1.5,"messages":[{"role":"user","content":"a"}]}`, "max_tokens"},
		"no messages":                     {`{"model":"m","max_tokens":9}`, "messages"},
		"messages as object":              {`{"model":"m","max_tokens":9,"messages":{}}`, "messages"},
		"empty messages":                  {messages(``), "messages"},
		"a message that is a string":      {messages(q + `"b"`), "messages[1]"},
		"no role":                         {messages(q + `{"content":"b"}`), "messages[1].role"},
		"a role of OpenAI's":              {messages(q + `{"role":"developer","content":"b"}`), "messages[1].role"},
		"no content":                      {messages(q + `{"role":"user"}`), "messages[1].content"},
		"content of another type":         {messages(q + `{"role":"user","content":{}}`), "messages[1].content"},
		"blank content":                   {messages(q + `{"role":"user","content":" "}`), "messages[1].content"},
		"an assistant last":               {messages(q + `{"role":"assistant","content":"The answer is"}`), "messages[1]"},
		"a block that is a string":        {user(`"b"`), first},
		"a block without type":            {user(`{"text":"b"}`), first + ".type"},
		"a block without text":            {user(`{"type":"text"}`), first + ".text"},
		"an unknown block":                {user(`{"type":"hologram"}`), first + ".type"},
		"a search result":                 {user(`{"type":"search_result"}`), first + ".type"},
		"an upload":                       {user(`{"type":"container_upload","file_id":"f"}`), first + ".type"},
		"a user's call":                   {user(`{"type":"tool_use","id":"a","name":"f","input":{}}`), first + ".type"},
		"a user's thinking":               {user(`{"type":"thinking","thinking":"hm","signature":"s"}`), first + ".type"},
		"a picture in a system prompt":    {more(`"system":[{"type":"image"}]`), "system[0].type"},
		"a system prompt of another type": {more(`"system":1`), "system"},
		"a call of a server's tool":       {messages(q + `{"role":"assistant","content":[{"type":"server_tool_use"}]},` + q[:len(q)-1]), "messages[1].content[0].type"},
		"a call without id":               {messages(q + `{"role":"assistant","content":[{"type":"tool_use","name":"f","input":{}}]},` + q[:len(q)-1]), "messages[1].content[0].id"},
		"a call without input":            {messages(q + `{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f"}]},` + q[:len(q)-1]), "messages[1].content[0].input"},
		"a call with a list":              {messages(q + `{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":[]}]},` + q[:len(q)-1]), "messages[1].content[0].input"},
		"a call without result":           {messages(q + `{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]},` + q[:len(q)-1]), "messages[2]"},
		"two calls of one id": {messages(q + `{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}},{"type":"tool_use","id":"a","name":"f","input":{}}]},` +
			`{"role":"user","content":[{"type":"tool_result","tool_use_id":"a"}]}`), "messages[1].content"},
		"a result without call":         {user(`{"type":"tool_result","tool_use_id":"a"}`), "messages[0].content"},
		"a result of another type":      {user(`{"type":"tool_result","tool_use_id":"a","content":1}`), first + ".content"},
		"a result with a result":        {user(`{"type":"tool_result","tool_use_id":"a","content":[{"type":"tool_result"}]}`), first + ".content[0].type"},
		"is_error of another type":      {user(`{"type":"tool_result","tool_use_id":"a","is_error":1}`), first + ".is_error"},
		"a file":                        {user(`{"type":"image","source":{"type":"file","file_id":"f"}}`), first + ".source.type"},
		"bytes that are no picture":     {user(`{"type":"image","source":{"type":"base64","data":"QUJD"}}`), first + ".source.data"},
		"bytes that are no PDF":         {user(`{"type":"document","source":{"type":"base64","data":"QUJD"}}`), first + ".source.data"},
		"citations of another type":     {user(`{"type":"document","citations":1}`), first + ".citations"},
		"a tool without name":           {more(`"tools":[{"input_schema":{}}]`), "tools[0].name"},
		"a tool without schema":         {more(`"tools":[{"name":"f"}]`), "tools[0].input_schema"},
		"a tool of another type":        {more(`"tools":[{"name":"f","input_schema":{"type":"array"}}]`), "tools[0].input_schema.type"},
		"a tool twice":                  {more(`"tools":[` + tool + `,` + tool + `]`), "tools[1].name"},
		"a server's tool":               {more(`"tools":[{"type":"web_search_20250305","name":"web_search"}]`), "tools[0].type"},
		"a tool that the model knows":   {more(`"tools":[{"type":"bash_20250124","name":"bash"}]`), "tools[0].type"},
		"tools of another type":         {more(`"tools":{}`), "tools"},
		"a choice without tools":        {more(`"tool_choice":{"type":"any"}`), "tool_choice.type"},
		"a choice of OpenAI's":          {more(`"tools":[` + tool + `],"tool_choice":"auto"`), "tool_choice"},
		"an unknown choice":             {more(`"tools":[` + tool + `],"tool_choice":{"type":"required"}`), "tool_choice.type"},
		"a choice of another tool":      {more(`"tools":[` + tool + `],"tool_choice":{"type":"tool","name":"g"}`), "tool_choice.name"},
		"a choice that names none":      {more(`"tools":[` + tool + `],"tool_choice":{"type":"tool"}`), "tool_choice.name"},
		"too hot":                       {more(`"temperature":1.1`), "temperature"},
		"top_p as text":                 {more(`"top_p":"1"`), "top_p"},
		"a negative top_k":              {more(`"top_k":-1`), "top_k"},
		"a stop that is no list":        {more(`"stop_sequences":"END"`), "stop_sequences"},
		"an empty stop":                 {more(`"stop_sequences":[""]`), "stop_sequences[0]"},
		"thinking as a flag":            {more(`"thinking":true`), "thinking"},
		"thinking of no type":           {more(`"thinking":{}`), "thinking.type"},
		"thinking of an unknown type":   {more(`"thinking":{"type":"deep"}`), "thinking.type"},
		"thinking without its budget":   {more(`"thinking":{"type":"enabled"}`), "thinking.budget_tokens"},
		"a small budget":                {more(`"thinking":{"type":"enabled","budget_tokens":1}`), "thinking.budget_tokens"},
		"thinking with a temperature":   {more(`"thinking":{"type":"adaptive"},"temperature":0`), "thinking"},
		"thinking with a forced call":   {more(`"thinking":{"type":"adaptive"},"tools":[` + tool + `],"tool_choice":{"type":"any"}`), "thinking"},
		"an unknown effort":             {more(`"output_config":{"effort":"minimal"}`), "output_config.effort"},
		"a format without a schema":     {more(`"output_config":{"format":{"type":"json_schema"}}`), "output_config.format.schema"},
		"a format of another type":      {more(`"output_format":{"type":"json_object"}`), "output_format.type"},
		"metadata as text":              {more(`"metadata":"alice"`), "metadata"},
		"a number as user":              {more(`"metadata":{"user_id":1}`), "metadata.user_id"},
		"a container":                   {more(`"container":"c"`), "container"},
		"other servers":                 {more(`"mcp_servers":[{"type":"url"}]`), "mcp_servers"},
		"a thread":                      {more(`"thread":{"type":"create"}`), "thread"},
		"an unknown speed":              {more(`"speed":"slow"`), "speed"},
		"context_management as text":    {more(`"context_management":"none"`), "context_management"},
		"stream of another type":        {more(`"stream":"yes"`), "stream"},
		"sixty-five stops":              {more(`"stop_sequences":["a"` + strings.Repeat(`,"a"`, 64) + `]`), "stop_sequences"},
		"an endless stop":               {more(`"stop_sequences":["` + strings.Repeat("s", maxStop+1) + `"]`), "stop_sequences[0]"},
		"more tools than can be chosen": {more(`"tools":[` + strings.Repeat(`{"name":"f","input_schema":[]},`, maxTools) + tool + `]`), "tools[0].input_schema"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode([]byte(tc.body))
			e, ok := errors.AsType[*chat.Error](err)
			if !ok {
				t.Fatalf("error %v of type %T, want a *chat.Error", err, err)
			}
			if e.Code != chat.CodeInvalid || e.Param != tc.param || e.Message == "" {
				t.Errorf("code %s, param %q, want param %q (%s)", e.Code, e.Param, tc.param, e.Message)
			}
		})
	}
}

func TestErrorsRepeatNoPromptText(t *testing.T) {
	for _, body := range []string{
		messages(`{"role":"SECRET","content":"SECRET"}`), messages(`"SECRET"`),
		messages(`{"role":"user","content":[{"type":"SECRET"}]}`),
		`{` + hello + `,"tools":[{"type":"SECRET","name":"SECRET"}]}`,
		`{` + hello + `,"thinking":{"type":"SECRET"}}`,
		`{` + hello + `,"system":"SECRET`,
	} {
		if _, err := Decode([]byte(body)); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: error %v", body, err)
		}
	}
}

// What was read, written again as a client would, is read the same.
func FuzzDecode(f *testing.F) {
	for _, body := range []string{
		`{` + hello + `}`,
		`{` + hello + `,"system":[{"type":"text","text":"s"}],"stop_sequences":["a"," "],"metadata":{"user_id":"\u0000"},"top_k":3}`,
		messages(`{"role":"user","content":[{"type":"image","source":{"type":"base64","data":"` + dot + `"}},{"type":"document","title":"t","source":{"type":"text","data":"d"}}]}`),
		messages(`{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking"},{"type":"tool_use","id":"a.b","name":"f","input":{"a":1.0}}]},` +
			`{"role":"user","content":[{"type":"tool_result","tool_use_id":"a.b","content":[{"type":"tool_reference","tool_name":"g"}],"is_error":true}]}`),
		messages(`{"role":"assistant","content":"\ud800"},{"role":"system","content":"s"},{"role":"user","content":[{"type":"document","source":{"type":"url","url":"https://a/b"}}]}`),
		`{` + hello + `,"tools":[{"name":"f","input_schema":{"$ref":"#"}}],"tool_choice":{"type":"tool","name":"f"},"thinking":{"type":"disabled"},"output_config":{"format":{"type":"json_schema","schema":{}}}}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := Decode(body)
		if err != nil {
			if _, ok := errors.AsType[*chat.Error](err); !ok {
				t.Fatalf("error of type %T: %v", err, err)
			}
			return
		}
		want := chain(r)
		again, err := Decode(encodeRequest(t, r))
		if err != nil {
			t.Fatalf("accepted input is refused when encoded again: %v", err)
		}
		if again.Model != r.Model || again.User != r.User || again.System != r.System || !slices.Equal(chain(again), want) {
			t.Fatalf("another conversation:\n%+v\n%+v", r.Messages, again.Messages)
		}
	})
}

func chain(r *Request) []chat.Fingerprint {
	return chat.Chain(&chat.Request{System: r.System, Messages: r.Messages})
}

// encodeRequest writes a request as a client would. Schemas that were wrapped have been
// read as a client cannot write them, so tools are left out.
func encodeRequest(t *testing.T, r *Request) []byte {
	for _, m := range r.Messages {
		for i := range m.Content {
			b := &m.Content[i]
			b.ID, b.Name, b.ToolUseID = chat.ClientToolID(b.ID), chat.ClientToolName(b.Name), chat.ClientToolID(b.ToolUseID)
		}
	}
	body, err := json.Marshal(map[string]any{
		"model": r.Model, "max_tokens": r.Params.MaxTokens, "metadata": map[string]string{"user_id": r.User}, "system": r.System, "messages": r.Messages,
	})
	if err != nil {
		t.Fatal(err)
	}
	return body
}
