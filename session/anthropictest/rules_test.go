package anthropictest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestTheAPIsRules(t *testing.T) {
	const (
		call   = `{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"x","input":{}}]}`
		result = `{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"r"}]}`
		user   = `{"role":"user","content":"u"}`
		env    = `{"role":"system","content":[],"output_config":{"effort":"medium"}}`
		marked = `{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}`
	)
	tools := raw(`[{"name":"x","input_schema":{"type":"object"}}]`)
	budget := raw(`{"type":"enabled","budget_tokens":1024}`)
	tests := []struct {
		name    string
		replace map[string]any
		refusal string // part of the message; empty: accepted
	}{
		{"a plain prompt", nil, ""},
		{"system messages between turns", messages(user, env, call, result, env), ""},
		{"system message before the first user", messages(env, user), ""},
		{"no model", map[string]any{"model": nil}, "model"},
		{"no max_tokens", map[string]any{"max_tokens": nil}, "max_tokens"},
		{"no messages", messages(), "at least one"},
		{"an unknown role", messages(`{"role":"tool","content":"x"}`), "messages.0.role"},
		{"assistant first", messages(`{"role":"assistant","content":"x"}`, user), "first message"},
		{"empty content", messages(`{"role":"user","content":[]}`), "non-empty content"},
		{"empty text", messages(`{"role":"user","content":""}`), "non-empty"},
		{"blank text", messages(`{"role":"user","content":[{"type":"text","text":" \n"}]}`), "non-whitespace"},
		{"empty system text", map[string]any{"system": ""}, "system"},
		{"assistant last ends blank", messages(user, `{"role":"assistant","content":"x "}`), "trailing whitespace"},
		{"call and result", messages(user, call, result), ""},
		{"call without result", messages(user, call, user), "without `tool_result`"},
		{"call at the end", messages(user, call), "without `tool_result`"},
		{"result without call", messages(user, result), "unexpected `tool_use_id`"},
		{"late result", messages(user, call, result, result), "unexpected `tool_use_id`"},
		{"two results", messages(user, call, `{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1"},{"type":"tool_result","tool_use_id":"t1"}]}`), "single result"},
		{"an id used twice", messages(user, call, result, call, result), "unique"},
		{"four breakpoints", messages(`{"role":"user","content":[` + strings.Repeat(marked+",", 3) + marked + `]}`), ""},
		{"five breakpoints", messages(`{"role":"user","content":[` + strings.Repeat(marked+",", 4) + marked + `]}`), "maximum of 4"},
		{"an hour before five minutes", messages(`{"role":"user","content":[` + strings.Replace(marked, `"ephemeral"`, `"ephemeral","ttl":"1h"`, 1) + "," + marked + `]}`), ""},
		{"an hour after five minutes", messages(`{"role":"user","content":[` + marked + "," + strings.Replace(marked, `"ephemeral"`, `"ephemeral","ttl":"1h"`, 1) + `]}`), "must not come after"},
		{"a tool name with a dot", map[string]any{"tools": raw(`[{"name":"a.b"}]`)}, "should match pattern"},
		{"a tool name of 129", map[string]any{"tools": raw(`[{"name":"` + strings.Repeat("a", 129) + `"}]`)}, "should match pattern"},
		{"a tool twice", map[string]any{"tools": raw(`[{"name":"a"},{"name":"a"}]`)}, "unique"},
		{"forced choice", map[string]any{"tools": tools, "tool_choice": raw(`{"type":"any"}`)}, ""},
		{"forced choice while thinking", map[string]any{"tools": tools, "tool_choice": raw(`{"type":"any"}`), "thinking": raw(`{"type":"adaptive"}`)}, "forces tool use"},
		{"auto choice while thinking", map[string]any{"tools": tools, "tool_choice": raw(`{"type":"auto"}`), "thinking": raw(`{"type":"adaptive"}`)}, ""},
		{"choice of an unknown tool", map[string]any{"tools": tools, "tool_choice": raw(`{"type":"tool","name":"y"}`)}, "not found"},
		{"choice without tools", map[string]any{"tool_choice": raw(`{"type":"auto"}`)}, "while providing tools"},
		{"temperature", map[string]any{"temperature": 0.2}, ""},
		{"temperature out of range", map[string]any{"temperature": 1.5}, "range"},
		{"temperature while thinking", map[string]any{"temperature": 0.2, "thinking": raw(`{"type":"adaptive"}`)}, "temperature"},
		{"temperature 1 while thinking", map[string]any{"temperature": 1, "thinking": raw(`{"type":"adaptive"}`)}, ""},
		{"temperature with thinking disabled", map[string]any{"temperature": 0.2, "thinking": raw(`{"type":"disabled"}`)}, ""},
		{"top_p while thinking", map[string]any{"top_p": 0.5, "thinking": raw(`{"type":"adaptive"}`)}, "top_p"},
		{"temperature and top_p", map[string]any{"temperature": 0.2, "top_p": 0.5}, "cannot both"},
		{"a blank stop sequence", map[string]any{"stop_sequences": raw(`["\n"]`)}, "non-whitespace"},
		{"a budget over max_tokens", map[string]any{"thinking": budget}, "max_tokens"},
		{"a small budget", map[string]any{"thinking": raw(`{"type":"enabled","budget_tokens":1}`)}, "1024"},
		{"an open tool loop without thoughts", with(messages(user, call, result), "thinking", budget, "max_tokens", 2000), "Expected `thinking`"},
		{"the same with adaptive thinking", with(messages(user, call, result), "thinking", raw(`{"type":"adaptive"}`)), ""},
		{"a forged thought", with(messages(user, `{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"y"},{"type":"text","text":"a"}]}`, user), "thinking", raw(`{"type":"adaptive"}`)), "signature"},
		{"content of a wrong type", messages(`{"role":"user","content":7}`), "content"},
	}
	s := start(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := mustPost(t, s, prompt(tt.replace))
			body, _ := io.ReadAll(res.Body)
			if tt.refusal == "" {
				if res.StatusCode != http.StatusOK {
					t.Fatalf("refused: %s", body)
				}
				return
			}
			var answer struct {
				Type  string
				Error struct{ Type, Message string }
			}
			if err := json.Unmarshal(body, &answer); err != nil || res.StatusCode != http.StatusBadRequest {
				t.Fatalf("status %d: %s", res.StatusCode, body)
			}
			if answer.Type != "error" || answer.Error.Type != "invalid_request_error" || !strings.Contains(answer.Error.Message, tt.refusal) {
				t.Errorf("got %s, want a message with %q", body, tt.refusal)
			}
		})
	}
}

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func messages(list ...string) map[string]any {
	return map[string]any{"messages": raw("[" + strings.Join(list, ",") + "]")}
}

func with(m map[string]any, pairs ...any) map[string]any {
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
	}
	return m
}
