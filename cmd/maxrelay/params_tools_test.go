package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"maxrelay/session/anthropictest"
	"maxrelay/session/chat"
)

func function(name, parameters string) string {
	return fmt.Sprintf(`{"type":"function","function":{"name":%q,"description":"does %s","parameters":%s}}`, name, name, parameters)
}

const anObject = `{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}`

var two = `"tools":[` + function("weather", anObject) + `,` + function("time", anObject) + `]`

func offeredNames(r anthropictest.Request) (names []string) {
	for _, tool := range r.Body.Tools {
		names = append(names, tool.Name)
	}
	slices.Sort(names)
	return names
}

// What is offered, and how free the model is to call it.
func testOfferedTools(t *testing.T, b *paramBench) {
	both := []string{"time", "weather"}
	for i, tc := range []struct {
		params string
		shown  string
		names  []string
	}{
		{two, `{}`, both},
		{two + `,"tool_choice":"auto"`, `{}`, both},
		{two + `,"tool_choice":"none"`, `{"tool_choice":{"type":"none"}}`, both},
		{two + `,"tool_choice":"required"`, `{"thinking":null,"tool_choice":{"type":"any"}}`, both},
		{two + `,"tool_choice":{"type":"function","function":{"name":"time"}}`, `{"thinking":null,"tool_choice":{"name":"time","type":"tool"}}`, both},
		{two + `,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"time"}}]}}`, `{}`, []string{"time"}},
		{two + `,"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"time"}}]}}`,
			`{"thinking":null,"tool_choice":{"type":"any"}}`, []string{"time"}},
		{two + `,"parallel_tool_calls":true`, `{}`, both},
		{two + `,"parallel_tool_calls":false`, `{"tool_choice":{"disable_parallel_tool_use":true,"type":"auto"}}`, both},
		{two + `,"parallel_tool_calls":false,"tool_choice":"required"`, `{"thinking":null,"tool_choice":{"disable_parallel_tool_use":true,"type":"any"}}`, both},
		{two + `,"parallel_tool_calls":false,"tool_choice":"none"`, `{"tool_choice":{"type":"none"}}`, both},
		{`"tools":[]`, `{}`, nil},
		{`"tools":[],"tool_choice":"auto","parallel_tool_calls":false`, `{}`, nil},
		{`"tool_choice":"none"`, `{}`, nil},
		{many(128), `{}`, manyNames(128)},
	} {
		t.Run(tc.params[:min(len(tc.params), 20)]+fmt.Sprint(i), func(t *testing.T) {
			h := b.ask(t, call{params: tc.params, stream: i%2 == 0})
			h.must(t, hello)
			b.mustShow(t, h, tc.shown)
			if got := offeredNames(h.shown[0]); !slices.Equal(got, tc.names) {
				t.Errorf("the model was offered %q, want %q", got, tc.names)
			}
		})
	}
	t.Run("names of the CLI's own tools", func(t *testing.T) {
		h := b.ask(t, call{params: list(builtIn)})
		h.must(t, hello)
		b.mustShow(t, h, `{}`)
		var want []string
		for _, name := range builtIn {
			want = append(want, chat.ToolName(name))
		}
		slices.Sort(want)
		if got := offeredNames(h.shown[0]); !slices.Equal(got, want) {
			t.Errorf("the model was offered %q, want %q", got, want)
		}
		if got := anthropictest.Conversation(h.shown[0]); len(got) != 1 || got[0].Text() != t.Name() {
			t.Errorf("the model saw %v", got)
		}
	})
	t.Run("strict tools", func(t *testing.T) {
		h := b.ask(t, call{params: `"tools":[{"type":"function","function":{"name":"f","strict":true,"parameters":` + anObject + `}}]`})
		if h.must(t, hello); h.ignored() != "tools.strict" {
			t.Errorf("not applied: %q", h.ignored())
		}
	})
	t.Run("a tool is as the client describes it", func(t *testing.T) {
		h := b.ask(t, call{params: two})
		tool := h.shown[0].Body.Tools[slices.IndexFunc(h.shown[0].Body.Tools, func(t anthropictest.Tool) bool { return t.Name == "weather" })]
		if tool.Description != "does weather" || canonical(tool.InputSchema) != canonical([]byte(anObject)) {
			t.Errorf("%q %s", tool.Description, tool.InputSchema)
		}
	})
}

// builtIn are names that Claude Code 2.1.330 has for its own tools, or once had.
var builtIn = strings.Fields(`Agent Artifact AskUserQuestion Bash BashOutput Edit EnterPlanMode EnterWorktree ExitPlanMode ExitWorktree Glob Grep
	KillShell ListMcpResourcesTool LS LSP Monitor MultiEdit NotebookEdit NotebookRead PowerShell Read ReadMcpResourceTool REPL ScheduleWakeup
	SendMessage SendUserMessage Skill SlashCommand Sleep StructuredOutput Task TaskCreate TaskGet TaskList TaskOutput TaskStop TaskUpdate
	TodoWrite ToolSearch WebFetch WebSearch Workflow Write advisor bash computer mcp__ide__executeCode memory str_replace_editor web_search`)

func list(names []string) string {
	var list []string
	for _, name := range names {
		list = append(list, function(name, anObject))
	}
	return `"tools":[` + strings.Join(list, ",") + `]`
}

func many(n int) string { return list(manyNames(n)) }

func manyNames(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("tool_%03d", i))
	}
	return names
}

// What the model calls, and what the client hears of it.
func testCalls(t *testing.T, b *paramBench) {
	odd := func(name string) string { return `"tools":[` + function(name, anObject) + `]` }
	paris := `{"city": "Paris"}`
	for _, tc := range []struct {
		name, params string
		reply        anthropictest.Reply
		want         choice
	}{
		{"one", two, anthropictest.ToolUse("weather", paris), choice{calls: "weather" + paris, finish: "tool_calls"}},
		{"behind words and thoughts", two, anthropictest.Think("Hm.").Then(anthropictest.Say("Let ", "me.")).Then(anthropictest.ToolUse("weather", paris)),
			choice{thought: "Hm.", text: "Let me.", calls: "weather" + paris, finish: "tool_calls"}},
		{"several", two, anthropictest.ToolUse("weather", paris).Then(anthropictest.ToolUse("time", `{}`)).Then(anthropictest.ToolUse("weather", paris)),
			choice{calls: "weather" + paris + " time{} weather" + paris, finish: "tool_calls"}},
		{"required", two + `,"tool_choice":"required"`, anthropictest.ToolUse("time", `{}`), choice{calls: "time{}", finish: "tool_calls"}},
		{"without arguments", `"tools":[{"type":"function","function":{"name":"now"}}]`, anthropictest.Reply{Parts: []anthropictest.Part{{Type: "tool_use", Name: "now"}}},
			choice{calls: "now{}", finish: "tool_calls"}},
		{"an odd name", odd("get.weather/für ☀"), anthropictest.ToolUse("enc_get_2eweather_2ff_c3_bcr_20_e2_98_80", paris),
			choice{calls: "get.weather/für ☀" + paris, finish: "tool_calls"}},
		{"a name like a mapped one", odd("enc_get_2eweather"), anthropictest.ToolUse("enc_enc_5fget_5f2eweather", paris),
			choice{calls: "enc_get_2eweather" + paris, finish: "tool_calls"}},
		{"a name like one of the CLI's own tools", odd("Bash"), anthropictest.ToolUse("Bash", paris), choice{calls: "Bash" + paris, finish: "tool_calls"}},
		{"one that the CLI keeps for itself", odd("Agent"), anthropictest.ToolUse("enc_Agent", paris), choice{calls: "Agent" + paris, finish: "tool_calls"}},
		{"a name like an MCP tool", odd("mcp__x__y"), anthropictest.ToolUse("mcp__x__y", paris), choice{calls: "mcp__x__y" + paris, finish: "tool_calls"}},
		{"a schema that had to be wrapped", `"tools":[` + function("move", `{"anyOf":[`+anObject+`,{"type":"object","properties":{"by":{"type":"string"}}}]}`) + `]`,
			anthropictest.ToolUse("move", `{"value": {"by": "train"}}`), choice{calls: `move{"by": "train"}`, finish: "tool_calls"}},
		{"one that was not offered", two, anthropictest.Say("hm").Then(anthropictest.ToolUse("Bash", `{"command":"id"}`)), choice{text: "hm", finish: "stop"}},
		{"one that was not offered, beside another", two, anthropictest.Say("hm").Then(anthropictest.ToolUse("Read", `{}`)).Then(anthropictest.ToolUse("time", `{}`)),
			choice{text: "hm", calls: "time{}", finish: "tool_calls"}},
		{"cut in the middle", two + `,"max_tokens":1`, anthropictest.ToolUse("weather", paris), choice{calls: `weather{"city":`, finish: "length"}},
	} {
		b.each(t, tc.name, call{params: tc.params, replies: []anthropictest.Reply{tc.reply}}, func(t *testing.T, h heard) {
			h.must(t, tc.want)
			if null := strings.Contains(string(h.body), `"content":null`); !strings.HasSuffix(t.Name(), "streamed") && null != (h.choices[0].text == "") {
				t.Errorf("content of a message without words: %s", h.body)
			}
			if called := strings.Contains(string(h.body), `"tool_calls":`); called != (tc.want.calls != "") {
				t.Errorf("tool_calls in %s", h.body)
			}
		})
	}
}

// loop is a conversation of calls and results as a client holds it.
type loop struct {
	t     *testing.T
	b     *paramBench
	tools string
	lines []string // messages, as JSON
	calls []toolCall
	heard heard
}

func (b *paramBench) loop(t *testing.T, tools string, replies ...anthropictest.Reply) *loop {
	l := &loop{t: t, b: b, tools: tools, lines: []string{fmt.Sprintf(`{"role":"user","content":%q}`, t.Name())}}
	l.heard = b.ask(t, call{params: l.params(), replies: replies})
	l.echo()
	return l
}

func (l *loop) params() string { return `"messages":[` + strings.Join(l.lines, ",") + `],` + l.tools }

// say adds messages, asks and takes the answer into the history.
func (l *loop) say(messages ...string) heard {
	l.t.Helper()
	l.lines = append(slices.Clip(l.lines), messages...)
	if l.heard = l.b.ask(l.t, call{params: l.params()}); l.heard.status == http.StatusOK {
		l.echo()
	}
	return l.heard
}

func (l *loop) echo() {
	l.t.Helper()
	var body struct {
		Choices []struct{ Message json.RawMessage }
	}
	var m struct {
		Calls []toolCall `json:"tool_calls"`
	}
	if err := json.Unmarshal(l.heard.body, &body); err != nil || len(body.Choices) != 1 || json.Unmarshal(body.Choices[0].Message, &m) != nil {
		l.t.Fatalf("no answer: %s", l.heard.body)
	}
	l.lines, l.calls = append(l.lines, string(body.Choices[0].Message)), m.Calls
}

func (l *loop) result(i int, text string) string {
	return fmt.Sprintf(`{"role":"tool","tool_call_id":%q,"content":%q}`, l.calls[i].ID, text)
}

// lastSketch is the conversation of the newest request, from its second message on.
func (l *loop) lastSketch() string {
	l.t.Helper()
	if len(l.heard.shown) == 0 {
		l.t.Fatalf("the model was asked nothing: %s", l.heard.body)
	}
	return strings.Join(sketch(l.heard.shown[len(l.heard.shown)-1])[1:], "\n")
}

func testToolLoops(t *testing.T, b *paramBench) {
	both := anthropictest.ToolUse("weather", `{"city":"Paris"}`).Then(anthropictest.ToolUse("time", `{}`))
	done := anthropictest.Say("done")
	const asked = `assistant: weather{"city":"Paris"} | time{}` + "\n"
	for name, tc := range map[string]struct {
		results func(l *loop) []string
		shown   string
	}{
		"in the order of the calls": {func(l *loop) []string { return []string{l.result(0, "mild"), l.result(1, "noon")} }, "user: weather = mild | time = noon"},
		"in another order":          {func(l *loop) []string { return []string{l.result(1, "noon"), l.result(0, "mild")} }, "user: weather = mild | time = noon"},
		"with a question behind": {func(l *loop) []string {
			return []string{l.result(1, "noon"), l.result(0, "mild"), `{"role":"user","content":"and?"}`}
		}, "user: weather = mild | time = noon | and?"},
		"with a question between": {func(l *loop) []string {
			return []string{l.result(1, "noon"), `{"role":"user","content":"and?"}`, l.result(0, "mild")}
		}, "user: weather = mild | time = noon | and?"},
		"one of them empty": {func(l *loop) []string { return []string{l.result(0, ""), l.result(1, "noon")} }, "user: weather =  | time = noon"},
		"in parts": {func(l *loop) []string {
			return []string{l.result(0, "mild"), fmt.Sprintf(`{"role":"tool","tool_call_id":%q,"content":[{"type":"text","text":"no"},{"type":"text","text":"on"}]}`, l.calls[1].ID)}
		}, "user: weather = mild | time = no\non"},
		"an error": {func(l *loop) []string { return []string{l.result(0, `{"error":"no such city"}`), l.result(1, "noon")} },
			`user: weather = {"error":"no such city"} | time = noon`},
	} {
		t.Run(name, func(t *testing.T) {
			l := b.loop(t, two, both, done)
			h := l.say(tc.results(l)...)
			h.must(t, choice{text: "done", finish: "stop"})
			if got := l.lastSketch(); got != asked+tc.shown {
				t.Errorf("the model saw\n%s\nwant\n%s", got, asked+tc.shown)
			}
			if h.header.Get("X-Maxrelay-Session") != "warm" {
				t.Errorf("session %q", h.header.Get("X-Maxrelay-Session"))
			}
		})
	}
	t.Run("the tools change between turns", func(t *testing.T) {
		l := b.loop(t, two, anthropictest.ToolUse("time", `{}`), anthropictest.ToolUse("other", `{"city":"x"}`), anthropictest.Say("no tools"))
		for _, step := range []struct {
			tools, text string
			names       []string
			want        choice
		}{
			{`"tools":[` + function("other", anObject) + `]`, "noon", []string{"other"}, choice{calls: `other{"city":"x"}`, finish: "tool_calls"}},
			{`"n":1`, "it", nil, choice{text: "no tools", finish: "stop"}},
		} {
			l.tools = step.tools
			h := l.say(l.result(0, step.text))
			h.must(t, step.want)
			last := h.shown[len(h.shown)-1]
			if got := offeredNames(last); !slices.Equal(got, step.names) || h.header.Get("X-Maxrelay-Session") != "warm" {
				t.Errorf("offered %q, session %q", got, h.header.Get("X-Maxrelay-Session"))
			}
		}
		if got, want := l.lastSketch(), "assistant: time{}\nuser: time = noon\nassistant: other{\"city\":\"x\"}\nuser: other = it"; got != want {
			t.Errorf("the model saw\n%s", got)
		}
	})
	t.Run("odd names and wrapped arguments go back as they came", func(t *testing.T) {
		l := b.loop(t, `"tools":[`+function("a.b", `{"anyOf":[`+anObject+`]}`)+`]`, anthropictest.ToolUse("enc_a_2eb", `{"value":{"city":"x"}}`), done)
		l.say(l.result(0, "it")).must(t, choice{text: "done", finish: "stop"})
		if got, want := l.lastSketch(), "assistant: enc_a_2eb{\"value\":{\"city\":\"x\"}}\nuser: enc_a_2eb = it"; got != want || l.heard.header.Get("X-Maxrelay-Session") != "warm" {
			t.Errorf("session %q, the model saw\n%s", l.heard.header.Get("X-Maxrelay-Session"), got)
		}
	})
	t.Run("a client's own ids", func(t *testing.T) {
		h := b.ask(t, call{params: fmt.Sprintf(`"messages":[{"role":"user","content":%q},{"role":"assistant","tool_calls":[{"id":"call:1/ü","function":{"name":"time","arguments":""}}]},
			{"role":"tool","tool_call_id":"call:1/ü","content":"noon"}],%s`, t.Name(), two)})
		h.must(t, hello)
		if got, want := strings.Join(sketch(h.shown[0])[1:], "\n"), "assistant: time{}\nuser: time = noon"; got != want {
			t.Errorf("the model saw\n%s", got)
		}
	})
}

// A conversation with a call too few or a result too many is refused before anything
// is asked.
func testLoopMistakes(t *testing.T, b *paramBench) {
	const (
		q       = `{"role":"user","content":"q"}`
		called  = `{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"time","arguments":"{}"}},{"id":"c2","type":"function","function":{"name":"time","arguments":"{}"}}]}`
		result1 = `{"role":"tool","tool_call_id":"c1","content":"one"}`
		result2 = `{"role":"tool","tool_call_id":"c2","content":"two"}`
	)
	for name, tc := range map[string]struct{ messages, param, words string }{
		"a result for an unknown call":       {q + `,` + called + `,` + result1 + `,` + result2 + `,{"role":"tool","tool_call_id":"c3","content":"x"}`, "messages[4].tool_call_id", `no call "c3"`},
		"a result without any call":          {q + `,` + result1, "messages[1].tool_call_id", `no call "c1"`},
		"a result after another answer":      {q + `,` + called + `,` + result1 + `,` + result2 + `,{"role":"assistant","content":"a"},` + result1, "messages[5].tool_call_id", `no call "c1"`},
		"a call without a result":            {q + `,` + called + `,` + result1, "messages[2]", `call "c2" of the assistant message before has no result`},
		"no result at all":                   {q + `,` + called + `,` + q, "messages[2]", "has no result"},
		"a call at the end":                  {q + `,` + called, "messages[1]", "must not be the assistant's"},
		"two results for one call":           {q + `,` + called + `,` + result1 + `,` + result2 + `,` + result1, "messages[4].tool_call_id", `call "c1" has a result already`},
		"two calls of one id":                {q + `,{"role":"assistant","tool_calls":[{"id":"c1","function":{"name":"t","arguments":"{}"}},{"id":"c1","function":{"name":"t","arguments":"{}"}}]},` + result1, "messages[1].tool_calls", `two calls have the id "c1"`},
		"arguments that are no JSON":         {q + `,{"role":"assistant","tool_calls":[{"id":"c1","function":{"name":"t","arguments":"{"}}]},` + result1, "messages[1].tool_calls[0].function.arguments", "a string with a JSON object"},
		"arguments that are no object":       {q + `,{"role":"assistant","tool_calls":[{"id":"c1","function":{"name":"t","arguments":"[1]"}}]},` + result1, "messages[1].tool_calls[0].function.arguments", "a string with a JSON object"},
		"arguments that are not in a string": {q + `,{"role":"assistant","tool_calls":[{"id":"c1","function":{"name":"t","arguments":{}}}]},` + result1, "messages[1].tool_calls[0].function.arguments", "a string, not an object"},
	} {
		b.each(t, name, call{params: `"messages":[` + tc.messages + `],` + two}, func(t *testing.T, h heard) {
			h.mustRefuse(t, http.StatusBadRequest, badRequest, "", tc.param, tc.words)
		})
	}
}
