package anthropictest_test

import (
	"slices"
	"testing"

	"maxrelay/session/anthropictest"
	"maxrelay/session/anthropictest/wire"
)

func conversation(texts ...string) []wire.Message {
	var out []wire.Message
	for i, text := range texts {
		if i%2 == 0 {
			out = append(out, wire.User(text))
		} else {
			out = append(out, wire.Assistant(text))
		}
	}
	return out
}

func TestConversationIsWhatTheCallerSaid(t *testing.T) {
	const reminder = `{"type":"text","text":"<system-reminder>\n# Environment\nwhere\n</system-reminder>"},` +
		`{"type":"text","text":"<system-reminder>\nYou are powered by the model named X.\n</system-reminder>"},` +
		`{"type":"text","text":"<system-reminder>\nToday's date is 2026-11-21.\n</system-reminder>\n"}`
	tests := []struct {
		name string
		sent map[string]any
		want []wire.Message
	}{
		{"string content", messages(`{"role":"user","content":"a"}`), conversation("a")},
		{"cache_control", messages(`{"role":"user","content":[{"type":"text","text":"a","cache_control":{"type":"ephemeral"}}]}`), conversation("a")},
		{"blocks in a row", messages(`{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}`), []wire.Message{wire.User("a", "b")}},
		{"system messages", messages(`{"role":"user","content":"a"}`, `{"role":"system","content":"# Environment"}`, `{"role":"assistant","content":"b"}`, `{"role":"user","content":"c"}`), conversation("a", "b", "c")},
		{"reminders", messages(`{"role":"user","content":[` + reminder + `,{"type":"text","text":"a"}]}`), conversation("a")},
		{"the caller's own tags", messages(`{"role":"user","content":"<system-reminder>\nmine\n</system-reminder>"}`), conversation("<system-reminder>\nmine\n</system-reminder>")},
	}
	s := start(t)
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mustEvents(t, mustPost(t, s, prompt(tt.sent)))
			r, err := s.Wait(within(t), i+1)
			if err != nil {
				t.Fatal(err)
			}
			if got := anthropictest.Conversation(r); string(wire.Canonical(got)) != string(wire.Canonical(tt.want)) {
				t.Errorf("got %s", wire.Canonical(got))
			}
		})
	}
}

func TestSystemLeavesOutTheVendorsBlocks(t *testing.T) {
	s := start(t)
	mustEvents(t, mustPost(t, s, prompt(map[string]any{"system": raw(`[
		{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1.330.839; cc_entrypoint=sdk-cli;"},
		{"type":"text","text":"You are a Claude agent, built on Anthropic's Claude Agent SDK."},
		{"type":"text","text":"mine"}]`)})))
	if got := anthropictest.System(s.Requests()[0]); !slices.Equal(got, []string{"mine"}) {
		t.Errorf("got %q", got)
	}
}

func TestDigestTellsConversationsApart(t *testing.T) {
	seen := map[string]int{}
	for i, c := range [][]wire.Message{
		nil, conversation("a"), conversation("ab"), conversation("a", "b"), {wire.User("a", "b")}, {wire.User("a"), wire.User("b")}, {wire.Assistant("a")},
	} {
		d := wire.Digest(c)
		if j, ok := seen[d]; ok {
			t.Errorf("conversations %d and %d have one digest", i, j)
		}
		seen[d] = i
	}
}
