package tool

import (
	"encoding/json"
	"maxrelay/session/chat"
	"testing"
)

func TestEarlierCallsOfWrappedToolsAreWrapped(t *testing.T) {
	w := Wrapped{"f": true}
	messages := []chat.Message{{Role: chat.RoleAssistant, Content: []chat.Block{
		{Type: chat.BlockText, Text: "a"}, {Type: chat.BlockToolUse, Name: "f", Input: json.RawMessage(`{"a":1}`)},
		{Type: chat.BlockToolUse, Name: "f"}, {Type: chat.BlockToolUse, Name: "g", Input: json.RawMessage(`{"a":1}`)},
	}}}
	w.WrapCalls(messages)
	for i, want := range []string{"", `{"value":{"a":1}}`, `{"value":{}}`, `{"a":1}`} {
		if got := string(messages[0].Content[i].Input); got != want {
			t.Errorf("block %d: got %s, want %s", i, got, want)
		}
	}
}
