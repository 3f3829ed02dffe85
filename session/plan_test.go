package session

import (
	"fmt"
	"strings"
	"testing"

	"maxrelay/session/chat"
)

// conversation turns "u1 a1 u2" into messages; a leading r is a user message with a
// tool result.
func conversation(words string) (out []chat.Message) {
	for _, w := range strings.Fields(words) {
		switch w[0] {
		case 'a':
			out = append(out, chat.Text(chat.RoleAssistant, w))
		case 'r':
			out = append(out, chat.Message{Role: chat.RoleUser, Content: []chat.Block{{Type: chat.BlockToolResult, ToolUseID: w}}})
		default:
			out = append(out, chat.Text(chat.RoleUser, w))
		}
	}
	return out
}

func held(words string) *record {
	r := &record{origin: chat.Origin(chat.Tenant{}, "", "")}
	for i, m := range conversation(words) {
		id := ""
		if m.Role == chat.RoleUser {
			id = fmt.Sprint(i)
		}
		r.add(m, id)
	}
	return r
}

func TestPlan(t *testing.T) {
	for _, tc := range []struct {
		name, held, asked string
		want              string // "keep/cut/replay kind", or "" for none
	}{
		{"fresh, first question", "-", "u1", "0/false/0 new"},
		{"fresh, with history", "-", "u1 a1 u2", "0/false/2 replayed"},
		{"the same and one more", "u1 a1", "u1 a1 u2", "2/false/0 warm"},
		{"empty process of this identity", "", "u1", "0/false/0 new"},
		{"several more", "u1 a1", "u1 a1 u2 a2 u3", "2/false/2 rewound"},
		{"regenerate the last answer", "u1 a1 u2 a2", "u1 a1 u2", "2/true/0 rewound"},
		{"regenerate the first answer", "u1 a1", "u1", "0/true/0 new"},
		{"edited last question", "u1 a1 u2 a2", "u1 a1 ux", "2/true/0 rewound"},
		{"edited answer", "u1 a1 u2 a2", "u1 ax u2", "0/true/2 replayed"},
		{"other conversation", "u1 a1", "v1", "0/true/0 new"},
		{"a line with results is no place to cut", "u1 a1 r2 a2", "u1 a1 rx", "0/true/2 replayed"},
		{"nothing to cut at", "a0 r1 a1", "a0 u1", ""},
		{"kept behind an assistant's opening", "a0 u1 a1", "a0 ux", "1/true/0 rewound"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var r *record
			if tc.held != "-" {
				r = held(tc.held)
			}
			chain := chat.Chain(&chat.Request{Messages: conversation(tc.asked)})
			got := ""
			if p, ok := planFor(r, chain); ok {
				got = fmt.Sprintf("%d/%v/%d %s", p.keep, p.cut, p.replay, p.kind())
			}
			if got != tc.want {
				t.Errorf("plan %q, want %q", got, tc.want)
			}
		})
	}
}

func TestNoPlanForAnotherIdentity(t *testing.T) {
	chain := chat.Chain(&chat.Request{System: "other", Messages: conversation("u1 a1 u2")})
	if p, ok := planFor(held("u1 a1"), chain); ok {
		t.Errorf("plan %+v on a process of another identity", p)
	}
}

func TestEnvironmentIsExplicit(t *testing.T) {
	env := Environ([]string{"HOME=/h", "PATH=/p", "SECRET=x", "ANTHROPIC_BASE_URL=http://x", "CLAUDE_CODE_SIMPLE=1", "ANTHROPIC_API_KEY=k"},
		"/conf", map[string]string{"EXTRA": "1", "CLAUDE_CODE_MAX_RETRIES": "9", "CLAUDE_CODE_SIMPLE": "1"})
	got := make(map[string]string)
	for _, kv := range env {
		k, v, _ := strings.Cut(kv, "=")
		got[k] = v
	}
	for k, want := range map[string]string{"HOME": "/h", "PATH": "/p", "ANTHROPIC_API_KEY": "k", "EXTRA": "1",
		"CLAUDE_CONFIG_DIR": "/conf", "CLAUDE_CODE_MAX_RETRIES": "0"} {
		if got[k] != want {
			t.Errorf("%s=%q, want %q", k, got[k], want)
		}
	}
	for _, k := range []string{"SECRET", "ANTHROPIC_BASE_URL", "CLAUDE_CODE_SIMPLE"} {
		if v, there := got[k]; there {
			t.Errorf("%s=%q reached the child", k, v)
		}
	}
}

func FuzzDecodeLine(f *testing.F) {
	f.Add([]byte(`{"type":"result","is_error":true,"api_error_status":529,"user_message_uuid":"x"}`))
	f.Add([]byte(`{"type":"stream_event","event":{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}}`))
	f.Add([]byte(`{"type":"control_response","response":{"subtype":"success","request_id":"1","response":{"rewound":true}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		l, err := decodeLine(raw)
		if err != nil && l != nil {
			t.Error("half a line was returned with the error")
		}
	})
}
