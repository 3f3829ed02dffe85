package anthropictest_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"maxrelay/session/anthropictest"
)

const (
	mark     = `,"cache_control":{"type":"ephemeral"}`
	markHour = `,"cache_control":{"type":"ephemeral","ttl":"1h"}`
)

func block(text, extra string) string {
	return fmt.Sprintf(`{"type":"text","text":%q%s}`, strings.Repeat(text, 100), extra)
}

func turn(role string, blocks ...string) string {
	return `{"role":"` + role + `","content":[` + strings.Join(blocks, ",") + `]}`
}

// but is a body with one field changed.
func but(body map[string]any, field string, value any) map[string]any {
	return with(maps.Clone(body), field, value)
}

// counts asks and returns the usage of the answer.
func counts(t *testing.T, s *anthropictest.Server, body map[string]any) (input, created, read float64) {
	t.Helper()
	return usageOf(t, mustEvents(t, mustPost(t, s, prompt(body))))
}

func TestPromptCacheHitsWhatWasSentBefore(t *testing.T) {
	const picture = `{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AA=="}}`
	first := messages(turn("user", block("a", mark)))
	grown := func(head string, more ...string) map[string]any {
		return messages(turn("user", block(head, "")), turn("assistant", block("b", "")), turn("user", append(more, block("c", mark))...))
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
		{"another model", but(first, "model", "claude-haiku-5-5"), 0, false},
		{"another system prompt", but(first, "system", "x"), 0, false},
		{"another tool", but(first, "tools", raw(`[{"name":"x"}]`)), 0, false},
		{"thinking off", but(first, "thinking", raw(`{"type":"disabled"}`)), 0, false},
		{"another speed", but(first, "speed", "fast"), 0, false},
		{"another effort", but(first, "output_config", raw(`{"effort":"low"}`)), 0, false},
		{"a format, which is no effort", but(first, "output_config", raw(`{"format":{}}`)), 0, true},
		{"the first picture", grown("a", picture), 0, false},
		{"no breakpoint", messages(turn("user", block("a", ""))), 0, false},
		{"just within its time", grown("a"), 5*time.Minute - time.Second, true},
		{"after its time", grown("a"), 5 * time.Minute, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var clock atomic.Int64
			s := start(t, anthropictest.MinCacheTokens(0), anthropictest.WithClock(func() time.Time { return time.Unix(0, clock.Load()) }))
			_, created, read := counts(t, s, first)
			if created == 0 || read != 0 {
				t.Fatalf("first: created %v, read %v", created, read)
			}
			clock.Store(int64(tt.after))
			_, _, read = counts(t, s, tt.then)
			if tt.hit && read != created || !tt.hit && read != 0 {
				t.Errorf("read %v of %v", read, created)
			}
		})
	}
}

func TestPromptCacheKeepsTheLevelsAbove(t *testing.T) {
	tools := raw(`[{"name":"x","description":` + fmt.Sprintf("%q", strings.Repeat("d", 400)) + mark + `}]`)
	sys := func(text string) any { return raw("[" + block(text, mark) + "]") }
	whole := func(text string) map[string]any {
		return with(with(messages(turn("user", block("a", mark))), "tools", tools), "system", sys(text))
	}
	s := start(t, anthropictest.MinCacheTokens(0))
	_, all, _ := counts(t, s, whole("s"))
	_, _, toolsOnly := counts(t, s, whole("S"))
	_, _, toolsAndSystem := counts(t, s, with(whole("s"), "tool_choice", raw(`{"type":"any"}`)))
	if 0 >= toolsOnly || toolsOnly >= toolsAndSystem || toolsAndSystem >= all {
		t.Errorf("all %v; with another system prompt %v read, with another choice of tool %v", all, toolsOnly, toolsAndSystem)
	}
}

func TestPromptCacheKnowsEffortSetInTheConversation(t *testing.T) {
	set := func(level string) string {
		return `{"role":"system","content":[],"output_config":{"effort":"` + level + `"}}`
	}
	s := start(t, anthropictest.MinCacheTokens(0))
	first := messages(turn("user", block("a", mark)), set("medium"))
	_, created, _ := counts(t, s, but(first, "output_config", raw(`{"effort":"medium"}`)))
	then := messages(turn("user", block("a", "")), set("medium"), turn("assistant", block("b", "")), turn("user", block("c", mark)), set("low"))
	if _, _, read := counts(t, s, with(then, "output_config", raw(`{"effort":"low"}`))); read != created {
		t.Errorf("read %v of %v", read, created)
	}
}

func TestPromptCacheIsAnAccountsOwn(t *testing.T) {
	s := start(t, anthropictest.MinCacheTokens(0))
	body := prompt(messages(turn("user", block("a", mark))))
	for _, step := range []struct {
		key string
		hit bool
	}{{"one", false}, {"two", false}, {"one", true}} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL()+"/v1/messages", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Api-Key", step.key)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _, read := usageOf(t, mustEvents(t, res))
		_ = res.Body.Close()
		if (read > 0) != step.hit {
			t.Errorf("account %s: read %v", step.key, read)
		}
	}
}

func TestPromptCacheKeepsAnHour(t *testing.T) {
	var clock atomic.Int64
	s := start(t, anthropictest.MinCacheTokens(0), anthropictest.WithClock(func() time.Time { return time.Unix(0, clock.Load()) }))
	body := messages(turn("user", block("a", markHour)))
	for _, step := range []struct {
		at  time.Duration
		hit bool
	}{{0, false}, {59 * time.Minute, true}, {118 * time.Minute, true}, {179 * time.Minute, false}} {
		clock.Store(int64(step.at))
		if _, _, read := counts(t, s, body); (read > 0) != step.hit {
			t.Errorf("at %v: read %v", step.at, read)
		}
	}
}

func TestPromptCacheSplitsWritesByLifetime(t *testing.T) {
	s := start(t, anthropictest.MinCacheTokens(0))
	all := mustEvents(t, mustPost(t, s, prompt(messages(turn("user", block("a", markHour), block("b", mark), block("c", ""))))))
	u := all[0].data["message"].(map[string]any)["usage"].(map[string]any)
	split := u["cache_creation"].(map[string]any)
	hour, five := split["ephemeral_1h_input_tokens"].(float64), split["ephemeral_5m_input_tokens"].(float64)
	if hour == 0 || five == 0 || hour+five != u["cache_creation_input_tokens"] || u["input_tokens"].(float64) == 0 {
		t.Errorf("usage: %v", u)
	}
}

func TestPromptCacheLooksBackTwentyPlaces(t *testing.T) {
	known := messages(turn("user", block("a", mark)))
	results := func(n int) (calls, answers []string) {
		for i := range n {
			calls = append(calls, fmt.Sprintf(`{"type":"tool_use","id":"t%d","name":"x","input":{}}`, i))
			answers = append(answers, fmt.Sprintf(`{"type":"tool_result","tool_use_id":"t%d","content":"r"}`, i))
		}
		return calls, answers
	}
	texts := func(n int) map[string]any { // n places after the known one, the breakpoint's included
		blocks := []string{block("a", "")}
		for range n - 1 {
			blocks = append(blocks, block("b", ""))
		}
		return messages(turn("user", append(blocks, block("b", mark))...))
	}
	calls, answers := results(30)
	for _, tt := range []struct {
		name string
		then map[string]any
		hit  bool
	}{
		{"within twenty", texts(19), true},
		{"one beyond", texts(20), false},
		{"runs of tool blocks are one place each", messages(turn("user", block("a", "")), turn("assistant", calls...),
			turn("user", append(answers, block("b", mark))...)), true},
	} {
		s := start(t, anthropictest.MinCacheTokens(0))
		counts(t, s, known)
		if _, _, read := counts(t, s, tt.then); (read > 0) != tt.hit {
			t.Errorf("%s: read %v", tt.name, read)
		}
	}
}

func TestPromptCacheMinimum(t *testing.T) {
	long := func(tokens int) map[string]any {
		text := fmt.Sprintf(`{"type":"text","text":%q%s}`, strings.Repeat("long", tokens), mark)
		return messages(turn("user", text))
	}
	for _, tt := range []struct {
		name    string
		body    map[string]any
		options []anthropictest.Option
		cached  bool
	}{
		{"as set", long(100), []anthropictest.Option{anthropictest.MinCacheTokens(1000)}, false},
		{"of a Sonnet", with(long(1100), "model", "claude-sonnet-5-5"), nil, true},
		{"not reached by a Sonnet", with(long(900), "model", "claude-sonnet-5-5"), nil, false},
		{"of an Opus 5", with(long(600), "model", "claude-opus-5-5"), nil, true},
		{"not reached by a Haiku", with(long(4000), "model", "claude-haiku-4-5"), nil, false},
	} {
		s := start(t, tt.options...)
		for i := range 2 {
			in, created, read := counts(t, s, tt.body)
			if hit := i == 1 && tt.cached; (created > 0) != (tt.cached && i == 0) || (read > 0) != hit || (in > 0) == tt.cached {
				t.Errorf("%s, call %d: input %v, created %v, read %v", tt.name, i, in, created, read)
			}
		}
	}
}

func TestIdealClientReadsAllButTheLastTurn(t *testing.T) {
	vendor := `{"type":"text","text":"You are a Claude agent, built on Anthropic's Claude Agent SDK."` + mark + `}`
	sys := raw("[" + vendor + "," + fmt.Sprintf(`{"type":"text","text":%q%s}`, strings.Repeat("rule", 1100), mark) + "]")
	environment := func(extra string) string { return turn("system", block("# Environment\n", extra)) }
	s := start(t)
	// The CLI's additions stand in one place, then in another.
	for _, m := range [][]string{
		{turn("user", block("a", "")), environment(mark)},
		{turn("user", block("a", "")), environment(""), turn("assistant", block("b", "")), turn("user", block("c", mark))},
		{turn("user", block("a", "")), turn("assistant", block("b", "")), turn("user", block("c", "")), turn("assistant", block("d", "")),
			turn("user", block("e", "")), environment(mark)},
	} {
		counts(t, s, with(messages(m...), "system", sys))
	}
	got := anthropictest.Ideal(s.Requests())
	if len(got) != 3 || got[0] != (anthropictest.Reads{}) {
		t.Fatalf("reads %+v", got)
	}
	if r := got[1]; r.Own != r.Ideal || r.All <= r.Own {
		t.Errorf("a prefix that stayed: %+v", r)
	}
	if r := got[2]; r.Own == 0 || r.Own >= r.Ideal || r.Ideal <= got[1].Ideal {
		t.Errorf("a prefix that did not: %+v", r)
	}
}
