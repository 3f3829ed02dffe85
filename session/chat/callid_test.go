package chat

import (
	"strings"
	"testing"
)

func TestCallsThatShareAnIDAreToldApart(t *testing.T) {
	call := func(id string) Block { return Block{Type: BlockToolUse, ID: id, Name: "f"} }
	result := func(id, text string) Block {
		return Block{Type: BlockToolResult, ToolUseID: id, Content: []Block{{Type: BlockText, Text: text}}}
	}
	history := []Message{
		Text(RoleUser, "q"),
		{Role: RoleAssistant, Content: []Block{call("call_0"), call("call_1")}},
		{Role: RoleUser, Content: []Block{result("call_1", "b"), result("call_0", "a")}},
		{Role: RoleAssistant, Content: []Block{call("call_0"), call("call_0_2")}},
		{Role: RoleUser, Content: []Block{result("call_0", "c"), result("call_0_2", "d")}},
		{Role: RoleAssistant, Content: []Block{call("call_0")}},
		{Role: RoleUser, Content: []Block{result("call_0", "e")}},
	}
	got, err := Canonical(history)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, m := range got {
		for _, b := range m.Content {
			switch b.Type {
			case BlockToolUse:
				ids = append(ids, b.ID)
			case BlockToolResult:
				ids = append(ids, b.ToolUseID+"="+b.Content[0].Text)
			}
		}
	}
	want := "call_0 call_1 call_0=a call_1=b call_0_2 call_0_2_2 call_0_2=c call_0_2_2=d call_0_3 call_0_3=e"
	if s := strings.Join(ids, " "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
	again, err := Canonical(got)
	if err != nil || Chain(&Request{Messages: again})[len(got)] != Chain(&Request{Messages: got})[len(got)] {
		t.Errorf("the canonical form of a canonical form differs (%v)", err)
	}
	if history[3].Content[0].ID != "call_0" {
		t.Error("the caller's own messages were changed")
	}
}
