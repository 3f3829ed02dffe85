package chat

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestPromptsAreEstimatedByTheirBytes(t *testing.T) {
	text := strings.Repeat("long", 100)
	tests := []struct {
		name string
		req  Request
		want int
	}{
		{"nothing", Request{}, 0},
		{"system prompt and messages", Request{System: text, Messages: []Message{Text(RoleUser, text), Text(RoleAssistant, text)}}, 300},
		{"tools", Request{Tools: []Tool{{Name: "long", Description: "long", Schema: json.RawMessage(`{"a":{}}`)}}}, 4},
		{"a call and its result", Request{Messages: []Message{
			{Role: RoleAssistant, Content: []Block{{Type: BlockToolUse, Name: "long", Input: json.RawMessage(`{"a":{}}`)}}},
			{Role: RoleUser, Content: []Block{{Type: BlockToolResult, Content: []Block{{Type: BlockText, Text: text}}}}},
		}}, 103},
		{"an image, whatever its bytes", Request{Messages: []Message{{Role: RoleUser, Content: []Block{
			{Type: BlockImage, Source: &Source{Type: "base64", Data: strings.Repeat("x", 1<<20)}}}}}}, MediaTokens},
		{"a document of text", Request{Messages: []Message{{Role: RoleUser, Content: []Block{
			{Type: BlockDocument, Title: "long", Source: &Source{Type: "text", Data: text}}}}}}, 101},
	}
	for _, tt := range tests {
		if got := tt.req.EstimatePrompt(); got != tt.want {
			t.Errorf("%s: %d tokens, want %d", tt.name, got, tt.want)
		}
	}
}
