package anthropic

import (
	"encoding/json"
	"strings"
	"testing"

	"maxrelay/api/anthropic/messagestest"
	"maxrelay/session/chat"
)

var (
	head   = Head{ID: "msg_1", Model: "claude-sonnet-4"}
	counts = chat.Usage{InputTokens: 3, CacheReadTokens: 10, CacheWriteTokens: 2, OutputTokens: 4, ThinkingTokens: 1}
)

const (
	wantUsage = `{"input_tokens":3,"cache_creation_input_tokens":2,"cache_read_input_tokens":10,"cache_creation":null,"output_tokens":4,` +
		`"output_tokens_details":{"thinking_tokens":1},"server_tool_use":null,"service_tier":null,"inference_geo":null,"speed":null}`
	wantDeltaUsage = `{"input_tokens":3,"cache_creation_input_tokens":2,"cache_read_input_tokens":10,"output_tokens":4,"output_tokens_details":{"thinking_tokens":1},"server_tool_use":null}`
)

func begun(blocks ...[]chat.Event) []chat.Event {
	events := []chat.Event{{Type: chat.EventTurn, Session: chat.SessionWarm}, {Type: chat.EventMessageStart, Model: "claude-sonnet-4-6", Usage: &chat.Usage{InputTokens: 3}}}
	for _, b := range blocks {
		events = append(events, b...)
	}
	return events
}

func ended(events []chat.Event, reason chat.StopReason, sequence string) []chat.Event {
	return append(events, chat.Event{Type: chat.EventMessageDelta, StopReason: reason, StopSequence: sequence, Usage: &chat.Usage{OutputTokens: 4}}, chat.Event{Type: chat.EventMessageStop})
}

func said(index int, pieces ...string) []chat.Event {
	events := []chat.Event{{Type: chat.EventBlockStart, Index: index, Block: &chat.Block{Type: chat.BlockText}}}
	for _, p := range pieces {
		events = append(events, chat.Event{Type: chat.EventBlockDelta, Index: index, Text: p})
	}
	return append(events, chat.Event{Type: chat.EventBlockStop, Index: index})
}

func thought(index int, text string) []chat.Event {
	return []chat.Event{
		{Type: chat.EventBlockStart, Index: index, Block: &chat.Block{Type: chat.BlockThinking}},
		{Type: chat.EventBlockDelta, Index: index, Thinking: text},
		{Type: chat.EventBlockDelta, Index: index, Signature: "c2ln"},
		{Type: chat.EventBlockStop, Index: index},
	}
}

func called(index int, name string, pieces ...string) []chat.Event {
	events := []chat.Event{{Type: chat.EventBlockStart, Index: index, Block: &chat.Block{Type: chat.BlockToolUse, ID: "toolu_1", Name: name}}}
	for _, p := range pieces {
		events = append(events, chat.Event{Type: chat.EventBlockDelta, Index: index, PartialJSON: p})
	}
	return append(events, chat.Event{Type: chat.EventBlockStop, Index: index})
}

// whole is the answer in one piece, checked to be of the API's form.
func whole(t *testing.T, r *Request, events []chat.Event) string {
	t.Helper()
	w := NewWhole(head, r)
	for _, e := range events {
		w.Append(nil, 0, e)
	}
	out := w.End(nil, counts)
	messagestest.Validate(t, messagestest.Message, out)
	return string(out)
}

// streamed is the answer as a stream, likewise checked.
func streamed(t *testing.T, r *Request, events []chat.Event) string {
	t.Helper()
	s := NewStream(head, r)
	var out []byte
	for _, e := range events {
		out = s.Append(out, 0, e)
	}
	out = s.End(out, counts)
	messagestest.Stream(t, out)
	return string(out)
}

func TestAnswersWholeAndStreamed(t *testing.T) {
	const call = `"id":"toolu_1","name":"f","input":`
	wrapped := &Request{form: form{wrapped: map[string]bool{"f": true}}}
	for name, tc := range map[string]struct {
		request *Request
		events  []chat.Event
		content string
		ending  string
	}{
		"text": {&Request{}, ended(begun(said(0, "Hel", "lo \"you\"")), chat.StopEndTurn, ""),
			`[{"type":"text","text":"Hello \"you\"","citations":null}]`, `"stop_reason":"end_turn","stop_sequence":null`},
		"thinking": {&Request{}, ended(begun(thought(0, "hm"), said(1, "a")), chat.StopEndTurn, ""),
			`[{"type":"thinking","thinking":"hm","signature":"c2ln"},{"type":"text","text":"a","citations":null}]`, `"stop_reason":"end_turn","stop_sequence":null`},
		"thinking that is not shown": {&Request{form: form{silent: true}}, ended(begun(thought(0, "hm"), said(1, "a")), chat.StopEndTurn, ""),
			`[{"type":"thinking","thinking":"","signature":"c2ln"},{"type":"text","text":"a","citations":null}]`, `"stop_reason":"end_turn","stop_sequence":null`},
		"a call": {&Request{}, ended(begun(said(0, "a"), called(1, "f", `{"b"`, `:1}`)), chat.StopToolUse, ""),
			`[{"type":"text","text":"a","citations":null},{"type":"tool_use",` + call + `{"b":1},"caller":{"type":"direct"}}]`, `"stop_reason":"tool_use","stop_sequence":null`},
		"a call of a wrapped tool": {wrapped, ended(begun(called(0, "f", `{"value":`, `{"b":1}}`)), chat.StopToolUse, ""),
			`[{"type":"tool_use",` + call + `{"b":1},"caller":{"type":"direct"}}]`, `"stop_reason":"tool_use","stop_sequence":null`},
		"a call without arguments": {&Request{}, ended(begun(called(0, "f")), chat.StopToolUse, ""),
			`[{"type":"tool_use",` + call + `{},"caller":{"type":"direct"}}]`, `"stop_reason":"tool_use","stop_sequence":null`},
		"a call by its mapped name": {&Request{}, ended(begun(called(0, "enc_Agent", `{}`)), chat.StopToolUse, ""),
			`[{"type":"tool_use","id":"toolu_1","name":"Agent","input":{},"caller":{"type":"direct"}}]`, `"stop_reason":"tool_use","stop_sequence":null`},
		"blocks that were withheld": {&Request{}, ended(begun(said(1, "a"), said(4, "b")), chat.StopEndTurn, ""),
			`[{"type":"text","text":"a","citations":null},{"type":"text","text":"b","citations":null}]`, `"stop_reason":"end_turn","stop_sequence":null`},
		"cut short": {&Request{}, ended(begun(said(0, "a")), chat.StopMaxTokens, ""), `[{"type":"text","text":"a","citations":null}]`, `"stop_reason":"max_tokens","stop_sequence":null`},
		"a full window": {&Request{}, ended(begun(said(0, "a")), chat.StopContextWindow, ""), `[{"type":"text","text":"a","citations":null}]`,
			`"stop_reason":"model_context_window_exceeded","stop_sequence":null`},
		"a stop":    {&Request{}, ended(begun(said(0, "a")), chat.StopSequence, "END"), `[{"type":"text","text":"a","citations":null}]`, `"stop_reason":"stop_sequence","stop_sequence":"END"`},
		"a refusal": {&Request{}, ended(begun(), chat.StopRefusal, ""), `[]`, `"stop_reason":"refusal","stop_sequence":null`},
	} {
		t.Run(name, func(t *testing.T) {
			want := `{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4","content":` + tc.content + `,` + tc.ending +
				`,"stop_details":null,"container":null,"diagnostics":null,"usage":` + wantUsage + `}`
			if got := whole(t, tc.request, tc.events); got != want {
				t.Errorf("whole: got\n%s\nwant\n%s", got, want)
			}
			if got := gathered(t, streamed(t, tc.request, tc.events)); got != tc.content+","+tc.ending {
				t.Errorf("streamed: got\n%s\nwant\n%s", got, tc.content+","+tc.ending)
			}
		})
	}
}

// gathered puts a stream together as a client does.
func gathered(t *testing.T, stream string) string {
	t.Helper()
	var content []map[string]any
	var input strings.Builder
	var ending struct {
		Reason   *string `json:"stop_reason"`
		Sequence *string `json:"stop_sequence"`
	}
	for frame := range strings.SplitSeq(strings.TrimSuffix(stream, "\n\n"), "\n\n") {
		var e struct {
			Type  string
			Block map[string]any `json:"content_block"`
			Delta json.RawMessage
		}
		_, data, _ := strings.Cut(frame, "\ndata: ")
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatal(err)
		}
		switch e.Type {
		case "content_block_start":
			content = append(content, e.Block)
			input.Reset()
		case "content_block_delta":
			var d struct{ Text, Thinking, Signature, PartialJSON string }
			if err := json.Unmarshal([]byte(strings.Replace(string(e.Delta), "partial_json", "PartialJSON", 1)), &d); err != nil {
				t.Fatal(err)
			}
			last := content[len(content)-1]
			for member, piece := range map[string]string{"text": d.Text, "thinking": d.Thinking, "signature": d.Signature} {
				if was, ok := last[member].(string); ok {
					last[member] = was + piece
				}
			}
			input.WriteString(d.PartialJSON)
		case "content_block_stop":
			if input.Len() > 0 {
				content[len(content)-1]["input"] = json.RawMessage(input.String())
			}
		case "message_delta":
			if err := json.Unmarshal(e.Delta, &ending); err != nil {
				t.Fatal(err)
			}
		}
	}
	blocks := []any{}
	for _, b := range content {
		blocks = append(blocks, inOrder(t, b))
	}
	out, err := json.Marshal(blocks)
	if err != nil {
		t.Fatal(err)
	}
	last, err := json.Marshal(ending)
	if err != nil {
		t.Fatal(err)
	}
	return string(out) + "," + strings.Trim(string(last), "{}")
}

// inOrder is a block with its members in the order of the API.
func inOrder(t *testing.T, b map[string]any) any {
	t.Helper()
	raw, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	var block any
	switch b["type"] {
	case "text":
		block = &textBlock{}
	case "thinking":
		block = &thinkingBlock{}
	default:
		block = &callBlock{}
	}
	if err := json.Unmarshal(raw, block); err != nil {
		t.Fatal(err)
	}
	return block
}

// Half an object is no JSON, and a client that does not stream reads JSON.
func TestACallThatIsCutHasNoArguments(t *testing.T) {
	events := ended(begun(called(0, "f", `{"b":"lo`)), chat.StopMaxTokens, "")
	if got := whole(t, &Request{}, events); !strings.Contains(got, `"input":{},`) || !strings.Contains(got, `"stop_reason":"max_tokens"`) {
		t.Error(got)
	}
	if got := streamed(t, &Request{}, events); !strings.Contains(got, `"partial_json":"{\"b\":\"lo"`) {
		t.Error(got)
	}
}

func TestStreamIsWrittenEventByEvent(t *testing.T) {
	want := "event: message_start\ndata: " + `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-sonnet-4","content":[],"stop_reason":null,"stop_sequence":null,` +
		`"stop_details":null,"container":null,"diagnostics":null,"usage":{"input_tokens":3,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":null,"output_tokens":0,` +
		`"output_tokens_details":null,"server_tool_use":null,"service_tier":null,"inference_geo":null,"speed":null}}}` + "\n\n" +
		"event: content_block_start\ndata: " + `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":"","citations":null}}` + "\n\n" +
		"event: content_block_delta\ndata: " + `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hel"}}` + "\n\n" +
		"event: content_block_delta\ndata: " + `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"lo"}}` + "\n\n" +
		"event: content_block_stop\ndata: " + `{"type":"content_block_stop","index":0}` + "\n\n" +
		"event: message_delta\ndata: " + `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null,"stop_details":null,"container":null},"usage":` + wantDeltaUsage + "}\n\n" +
		"event: message_stop\ndata: " + `{"type":"message_stop"}` + "\n\n"
	if got := streamed(t, &Request{}, ended(begun(said(0, "Hel", "lo")), chat.StopEndTurn, "")); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Until there is content, a failure can have a status and the answer another worker.
func TestNothingIsShownBeforeTheFirstContent(t *testing.T) {
	s := NewStream(head, &Request{})
	for _, e := range begun(said(0)) {
		if out := s.Append(nil, 0, e); len(out) > 0 {
			t.Errorf("%s wrote %s", e.Type, out)
		}
	}
	if !s.Restart(0) {
		t.Error("an attempt that nothing was shown of is not forgotten")
	}
	var out []byte
	for _, e := range begun(said(0, "a")) {
		out = s.Append(out, 0, e)
	}
	messagestest.Stream(t, s.End(out, counts))
	if s.Restart(0) {
		t.Error("an attempt is forgotten that was shown")
	}
}

// A turn that is ended from outside leaves its last block open.
func TestAnOpenBlockIsClosed(t *testing.T) {
	events := begun(said(0, "a"))
	streamed(t, &Request{}, events[:len(events)-1])
}

func TestAnAnswerOfNothing(t *testing.T) {
	if got := streamed(t, &Request{}, nil); !strings.Contains(got, `"stop_reason":"end_turn"`) {
		t.Error(got)
	}
	if got := whole(t, &Request{}, nil); !strings.Contains(got, `"content":[]`) {
		t.Error(got)
	}
}

func TestPingIsAnEvent(t *testing.T) {
	messagestest.Stream(t, append([]byte(Ping), streamed(t, &Request{}, ended(begun(said(0, "a")), chat.StopEndTurn, ""))...))
}

func BenchmarkStreamDelta(b *testing.B) {
	s := NewStream(head, &Request{})
	buf := make([]byte, 0, 4096)
	e := chat.Event{Type: chat.EventBlockDelta, Text: "some words"}
	b.ReportAllocs()
	for b.Loop() {
		buf = s.Append(buf[:0], 0, e)
	}
}
