package openai

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"maxrelay/api/openai/openaitest"
	"maxrelay/api/tool"
	"maxrelay/session/chat"
)

// calling is an answer of words, a call, a call of a wrapped tool and one without
// arguments.
var calling = []chat.Event{
	{Type: chat.EventMessageStart},
	{Type: chat.EventBlockStart, Block: &chat.Block{Type: chat.BlockText}},
	{Type: chat.EventBlockDelta, Text: "let me see"},
	{Type: chat.EventBlockStop},
	{Type: chat.EventBlockStart, Index: 1, Block: &chat.Block{Type: chat.BlockToolUse, ID: "toolu_1", Name: "f", Input: json.RawMessage(`{}`)}},
	{Type: chat.EventBlockDelta, Index: 1, PartialJSON: `{"city": "Köl`},
	{Type: chat.EventBlockDelta, Index: 1, PartialJSON: `n"}`},
	{Type: chat.EventBlockStop, Index: 1},
	{Type: chat.EventBlockStart, Index: 2, Block: &chat.Block{Type: chat.BlockToolUse, ID: "toolu_2", Name: "w"}},
	{Type: chat.EventBlockDelta, Index: 2, PartialJSON: `{"value":`},
	{Type: chat.EventBlockDelta, Index: 2, PartialJSON: `{"a":1}}`},
	{Type: chat.EventBlockStop, Index: 2},
	{Type: chat.EventBlockStart, Index: 3, Block: &chat.Block{Type: chat.BlockToolUse, ID: "toolu_3", Name: "now"}},
	{Type: chat.EventBlockStop, Index: 3},
	{Type: chat.EventMessageDelta, StopReason: chat.StopToolUse},
	{Type: chat.EventMessageStop},
}

var wantCalls = []ToolCall{
	{ID: "toolu_1", Type: "function", Function: Function{"f", `{"city": "Köln"}`}},
	{ID: "toolu_2", Type: "function", Function: Function{"w", `{"a":1}`}},
	{ID: "toolu_3", Type: "function", Function: Function{"now", `{}`}},
}

func TestCallsInACompletion(t *testing.T) {
	var c Completion
	r := &Request{wrapped: tool.Wrapped{"w": true}}
	if err := json.Unmarshal([]byte(complete(t, r, calling)), &c); err != nil {
		t.Fatal(err)
	}
	if got := c.Choices[0]; *got.Message.Content != "let me see" || got.FinishReason != "tool_calls" || !reflect.DeepEqual(got.Message.ToolCalls, wantCalls) {
		t.Errorf("got %+v", got)
	}
	if out := complete(t, r, calling[4:]); !strings.Contains(out, `"content":null`) {
		t.Errorf("calls without words: %s", out)
	}
}

func TestCallsStream(t *testing.T) {
	out := stream(t, &Request{wrapped: tool.Wrapped{"w": true}}, calling)
	var deltas []string
	for line := range strings.SplitSeq(out, "\n\n") {
		if _, rest, ok := strings.Cut(line, `"delta":{"tool_calls":[`); ok {
			delta, _, _ := strings.Cut(rest, `]},"logprobs"`)
			deltas = append(deltas, delta)
		}
	}
	want := []string{
		`{"index":0,"id":"toolu_1","type":"function","function":{"name":"f","arguments":""}}`,
		`{"index":0,"function":{"arguments":"{\"city\": \"Köl"}}`,
		`{"index":0,"function":{"arguments":"n\"}"}}`,
		`{"index":1,"id":"toolu_2","type":"function","function":{"name":"w","arguments":""}}`,
		`{"index":1,"function":{"arguments":"{\"a\":1}"}}`,
		`{"index":2,"id":"toolu_3","type":"function","function":{"name":"now","arguments":""}}`,
		`{"index":2,"function":{"arguments":"{}"}}`,
	}
	if !reflect.DeepEqual(deltas, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(deltas, "\n"), strings.Join(want, "\n"))
	}
	if !strings.Contains(out, `"finish_reason":"tool_calls"`) {
		t.Errorf("got %s", out)
	}
}

func TestACallThatIsCutIsShownAsFarAsItCame(t *testing.T) {
	cut := append(append([]chat.Event{}, calling[4:6]...), chat.Event{Type: chat.EventMessageDelta, StopReason: chat.StopMaxTokens})
	for name, out := range map[string]string{"whole": complete(t, &Request{}, cut), "streamed": stream(t, &Request{}, cut)} {
		if !strings.Contains(out, `"arguments":"{\"city\": \"Köl"`) || !strings.Contains(out, `"finish_reason":"length"`) {
			t.Errorf("%s: %s", name, out)
		}
	}
}

func TestRefusals(t *testing.T) {
	said := []chat.Event{{Type: chat.EventBlockDelta, Text: "I will not."}, {Type: chat.EventMessageDelta, StopReason: chat.StopRefusal}}
	for name, tc := range map[string]struct {
		events []chat.Event
		want   string
	}{
		"in words":      {said, `"content":null,"refusal":"I will not."}`},
		"without words": {said[1:], `"content":null,"refusal":"The model refused to answer."}`},
	} {
		if out := complete(t, &Request{}, tc.events); !strings.Contains(out, tc.want) || !strings.Contains(out, `"finish_reason":"content_filter"`) {
			t.Errorf("%s: %s", name, out)
		}
	}
	if out := stream(t, &Request{}, said); !strings.Contains(out, `"delta":{"refusal":"The model refused to answer."}`) || !strings.Contains(out, `"finish_reason":"content_filter"`) {
		t.Errorf("streamed: %s", out)
	}
}

func TestSeveralAnswersStreamInOneStream(t *testing.T) {
	s := NewStream(head, &Request{N: 2, IncludeUsage: true})
	var out []byte
	for i, text := range []string{"a", "b", "c"} {
		out = s.Append(out, i%2, chat.Event{Type: chat.EventBlockDelta, Text: text})
	}
	if s.Restart(0) || s.Restart(1) {
		t.Error("not begun")
	}
	for i := range 2 {
		var err error
		if out, err = s.Finish(out, 1-i); err != nil {
			t.Fatal(err)
		}
	}
	out = s.End(out, chat.Usage{InputTokens: 2, CacheWriteTokens: 3, OutputTokens: 4}, chat.Usage{CacheReadTokens: 5, OutputTokens: 6, ThinkingTokens: 1})
	openaitest.Stream(t, out)
	var said [2]string
	for line := range strings.SplitSeq(string(out), "\n\n") {
		var chunk struct {
			Choices []struct {
				Index int
				Delta struct{ Content string }
			}
			Usage *Usage
		}
		data := strings.TrimPrefix(line, "data: ")
		if data == "" || data == "[DONE]" {
			continue
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			t.Fatal(err)
		}
		for _, c := range chunk.Choices {
			said[c.Index] += c.Delta.Content
		}
		if chunk.Usage != nil && (chunk.Usage.PromptTokens != 5 || chunk.Usage.CompletionTokens != 10 || chunk.Usage.TotalTokens != 15) {
			t.Errorf("usage %+v", *chunk.Usage)
		}
	}
	if said != [2]string{"ac", "b"} || strings.Count(string(out), "[DONE]") != 1 || strings.Count(string(out), `"finish_reason":"stop"`) != 2 {
		t.Errorf("got %s", out)
	}
}

func TestUsageOfSeveralAnswersCountsThePromptOnce(t *testing.T) {
	u := UsageOf(chat.Usage{}, chat.Usage{InputTokens: 2, CacheReadTokens: 3, OutputTokens: 4}, chat.Usage{CacheReadTokens: 5, OutputTokens: 6, ThinkingTokens: 1})
	want := Usage{PromptTokens: 5, CompletionTokens: 10, TotalTokens: 15, PromptTokensDetails: PromptTokensDetails{3}, CompletionTokensDetails: CompletionTokensDetails{1}}
	if u != want {
		t.Errorf("got %+v, want %+v", u, want)
	}
}

func BenchmarkStreamArguments(b *testing.B) {
	s := NewStream(head, &Request{})
	buf := s.Append(nil, 0, calling[4])
	b.ReportAllocs()
	for b.Loop() {
		buf = s.Append(buf[:0], 0, calling[5])
	}
}
