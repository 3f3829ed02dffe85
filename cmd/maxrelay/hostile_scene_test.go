package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"maxrelay/session/anthropictest"
	"maxrelay/session/anthropictest/wire"
	"maxrelay/session/chat"
)

// scene is a conversation that is full of one text: two turns, so that a process is told
// it once and once has it from the model.
type scene struct {
	text   string
	serial int      // names the tools, which a process cannot have twice in different words
	lines  []string // what was said, as the client has it
	shown  []string // and as the model is to be shown it
	said   choice   // the answer of the first turn
}

func newScene(s string, serial int) *scene {
	c := &scene{text: s, serial: serial}
	for _, p := range spots {
		if p.takes(s) {
			c.say(p.client(s), p.shown(s))
		}
	}
	return c
}

func (c *scene) say(client, shown string) {
	c.lines = append(c.lines, client)
	if shown != "" {
		c.shown = append(c.shown, shown)
	}
}

// tell is the first turn. The text is in the history, in the question and in the tools
// that are offered, and the model answers with it.
func (c *scene) tell(t *testing.T, b *stage) {
	reply := anthropictest.ToolUse(c.upstreamTool(), encodedArguments(c.text))
	c.said = choice{calls: c.tool() + encodedArguments(c.text), finish: "tool_calls"}
	if visible(c.text) {
		c.said.text, reply = c.text, anthropictest.Say(c.text).Then(reply)
	}
	h := b.ask(t, reply, nil, c.messages(), c.tools())
	c.mustHaveShown(t, b, h, `{}`)
	c.mustHaveOffered(t, h.shown[0])
	h.must(t, c.said)
	if len(h.ids) != 1 {
		t.Fatalf("%d calls", len(h.ids))
	}
	c.echo(h.ids[0])
}

// echo takes the answer into the history.
func (c *scene) echo(id string) {
	content, shown := "null", ""
	if c.said.text != "" {
		content = encoded(c.said.text)
	}
	if answerOf(c.said.text) != "" {
		shown = strings.Trim(textBlocks(c.said.text), "[]") + ","
	}
	c.say(fmt.Sprintf(`{"role":"assistant","content":%s,"refusal":null,"tool_calls":[{"id":%q,"type":"function","function":{"name":%s,"arguments":%s}}]}`,
		content, id, encoded(c.tool()), encoded(encodedArguments(c.text))),
		says("assistant", "["+shown+use(id, c.upstreamTool(), encodedArguments(c.text))+"]"))
	c.say(resulted(id, encoded(c.text)), says("user", "["+resultOf(id, c.text)+"]"))
}

// goOn is the second turn, in the process that has the first one from the model.
func (c *scene) goOn(t *testing.T, b *stage) {
	question := c.text
	if !visible(question) {
		question = "And now?"
	}
	c.say(says("user", encoded(question)), says("user", textBlocks(question)))
	h := b.ask(t, anthropictest.Say("Good"), c.header(), append(c.members(), c.messages(), c.tools())...)
	session := chat.SessionWarm
	if heldOtherwise(c.text) {
		session = chat.SessionRewound
	}
	c.mustHaveShown(t, b, h, c.shownMembers(t, b, session))
	h.must(t, choice{text: "Good", finish: "stop"})
	if got := h.header.Get("X-Maxrelay-Session"); got != string(session) {
		t.Errorf("session %s, want %s", got, session)
	}
	if got := h.ignored(); got != "logit_bias, prediction, web_search_options" {
		t.Errorf("ignored: %s", got)
	}
}

// heldOtherwise are the texts of which the CLI, as a model's own, keeps other words than
// those it passed on. The turn is told to it anew.
func heldOtherwise(s string) bool {
	return visible(s) && answerOf(s) == "" || s == "[Request interrupted by user for tool use]" ||
		regexp.MustCompile(`\\u00[0-9a-fA-F]{2}`).MatchString(s)
}

func (c *scene) messages() string { return `"messages":[` + strings.Join(c.lines, ",") + `]` }

// mustHaveShown checks the one call of the model: the conversation, and with which
// members the model was asked otherwise than for nothing in particular.
func (c *scene) mustHaveShown(t *testing.T, b *stage, h heard, members string) {
	t.Helper()
	if h.status != http.StatusOK || len(h.shown) != 1 {
		t.Fatalf("status %d, %+v, %d calls of the model", h.status, h.err, len(h.shown))
	}
	if got, want := conversationOf(t, h.shown[0]), mergedJSON(t, c.shown); got != want {
		t.Errorf("the model was shown\n%s\nwant\n%s", clip(got), clip(want))
	}
	if got := b.unlike(h.shown[0]); got != members {
		t.Errorf("the model was asked with %s, want %s", clip(got), clip(members))
	}
	if got := anthropictest.System(h.shown[0]); len(got) > 0 {
		t.Errorf("the model was given the system prompt %q", clip(got[0]))
	}
}

// mergedJSON is a conversation in the form of plain, its neighbours of one role merged.
func mergedJSON(t *testing.T, lines []string) string {
	t.Helper()
	var list, merged []wire.Message
	if err := json.Unmarshal([]byte("["+strings.Join(lines, ",")+"]"), &list); err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		if n := len(merged); n > 0 && merged[n-1].Role == m.Role {
			merged[n-1].Content = append(merged[n-1].Content, m.Content...)
		} else {
			merged = append(merged, m)
		}
	}
	return plainMessages(t, merged)
}

// tool is the function that the model calls: one with the text's name, where it can be a
// name.
func (c *scene) tool() string {
	if isName(c.text) {
		return c.text
	}
	return fmt.Sprint("t", c.serial)
}

func (c *scene) upstreamTool() string { return chat.ToolName(c.tool()) }

// offers are the tools with the text in them, and how the model must be offered them.
func (c *scene) offers() (client, shown []string) {
	told := fmt.Sprintf(`{"type":"object","properties":{"p":{"type":"string","description":%s,"title":%[1]s,"enum":[%[1]s],"default":%[1]s,"examples":[%[1]s],"$comment":%[1]s}},"required":["p"]}`, encoded(c.text))
	named := fmt.Sprintf(`{"type":"object","properties":{%s:{"type":"string"}},"required":[%[1]s]}`, encoded(c.text))
	none := `{"type":"object","properties":{}}`
	add := func(name, description, schema, upstream string) {
		client = append(client, fmt.Sprintf(`{"type":"function","function":{"name":%s,"description":%s,"parameters":%s}}`, encoded(name), encoded(description), schema))
		shown = append(shown, fmt.Sprintf(`{"name":%q,"description":%s,"input_schema":%s}`, chat.ToolName(name), encoded(description), upstream))
	}
	add(fmt.Sprint("t", c.serial), c.text, told, told)
	if isPropertyName(c.text) {
		add(fmt.Sprint("p", c.serial), "plain", named, named)
	} else {
		add(fmt.Sprint("p", c.serial), "wrapped", named, `{"type":"object","properties":{"value":`+named+`},"required":["value"],"additionalProperties":false}`)
	}
	if isName(c.text) {
		add(c.text, "named", none, none)
	}
	return client, shown
}

// isPropertyName is the Messages API's rule for the top of a tool's schema.
func isPropertyName(s string) bool { return propertyName.MatchString(s) }

func (c *scene) tools() string {
	client, _ := c.offers()
	return `"tools":[` + strings.Join(client, ",") + `]`
}

func (c *scene) mustHaveOffered(t *testing.T, r anthropictest.Request) {
	t.Helper()
	_, want := c.offers()
	var got []string
	for _, tool := range r.Body.Tools {
		got = append(got, canonical(tool.Raw))
	}
	for i := range want {
		want[i] = canonical([]byte(want[i]))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the model was offered\n%s\nwant\n%s", clip(strings.Join(got, "\n")), clip(strings.Join(want, "\n")))
	}
}

// members are other members of a request with the text in them.
func (c *scene) members() []string {
	s, x := encoded(c.text), encoded("x-"+c.text)
	m := []string{
		fmt.Sprintf(`"metadata":{"k":%s,%s:%[1]s},"prompt_cache_key":%[1]s,"service_tier":%[1]s,"safety_identifier":%[1]s,"store":%[1]s,%[2]s:%[1]s`, s, x),
		fmt.Sprintf(`"prediction":{"type":"content","content":%s},"logit_bias":{%[1]s:1},"web_search_options":{%s:%[1]s}`, s, x),
		fmt.Sprintf(`"response_format":{"type":"json_schema","json_schema":{"name":%s,"description":%s,"schema":%s}}`, encoded(c.formatName()), s, c.schema()),
	}
	if isStop(c.text) {
		m = append(m, `"stop":[`+s+`,"\n"]`)
	}
	return m
}

func (c *scene) formatName() string {
	if isFormatName(c.text) {
		return c.text
	}
	return "format"
}

func isFormatName(s string) bool { return regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`).MatchString(s) }

// isStop is a stop that the upstream takes; a blank one is cut here.
func isStop(s string) bool { return visible(s) && len(s) <= 4096 }

// schema is of an object with the text in it as a name and in words. A description that
// says nothing is none.
func (c *scene) schema() string {
	s, described := encoded(c.text), ""
	if c.text != "" {
		described = `,"description":` + s
	}
	return fmt.Sprintf(`{"type":"object","properties":{%s:{"type":"string","title":%[1]s,"enum":[%[1]s]%s}},"required":[%[1]s],"additionalProperties":false}`, s, described)
}

// shownMembers is what of them the model is asked with.
func (c *scene) shownMembers(t *testing.T, b *stage, session chat.Session) string {
	t.Helper()
	schema := c.schema()
	if c.text != "" {
		schema = fmt.Sprintf(`{"description":%s,%s`, encoded(c.text), schema[1:])
	}
	shown := map[string]any{}
	var config map[string]any
	if err := json.Unmarshal(b.plain["output_config"], &config); err != nil {
		t.Fatal(err)
	}
	config["format"] = map[string]any{"type": "json_schema", "schema": json.RawMessage(schema)}
	shown["output_config"] = config
	if isStop(c.text) {
		shown["stop_sequences"] = []string{c.text}
	}
	if session != chat.SessionWarm { // a tool loop goes on without thoughts where the former are lost
		shown["thinking"] = nil
	}
	return string(squeeze(wire.Canonical(shown)))
}

// header has the text in every header that is read.
func (c *scene) header() http.Header {
	if !isHeader(c.text) || len(c.text) > 200 {
		return nil
	}
	return http.Header{"Idempotency-Key": {fmt.Sprint(c.serial, " ", c.text)}}
}
