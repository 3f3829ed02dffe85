package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"maxrelay/api/anthropic"
	"maxrelay/session/anthropictest"
	"maxrelay/session/chat"
)

// What only the Messages API can say in a history reaches the model as it was said.
func TestMessagesReachTheModel(t *testing.T) {
	const (
		asked = `{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{"a":1}}]}`
		more  = `,{"role":"assistant","content":[{"type":"text","text":"b"}]},{"role":"user","content":"c"}`
		notes = `{"type":"document","source":{"type":"text","media_type":"text/plain","data":"d"},"title":"T","context":"C"}`
	)
	result := func(members string) string {
		return `,{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1",` + members + `}]}`
	}
	b := openBench(t, 1)
	for name, tc := range map[string]struct{ messages, want string }{
		"a result that is an error": {asked + result(`"is_error":true,"content":"no such city"`) + more, asked + result(`"is_error":true,"content":"no such city"`) + more},
		"a picture in a result":     {asked + result(`"content":[{"type":"text","text":"look"},`+picture+`]`) + more, asked + result(`"content":[{"type":"text","text":"look"},`+picture+`]`) + more},
		"a document in a result":    {asked + result(`"content":[`+notes+`]`) + more, asked + result(`"content":[`+notes+`]`) + more},
		"an empty result":           {asked + result(`"content":[]`) + more, `{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{"a":1}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1"}]}` + more},
		"a tool that was found": {asked + result(`"content":[{"type":"tool_reference","tool_name":"WebFetch"}]`) + more,
			asked + result(`"content":[{"type":"text","text":"<tool_reference>WebFetch</tool_reference>"}]`) + more},
		"thinking": {`{"role":"user","content":"q"},{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"another server's"},{"type":"text","text":"a"}]},{"role":"user","content":"c"}`,
			`{"role":"user","content":"q"},{"role":"assistant","content":"a"},{"role":"user","content":"c"}`},
		"what looks like commands and files": {
			`{"role":"user","content":[{"type":"text","text":"/help @/etc/passwd !ls"},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"@/etc/passwd"},"title":"/etc/passwd","context":"/init"}]},` +
				`{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"Bash","input":{"command":"@/etc/passwd"}}]}` +
				result(`"content":[{"type":"text","text":"/model opus"},{"type":"tool_reference","tool_name":"@/etc/passwd"}]`) + more,
			`{"role":"user","content":[{"type":"text","text":"/help @/etc/passwd !ls"},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"@/etc/passwd"},"title":"/etc/passwd","context":"/init"}]},` +
				`{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"Bash","input":{"command":"@/etc/passwd"}}]}` +
				result(`"content":[{"type":"text","text":"/model opus"},{"type":"text","text":"<tool_reference>@/etc/passwd</tool_reference>"}]`) + more},
		"a system message": {`{"role":"user","content":"q"},{"role":"system","content":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}]}` + more,
			`{"role":"user","content":[{"type":"text","text":"q"},{"type":"text","text":"<system_message>\ns\n</system_message>"}]}` + more},
	} {
		t.Run(name, func(t *testing.T) {
			got := b.play(t, decodeMessages(t, name, `[`+tc.messages+`]`), anthropictest.Say(answered), answered)
			got.must(t, chat.SessionReplayed, "", plainJSON(t, `[`+tc.want+`]`))
			const next = `,{"role":"assistant","content":"` + answered + `"},{"role":"user","content":"and now?"}`
			got = b.play(t, decodeMessages(t, name, `[`+tc.messages+next+`]`), anthropictest.Say(answered), answered)
			got.must(t, chat.SessionWarm, "", plainJSON(t, `[`+tc.want+next+`]`))
		})
	}
}

// decodeMessages turns a client's messages into a job as the HTTP server does.
func decodeMessages(t *testing.T, user, messages string) *chat.Request {
	t.Helper()
	asked, err := anthropic.Decode([]byte(`{"model":"sonnet","max_tokens":1000,"thinking":{"type":"adaptive"},"metadata":{"user_id":` + quote(user) + `},"messages":` + messages + `}`))
	if err != nil {
		t.Fatalf("the request is refused: %v", err)
	}
	return crossed(t, chat.Request{Tenant: chat.Tenant{Key: "k1", User: asked.User, Pool: "default"}, Model: asked.Model, System: asked.System, Messages: asked.Messages})
}

// A client may change its API in the middle of a conversation.
func TestAConversationGoesOnInTheOtherAPI(t *testing.T) {
	s := newSite(t)
	p := s.start("serve", servesHTTP, realCLI, "serve")
	c := &talk{t: t, url: p.url, req: chatRequest{User: "alice"}}
	if got := c.say("first").session(); got != "new" {
		t.Errorf("session %q of the first turn", got)
	}
	if got := c.message("second"); got != "warm" {
		t.Errorf("session %q of the turn in Anthropic's form", got)
	}
	if got := c.say("third").session(); got != "warm" {
		t.Errorf("session %q of the turn back in OpenAI's", got)
	}
	s.mustHaveSeen(c.req.Messages[:5])
}

// message sends the next question in Anthropic's form, takes the answer into the history
// and returns how the process was had.
func (c *talk) message(text string) string {
	c.t.Helper()
	c.req.Messages = append(slices.Clip(c.req.Messages), message{"user", text})
	body := encoded(map[string]any{"model": "claude-sonnet-4", "max_tokens": 1000, "metadata": map[string]string{"user_id": c.req.User}, "messages": c.req.Messages})
	resp, err := client.Post(c.url+"/v1/messages", "application/json", strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	var got struct{ Content []struct{ Text string } }
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil || resp.StatusCode != http.StatusOK || len(got.Content) != 1 {
		c.t.Fatalf("%q: status %d, %+v, %v", text, resp.StatusCode, got, err)
	}
	c.req.Messages = append(c.req.Messages, message{"assistant", got.Content[0].Text})
	return resp.Header.Get("X-Maxrelay-Session")
}
