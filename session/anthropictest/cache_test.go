package anthropictest_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"maxrelay/session/anthropictest"
)

const mark = `,"cache_control":{"type":"ephemeral"}`

func block(text, extra string) string {
	return fmt.Sprintf(`{"type":"text","text":%q%s}`, strings.Repeat(text, 100), extra)
}

func turn(role string, blocks ...string) string {
	return `{"role":"` + role + `","content":[` + strings.Join(blocks, ",") + `]}`
}

func TestPromptCache(t *testing.T) {
	first := messages(turn("user", block("a", mark)))
	grown := func(head string) map[string]any {
		return messages(turn("user", block(head, "")), turn("assistant", block("b", "")), turn("user", block("c", mark)))
	}
	tests := []struct {
		name  string
		then  map[string]any
		after time.Duration
		hit   bool
	}{
		{"the same again", first, 0, true},
		{"the conversation grew", grown("a"), 0, true},
		{"an earlier block differs", grown("A"), 0, false},
		{"another model", with(messages(turn("user", block("a", mark))), "model", "claude-haiku-5-5"), 0, false},
		{"another system prompt", with(messages(turn("user", block("a", mark))), "system", "x"), 0, false},
		{"another tool", with(messages(turn("user", block("a", mark))), "tools", raw(`[{"name":"x"}]`)), 0, false},
		{"thinking off", with(messages(turn("user", block("a", mark))), "thinking", raw(`{"type":"disabled"}`)), 0, false},
		{"no breakpoint", messages(turn("user", block("a", ""))), 0, false},
		{"just within its time", grown("a"), 5*time.Minute - time.Second, true},
		{"after its time", grown("a"), 5 * time.Minute, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var clock atomic.Int64
			s := start(t, anthropictest.WithClock(func() time.Time { return time.Unix(0, clock.Load()) }))
			_, created, read := usageOf(t, mustEvents(t, mustPost(t, s, prompt(first))))
			if created == 0 || read != 0 {
				t.Fatalf("first: created %v, read %v", created, read)
			}
			clock.Store(int64(tt.after))
			_, _, read = usageOf(t, mustEvents(t, mustPost(t, s, prompt(tt.then))))
			if tt.hit && read != created || !tt.hit && read != 0 {
				t.Errorf("read %v of %v", read, created)
			}
		})
	}
}

func TestPromptCacheKeepsAnHour(t *testing.T) {
	var clock atomic.Int64
	s := start(t, anthropictest.WithClock(func() time.Time { return time.Unix(0, clock.Load()) }))
	body := prompt(messages(turn("user", block("a", `,"cache_control":{"type":"ephemeral","ttl":"1h"}`))))
	for _, step := range []struct {
		at  time.Duration
		hit bool
	}{{0, false}, {59 * time.Minute, true}, {118 * time.Minute, true}, {179 * time.Minute, false}} {
		clock.Store(int64(step.at))
		if _, _, read := usageOf(t, mustEvents(t, mustPost(t, s, body))); (read > 0) != step.hit {
			t.Errorf("at %v: read %v", step.at, read)
		}
	}
}

func TestPromptCacheLooksBackTwentyBlocks(t *testing.T) {
	for _, tt := range []struct {
		blocks int // after the known prefix, the breakpoint's included
		hit    bool
	}{{20, true}, {21, false}} {
		s := start(t)
		usageOf(t, mustEvents(t, mustPost(t, s, prompt(messages(turn("user", block("a", mark)))))))
		blocks := []string{block("a", "")}
		for range tt.blocks - 1 {
			blocks = append(blocks, block("b", ""))
		}
		blocks = append(blocks, block("b", mark))
		_, _, read := usageOf(t, mustEvents(t, mustPost(t, s, prompt(messages(turn("user", blocks...))))))
		if (read > 0) != tt.hit {
			t.Errorf("%d blocks: read %v", tt.blocks, read)
		}
	}
}

func TestPromptCacheMinimum(t *testing.T) {
	s := start(t, anthropictest.MinCacheTokens(1000))
	for range 2 {
		in, created, read := usageOf(t, mustEvents(t, mustPost(t, s, prompt(messages(turn("user", block("a", mark)))))))
		if in == 0 || created != 0 || read != 0 {
			t.Errorf("input %v, created %v, read %v", in, created, read)
		}
	}
}
