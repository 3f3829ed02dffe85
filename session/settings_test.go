package session

import (
	"encoding/json"
	"strings"
	"testing"

	"maxrelay/session/chat"
)

func TestSettingsNameEveryVariableEachTime(t *testing.T) {
	tests := []struct {
		name    string
		set     settings
		environ []string
		want    string
	}{
		{"the defaults", settings{}, nil,
			`{"effortLevel":null,"env":{"CLAUDE_CODE_DISABLE_THINKING":"","CLAUDE_CODE_EXTRA_BODY":"","CLAUDE_CODE_MAX_OUTPUT_TOKENS":"","DISABLE_PROMPT_CACHING":""}}`},
		{"everything", settings{effort: "low", maxTokens: 7, noThinking: true, uncached: true, extra: `{"top_p":1}`}, nil,
			`{"effortLevel":"low","env":{"CLAUDE_CODE_DISABLE_THINKING":"1","CLAUDE_CODE_EXTRA_BODY":"{\"top_p\":1}","CLAUDE_CODE_MAX_OUTPUT_TOKENS":"7","DISABLE_PROMPT_CACHING":"1"}}`},
		{"back to an operator's own", settings{}, []string{"CLAUDE_CODE_MAX_OUTPUT_TOKENS=1", "A=b", "CLAUDE_CODE_MAX_OUTPUT_TOKENS=4096"},
			`{"effortLevel":null,"env":{"CLAUDE_CODE_DISABLE_THINKING":"","CLAUDE_CODE_EXTRA_BODY":"","CLAUDE_CODE_MAX_OUTPUT_TOKENS":"4096","DISABLE_PROMPT_CACHING":""}}`},
	}
	for _, tt := range tests {
		got, err := json.Marshal(tt.set.flags(tt.environ))
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %s (%v), want %s", tt.name, got, err, tt.want)
		}
	}
}

func TestPromptTokens(t *testing.T) {
	text := strings.Repeat("long", 100)
	tests := []struct {
		name string
		req  chat.Request
		want int
	}{
		{"nothing", chat.Request{}, 0},
		{"system prompt and messages", chat.Request{System: text, Messages: []chat.Message{chat.Text(chat.RoleUser, text), chat.Text(chat.RoleAssistant, text)}}, 300},
		{"tools", chat.Request{Tools: []chat.Tool{{Name: "long", Description: "long", Schema: json.RawMessage(`{"a":{}}`)}}}, 4},
		{"a call and its result", chat.Request{Messages: []chat.Message{
			{Role: chat.RoleAssistant, Content: []chat.Block{{Type: chat.BlockToolUse, Name: "long", Input: json.RawMessage(`{"a":{}}`)}}},
			{Role: chat.RoleUser, Content: []chat.Block{{Type: chat.BlockToolResult, Content: []chat.Block{{Type: chat.BlockText, Text: text}}}}},
		}}, 103},
		{"an image, whatever its bytes", chat.Request{Messages: []chat.Message{{Role: chat.RoleUser, Content: []chat.Block{
			{Type: chat.BlockImage, Source: &chat.Source{Type: "base64", Data: strings.Repeat("x", 1<<20)}}}}}}, mediaTokens},
		{"a document of text", chat.Request{Messages: []chat.Message{{Role: chat.RoleUser, Content: []chat.Block{
			{Type: chat.BlockDocument, Title: "long", Source: &chat.Source{Type: "text", Data: text}}}}}}, 101},
	}
	for _, tt := range tests {
		if got := promptTokens(&tt.req); got != tt.want {
			t.Errorf("%s: %d tokens, want %d", tt.name, got, tt.want)
		}
	}
}
