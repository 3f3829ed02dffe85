package main

import (
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
