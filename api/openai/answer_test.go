package openai

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"maxrelay/api/openai/openaitest"
	"maxrelay/session/chat"
)

var head = Head{ID: "chatcmpl-1", Created: 1700000000, Model: "claude-sonnet-4", Fingerprint: "fp_1"}

// turn is a short answer with thinking.
var turn = []chat.Event{
	{Type: chat.EventTurn, Session: chat.SessionWarm},
	{Type: chat.EventMessageStart, Model: "claude-sonnet-4-6", Usage: &chat.Usage{InputTokens: 3}},
	{Type: chat.EventBlockStart, Block: &chat.Block{Type: chat.BlockThinking}},
	{Type: chat.EventBlockDelta, Thinking: "hm"},
	{Type: chat.EventBlockDelta, Signature: "c2ln"},
	{Type: chat.EventBlockStop},
	{Type: chat.EventBlockStart, Index: 1, Block: &chat.Block{Type: chat.BlockText}},
	{Type: chat.EventBlockDelta, Index: 1, Text: "Hel"},
	{Type: chat.EventBlockDelta, Index: 1, Text: "lo \"you\""},
	{Type: chat.EventBlockStop, Index: 1},
	{Type: chat.EventMessageDelta, StopReason: chat.StopEndTurn, Usage: &chat.Usage{OutputTokens: 4}},
	{Type: chat.EventMessageStop},
}

var counts = chat.Usage{InputTokens: 3, CacheReadTokens: 10, CacheWriteTokens: 2, OutputTokens: 4, ThinkingTokens: 1}

const wantUsage = `{"prompt_tokens":15,"completion_tokens":4,"total_tokens":19,"prompt_tokens_details":{"cached_tokens":10},"completion_tokens_details":{"reasoning_tokens":1}}`

// stream is the stream of one answer, checked to be of OpenAI's form.
func stream(t *testing.T, r *Request, events []chat.Event) string {
	t.Helper()
	s := NewStream(head, r)
	var out []byte
	for _, e := range events {
		out = s.Append(out, 0, e)
	}
	out, err := s.Finish(out, 0)
	if err != nil {
		t.Fatal(err)
	}
	out = s.End(out, counts)
	openaitest.Stream(t, out)
	return string(out)
}

// complete is the response of one answer in one piece, likewise checked.
func complete(t *testing.T, r *Request, events []chat.Event) string {
	t.Helper()
	w := NewWhole(head, r)
	for _, e := range events {
		w.Append(nil, 0, e)
	}
	if _, err := w.Finish(nil, 0); err != nil {
		t.Fatal(err)
	}
	out := w.End(nil, counts)
	openaitest.Validate(t, openaitest.Completion, out)
	return string(out)
}

func gather(r *Request, events []chat.Event) *Answer {
	a := NewAnswer(r)
	for _, e := range events {
		a.Add(e)
	}
	return a
}

func TestStreamWritesOneChunkADelta(t *testing.T) {
	const open = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"claude-sonnet-4","system_fingerprint":"fp_1","choices":[`
	for name, tc := range map[string]struct {
		include    bool
		shut, last string
	}{
		"without usage": {false, `]}`, ""},
		"with usage":    {true, `],"usage":null}`, open + `],"usage":` + wantUsage + "}\n\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var want strings.Builder
			for _, delta := range []string{
				`{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null`,
				`{"reasoning_content":"hm"},"logprobs":null,"finish_reason":null`,
				`{"content":"Hel"},"logprobs":null,"finish_reason":null`,
				`{"content":"lo \"you\""},"logprobs":null,"finish_reason":null`,
				`{},"logprobs":null,"finish_reason":"stop"`,
			} {
				want.WriteString(open + `{"index":0,"delta":` + delta + "}" + tc.shut + "\n\n")
			}
			want.WriteString(tc.last + "data: [DONE]\n\n")
			if got := stream(t, &Request{IncludeUsage: tc.include}, turn); got != want.String() {
				t.Errorf("got\n%s\nwant\n%s", got, want.String())
			}
		})
	}
}

func TestStreamOfASilentAnswerHasRoleAndFinish(t *testing.T) {
	out := stream(t, &Request{}, []chat.Event{{Type: chat.EventMessageDelta, StopReason: chat.StopMaxTokens}})
	if strings.Count(out, "data: ") != 3 || !strings.Contains(out, `"role":"assistant"`) || !strings.Contains(out, `"finish_reason":"length"`) {
		t.Errorf("got %s", out)
	}
}

func TestStreamChunksAreJSON(t *testing.T) {
	odd := Head{ID: "a\"b", Model: "m\u2028\\<&>", Fingerprint: "\x01"}
	s := NewStream(odd, &Request{IncludeUsage: true})
	out := s.Append(nil, 0, chat.Event{Type: chat.EventBlockDelta, Text: "\x00\xff</script>", Thinking: "\u2029"})
	out = s.End(out, counts)
	for line := range bytes.SplitSeq(bytes.TrimSpace(out), []byte("\n\n")) {
		line = bytes.TrimPrefix(line, []byte("data: "))
		var chunk struct{ ID, Model string }
		if string(line) == "[DONE]" {
			continue
		}
		if err := json.Unmarshal(line, &chunk); err != nil || chunk.ID != odd.ID || chunk.Model != odd.Model {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestCompletionIsTheWholeAnswer(t *testing.T) {
	got := complete(t, &Request{}, turn)
	want := `{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"claude-sonnet-4","choices":[{"index":0,"message":{"role":"assistant","content":"Hello \"you\"","refusal":null,"reasoning_content":"hm"},"logprobs":null,"finish_reason":"stop"}],"usage":` + wantUsage + `,"system_fingerprint":"fp_1"}`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFinishReasons(t *testing.T) {
	for stop, want := range map[chat.StopReason]string{
		chat.StopEndTurn: "stop", chat.StopSequence: "stop", chat.StopMaxTokens: "length", chat.StopToolUse: "tool_calls",
		chat.StopRefusal: "content_filter", chat.StopContextWindow: "length", chat.StopPauseTurn: "length", "new_reason": "stop", "": "stop",
	} {
		if got := FinishReason(stop); got != want {
			t.Errorf("%q: got %q, want %q", stop, got, want)
		}
	}
}

func BenchmarkStreamChunk(b *testing.B) {
	s := NewStream(head, &Request{IncludeUsage: true})
	e := chat.Event{Type: chat.EventBlockDelta, Index: 1, Text: " a token or \"two\"\n"}
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = s.Append(buf[:0], 0, e)
	}
}
