package session_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"maxrelay/session/anthropictest"
	"maxrelay/session/chat"
)

func tool(name string) chat.Tool {
	return chat.Tool{Name: name, Description: "does " + name, Schema: json.RawMessage(`{"type":"object","properties":{"n":{"type":"number"}}}`)}
}

// called is an answer's calls, as a client would send them back.
func called(a answer) (calls []chat.Block) {
	for _, e := range a.events {
		switch {
		case e.Type == chat.EventBlockStart && e.Block.Type == chat.BlockToolUse:
			calls = append(calls, *e.Block)
		case e.PartialJSON != "":
			last := &calls[len(calls)-1]
			last.Input = append(last.Input, e.PartialJSON...)
		}
	}
	return calls
}

// echo takes an answer into the history, as a client does.
func (t *talk) echo(a answer) []chat.Block {
	t.t.Helper()
	m := chat.Message{Role: chat.RoleAssistant}
	if a.text != "" {
		m = chat.Text(chat.RoleAssistant, a.text)
	}
	calls := called(a)
	for _, c := range calls {
		input, err := chat.CanonicalJSON(c.Input)
		if err != nil {
			t.t.Fatalf("arguments %s: %v", c.Input, err)
		}
		c.Input = input
		m.Content = append(m.Content, c)
	}
	t.req.Messages = append(t.req.Messages, m)
	return calls
}

func results(calls []chat.Block, texts ...string) chat.Message {
	m := chat.Message{Role: chat.RoleUser}
	for i, c := range calls {
		m.Content = append(m.Content, chat.Block{Type: chat.BlockToolResult, ToolUseID: c.ID,
			Content: []chat.Block{{Type: chat.BlockText, Text: texts[i]}}})
	}
	return m
}

func calls(names ...string) anthropictest.Reply {
	r := anthropictest.Say("let me see")
	for i, name := range names {
		r = r.Then(anthropictest.ToolUse(name, fmt.Sprintf(`{"n": %d.0}`, i)))
	}
	return r
}

func offered(r anthropictest.Request) (names []string) {
	for _, t := range r.Body.Tools {
		names = append(names, t.Name)
	}
	return names
}

func (b *bench) newest() anthropictest.Request {
	b.t.Helper()
	all := b.api.Requests()
	return all[len(all)-1]
}

func TestToolLoopStaysInOneWarmProcess(t *testing.T) {
	b := openReal(t)
	b.api.Answer(calls("weather", "time"), calls("weather"), anthropictest.Say("sunny"))
	c := b.talk("alice", "s")
	c.req.Tools = []chat.Tool{tool("weather"), tool("time")}
	c.req.Messages = []chat.Message{chat.Text(chat.RoleUser, "how is it?")}

	a := b.mustAsk(c.req)
	if got := offered(b.newest()); !slices.Equal(got, []string{"time", "weather"}) {
		t.Errorf("the model was offered %q", got)
	}
	if a.stop != chat.StopToolUse || a.text != "let me see" {
		t.Errorf("stop %q, text %q", a.stop, a.text)
	}
	asked := c.echo(a)
	if len(asked) != 2 || asked[0].Name != "weather" || asked[1].Name != "time" || string(asked[1].Input) != `{"n": 1.0}` {
		t.Fatalf("calls %+v", asked)
	}
	slices.Reverse(asked) // results come in any order
	c.req.Messages = append(c.req.Messages, results(asked, "noon", "rain"))
	a = b.mustAsk(c.req)
	b.mustHaveSeen(c.req.Messages)
	if a.Session != chat.SessionWarm {
		t.Errorf("results: %s, want warm", a.Session)
	}
	c.req.Messages = append(c.req.Messages, results(c.echo(a), "still rain"))
	a = b.mustAsk(c.req)
	b.mustHaveSeen(c.req.Messages)
	if a.Session != chat.SessionWarm || a.text != "sunny" || a.stop != chat.StopEndTurn {
		t.Errorf("last: %s, %q, %s", a.Session, a.text, a.stop)
	}
	c.echo(a)
	c.mustSay("thanks", chat.SessionWarm)
	if n := len(b.api.Requests()); n != 4 {
		t.Errorf("%d upstream calls for 4 turns", n)
	}
}

func TestToolsChangeBetweenTurns(t *testing.T) {
	b := openReal(t)
	c := b.talk("alice", "s")
	c.mustSay("no tools", chat.SessionNew)
	for i, want := range [][]string{{"a", "b"}, {"c"}, nil, {"a"}} {
		c.req.Tools = nil
		for _, name := range want {
			c.req.Tools = append(c.req.Tools, tool(name))
		}
		c.mustSay(fmt.Sprint("turn ", i), chat.SessionWarm)
		if got := offered(b.newest()); !slices.Equal(got, want) {
			t.Errorf("turn %d: offered %q, want %q", i, got, want)
		}
	}
}

func TestToolLoopMovesToAnotherProcess(t *testing.T) {
	b := openReal(t)
	b.api.Answer(calls("weather"), anthropictest.Say("sunny"))
	c := b.talk("alice", "s")
	c.req.Tools = []chat.Tool{tool("weather")}
	c.req.Messages = []chat.Message{
		chat.Text(chat.RoleUser, "how was it?"),
		{Role: chat.RoleAssistant, Content: []chat.Block{{Type: chat.BlockToolUse, ID: "toolu_old", Name: "weather", Input: json.RawMessage(`{}`)}}},
		results([]chat.Block{{ID: "toolu_old"}}, "rain"),
	}
	a := b.mustAsk(c.req)
	b.mustHaveSeen(c.req.Messages)
	if a.Session != chat.SessionReplayed {
		t.Errorf("session %s, want replayed", a.Session)
	}
	if b.newest().Body.Thinking.On() {
		t.Error("a loop whose thinking is lost goes on with thinking")
	}
	c.req.Messages = append(c.req.Messages, results(c.echo(a), "still rain"))
	if a = b.mustAsk(c.req); a.Session != chat.SessionWarm || b.newest().Body.Thinking.On() {
		t.Errorf("the loop's next step: %s, thinking %v", a.Session, b.newest().Body.Thinking.On())
	}
	c.echo(a)
	if c.mustSay("thanks", chat.SessionWarm); !b.newest().Body.Thinking.On() {
		t.Error("the loop is over, and thinking stays off")
	}
}

func TestCallsOfToolsThatWereNotOfferedReachNobody(t *testing.T) {
	for name, reply := range map[string]anthropictest.Reply{
		"alone":                 anthropictest.Say("hm").Then(anthropictest.ToolUse("Bash", `{"command":"id"}`)),
		"beside an offered one": calls("Bash", "weather"),
	} {
		t.Run(name, func(t *testing.T) {
			b := openReal(t)
			b.api.Answer(reply)
			c := b.talk("alice", "s")
			c.req.Tools = []chat.Tool{tool("weather")}
			c.req.Messages = []chat.Message{chat.Text(chat.RoleUser, "q")}
			a := b.mustAsk(c.req)
			for _, call := range called(a) {
				if call.Name == "Bash" {
					t.Error("the client was shown a call of a tool that it did not offer")
				}
			}
			if calls := called(a); (a.stop == chat.StopToolUse) != (len(calls) > 0) {
				t.Errorf("stop %s with %d calls", a.stop, len(calls))
			}
			if n := len(b.api.Requests()); n > 2 {
				t.Errorf("%d upstream calls", n)
			}
			b.api.Unscript()
			c.req.Messages = nil
			c.mustSay("something else", chat.SessionNew) // nothing is left of it
		})
	}
}

func TestParametersReachTheModel(t *testing.T) {
	temperature, topP := 0.5, 0.97
	b := openReal(t)
	c := b.talk("alice", "s")
	c.req.Tools = []chat.Tool{tool("weather")}
	for _, p := range []struct {
		name   string
		params chat.Params
		choice chat.ToolChoice
		want   string // of the request's body
	}{
		{name: "none", want: `{"output_config":{"effort":"medium"},"thinking":true}`},
		{name: "temperature", params: chat.Params{Temperature: &temperature, NoThinking: true}, want: `{"output_config":{"effort":"medium"},"temperature":0.5}`},
		{name: "top_p", params: chat.Params{TopP: &topP}, want: `{"output_config":{"effort":"medium"},"thinking":true,"top_p":0.97}`},
		{name: "top_k", params: chat.Params{TopK: 40, NoThinking: true}, want: `{"output_config":{"effort":"medium"},"top_k":40}`},
		{name: "max tokens", params: chat.Params{MaxTokens: 77}, want: `{"max_tokens":77,"output_config":{"effort":"medium"},"thinking":true}`},
		{name: "stop", params: chat.Params{Stop: []string{"END", "\n\nHuman:"}}, want: `{"output_config":{"effort":"medium"},"stop_sequences":["END","\n\nHuman:"],"thinking":true}`},
		{name: "effort", params: chat.Params{Effort: "high"}, want: `{"output_config":{"effort":"high"},"thinking":true}`},
		{name: "schema", params: chat.Params{Schema: json.RawMessage(`{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}`)},
			want: `{"output_config":{"effort":"medium","format":{"schema":{"additionalProperties":false,"properties":{"a":{"type":"string"}},"type":"object"},"type":"json_schema"}},"thinking":true}`},
		{name: "any tool", choice: chat.ToolChoice{Mode: chat.ChoiceAny}, params: chat.Params{NoThinking: true}, want: `{"output_config":{"effort":"medium"},"tool_choice":{"type":"any"}}`},
		{name: "one tool", choice: chat.ToolChoice{Mode: chat.ChoiceTool, Name: "weather", Sequential: true}, params: chat.Params{NoThinking: true},
			want: `{"output_config":{"effort":"medium"},"tool_choice":{"disable_parallel_tool_use":true,"name":"weather","type":"tool"}}`},
		{name: "no tool", choice: chat.ToolChoice{Mode: chat.ChoiceNone}, want: `{"output_config":{"effort":"medium"},"thinking":true,"tool_choice":{"type":"none"}}`},
		{name: "one call", choice: chat.ToolChoice{Sequential: true}, want: `{"output_config":{"effort":"medium"},"thinking":true,"tool_choice":{"disable_parallel_tool_use":true,"type":"auto"}}`},
		{name: "none again", want: `{"output_config":{"effort":"medium"},"thinking":true}`},
	} {
		c.req.Params, c.req.ToolChoice = p.params, p.choice
		c.say(p.name)
		if got := tuned(t, b.newest()); got != p.want {
			t.Errorf("%s: the model was asked with\n%s\nwant\n%s", p.name, got, p.want)
		}
	}
	if st := b.Stats(); st.Idle != 1 {
		t.Errorf("%d processes", st.Idle)
	}
}

// tuned is what of a request's body parameters can change.
func tuned(t *testing.T, r anthropictest.Request) string {
	t.Helper()
	var body, out map[string]any
	if err := json.Unmarshal(r.Raw, &body); err != nil {
		t.Fatal(err)
	}
	out = make(map[string]any)
	for _, k := range []string{"temperature", "top_p", "top_k", "stop_sequences", "tool_choice", "output_config"} {
		if v, ok := body[k]; ok {
			out[k] = v
		}
	}
	if body["max_tokens"] != 128000.0 {
		out["max_tokens"] = body["max_tokens"]
	}
	if body["thinking"] != nil {
		out["thinking"] = true
	}
	b, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestStopsOfWhiteSpaceAreCutHere(t *testing.T) {
	b := openReal(t)
	b.api.Answer(anthropictest.Say("one\n", "\ntwo", "\n\n", "three"), anthropictest.Say("no\n", "such", "\n"))
	c := b.talk("alice", "s")
	c.req.Params.BlankStop = []string{"\n\n"}
	c.req.Messages = []chat.Message{chat.Text(chat.RoleUser, "q")}
	a := b.mustAsk(c.req)
	if a.text != "one" || a.stop != chat.StopSequence {
		t.Errorf("%q, %s", a.text, a.stop)
	}
	c.echo(a)
	c.req.Messages = append(c.req.Messages, chat.Text(chat.RoleUser, "more"))
	if a = b.mustAsk(c.req); a.text != "no\nsuch\n" || a.stop != chat.StopEndTurn {
		t.Errorf("%q, %s", a.text, a.stop)
	}
	b.mustHaveSeen(c.req.Messages)
}

func TestManyTools(t *testing.T) {
	b := openReal(t)
	c := b.talk("alice", "s")
	var want []string
	for i := range 128 {
		c.req.Tools = append(c.req.Tools, tool(fmt.Sprintf("tool-%03d_%s", i, strings.Repeat("x", 100))))
		want = append(want, c.req.Tools[i].Name)
	}
	c.mustSay("hello", chat.SessionNew)
	if got := offered(b.newest()); !slices.Equal(got, want) {
		t.Errorf("%d tools offered", len(got))
	}
}

func TestASchemaThatTheCLIDropsIsAnError(t *testing.T) {
	b := openReal(t)
	c := b.talk("alice", "s")
	c.req.Tools = []chat.Tool{tool("good"), {Name: "bad", Schema: json.RawMessage(`{"properties":{}}`)}}
	c.req.Messages = []chat.Message{chat.Text(chat.RoleUser, "q")}
	a := b.ask(t.Context(), c.req)
	if a.Error == nil || a.Error.Code != chat.CodeInvalid || a.Error.Param != "tools" {
		t.Errorf("got %+v", a.Error)
	}
	if n := len(b.api.Requests()); n > 1 {
		t.Errorf("%d upstream calls", n)
	}
}
