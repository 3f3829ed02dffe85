package upstream

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"maxrelay/session/chat"
)

const (
	messageStart = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"claude-x-1\",\"content\":[],\"usage\":{\"input_tokens\":10,\"cache_creation_input_tokens\":20,\"cache_read_input_tokens\":30,\"output_tokens\":1}}}\n\n"
	someText     = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"say \\\"usage\\\": {}\"}}\n\n"
	messageDelta = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":40}}\n\n"
	messageStop  = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
	errorEvent   = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n"

	eventStream = "text/event-stream"
	jsonType    = "application/json; charset=utf-8"
)

func zipped(text string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.Bytes()
}

// answers are in every form that is known, with what they used.
var answers = map[string]struct {
	contentType, body string
	want              chat.Usage
	model             string
	final             bool
	failed            chat.Code
}{
	"Anthropic": {jsonType, `{"id":"msg_1","model":"claude-x-1","content":[{"type":"text","text":"{\"usage\":{\"input_tokens\":9}}"}],"usage":{"input_tokens":10,"output_tokens":40,"cache_read_input_tokens":30,"cache_creation_input_tokens":20,"cache_creation":{"ephemeral_5m_input_tokens":20},"service_tier":"standard"}}`,
		chat.Usage{InputTokens: 10, OutputTokens: 40, CacheReadTokens: 30, CacheWriteTokens: 20}, "claude-x-1", true, ""},
	"Anthropic with nulls": {jsonType, ` { "usage" : { "input_tokens" : 10 , "cache_read_input_tokens" : null , "output_tokens" : 4 } } `, chat.Usage{InputTokens: 10, OutputTokens: 4}, "", true, ""},
	"OpenAI": {jsonType, `{"object":"chat.completion","model":"gpt-x","choices":[{"message":{"usage":{"prompt_tokens":1}}}],"usage":{"prompt_tokens":50,"completion_tokens":7,"total_tokens":57,"prompt_tokens_details":{"cached_tokens":20},"completion_tokens_details":{"reasoning_tokens":3}}}`,
		chat.Usage{InputTokens: 30, OutputTokens: 7, CacheReadTokens: 20, ThinkingTokens: 3}, "gpt-x", true, ""},
	"OpenAI Responses": {jsonType, `{"object":"response","model":"gpt-x","error":null,"usage":{"input_tokens":50,"input_tokens_details":{"cached_tokens":20},"output_tokens":7,"output_tokens_details":{"reasoning_tokens":3}}}`,
		chat.Usage{InputTokens: 30, OutputTokens: 7, CacheReadTokens: 20, ThinkingTokens: 3}, "gpt-x", true, ""},
	"both forms":    {jsonType, `{"usage":{"input_tokens":5,"output_tokens":6,"cache_read_input_tokens":7,"prompt_tokens":12,"completion_tokens":6}}`, chat.Usage{InputTokens: 5, OutputTokens: 6, CacheReadTokens: 7}, "", true, ""},
	"embeddings":    {jsonType, `{"data":[{"embedding":[0.1,-2e-3,true,null]}],"model":"e","usage":{"prompt_tokens":8,"total_tokens":8}}`, chat.Usage{InputTokens: 8}, "e", true, ""},
	"wrong types":   {jsonType, `{"model":7,"usage":{"input_tokens":"many","output_tokens":4.5,"cache_read_input_tokens":3}}`, chat.Usage{CacheReadTokens: 3}, "", true, ""},
	"nonsense":      {jsonType, `{"usage":{"input_tokens":-5,"output_tokens":9000000000000000000}}`, chat.Usage{OutputTokens: 1 << 40}, "", true, ""},
	"no usage":      {jsonType, `{"id":"file_1","size":5}`, chat.Usage{}, "", false, ""},
	"usage null":    {jsonType, `{"usage":null}`, chat.Usage{}, "", false, ""},
	"usage deeper":  {jsonType, `{"data":[{"usage":{"input_tokens":1}}],"x":{"y":{"usage":{"input_tokens":1}}}}`, chat.Usage{}, "", false, ""},
	"an array":      {jsonType, `[{"usage":{"input_tokens":1}}]`, chat.Usage{}, "", false, ""},
	"an error":      {jsonType, `{"type":"error","error":{"type":"overloaded_error","message":"x"}}`, chat.Usage{}, "", false, ""},
	"broken JSON":   {jsonType, `}}]{"usage":{"input_tokens":1}}`, chat.Usage{}, "", false, ""},
	"deep JSON":     {jsonType, strings.Repeat(`{"a":[`, 100) + `{"usage":{"input_tokens":1}}`, chat.Usage{}, "", false, ""},
	"a long member": {jsonType, `{"usage":{"x":"` + strings.Repeat("x", maxKept) + `"},"model":"m"}`, chat.Usage{}, "m", false, ""},
	"plain text":    {"text/plain", `{"usage":{"input_tokens":1}}`, chat.Usage{}, "", false, ""},
	"nothing":       {"", "", chat.Usage{}, "", false, ""},

	"Anthropic stream":           {eventStream, messageStart + "event: ping\ndata: {\"type\": \"ping\"}\n\n" + someText + messageDelta + messageStop, chat.Usage{InputTokens: 10, OutputTokens: 40, CacheReadTokens: 30, CacheWriteTokens: 20}, "claude-x-1", true, ""},
	"… with totals at the end":   {eventStream, messageStart + "data: {\"type\":\"message_delta\",\"usage\":{\"input_tokens\":11,\"output_tokens\":41,\"cache_read_input_tokens\":31}}\n\n", chat.Usage{InputTokens: 11, OutputTokens: 41, CacheReadTokens: 31, CacheWriteTokens: 20}, "claude-x-1", true, ""},
	"… with CR and LF":           {eventStream, strings.ReplaceAll(messageStart+messageDelta, "\n", "\r\n"), chat.Usage{InputTokens: 10, OutputTokens: 40, CacheReadTokens: 30, CacheWriteTokens: 20}, "claude-x-1", true, ""},
	"… with CR":                  {eventStream, strings.ReplaceAll(messageStart+messageDelta, "\n", "\r"), chat.Usage{InputTokens: 10, OutputTokens: 40, CacheReadTokens: 30, CacheWriteTokens: 20}, "claude-x-1", true, ""},
	"… without its last line":    {eventStream, messageStart + strings.TrimSpace(messageDelta), chat.Usage{InputTokens: 10, OutputTokens: 40, CacheReadTokens: 30, CacheWriteTokens: 20}, "claude-x-1", true, ""},
	"… in several lines of data": {eventStream, "data:{\"usage\":\ndata: {\"input_tokens\":3,\ndata:\"output_tokens\":4}}\n\n", chat.Usage{InputTokens: 3, OutputTokens: 4}, "", true, ""},
	"… cut":                      {eventStream, messageStart + someText, chat.Usage{InputTokens: 10, OutputTokens: 1, CacheReadTokens: 30, CacheWriteTokens: 20}, "claude-x-1", false, ""},
	"… failed":                   {eventStream, messageStart + errorEvent, chat.Usage{InputTokens: 10, OutputTokens: 1, CacheReadTokens: 30, CacheWriteTokens: 20}, "claude-x-1", false, chat.CodeOverloaded},
	"other fields":               {eventStream, ": data: {\"usage\":{\"input_tokens\":1}}\n\ndat: {\"usage\":{\"input_tokens\":1}}\n\ndataa: {}\n\n", chat.Usage{}, "", false, ""},
	"OpenAI stream":              {eventStream, "data: {\"model\":\"gpt-x\",\"choices\":[{\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\ndata: {\"model\":\"gpt-x\",\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":6}}\n\ndata: [DONE]\n\n", chat.Usage{InputTokens: 5, OutputTokens: 6}, "gpt-x", true, ""},
	"OpenAI Responses stream":    {eventStream, "data: {\"type\":\"response.created\",\"response\":{\"model\":\"gpt-x\",\"usage\":null,\"error\":null}}\n\ndata: {\"type\":\"response.completed\",\"response\":{\"model\":\"gpt-x\",\"usage\":{\"input_tokens\":5,\"output_tokens\":6}}}\n\n", chat.Usage{InputTokens: 5, OutputTokens: 6}, "gpt-x", true, ""},
}

func TestUsageIsReadWhateverPiecesItComesIn(t *testing.T) {
	for name, tc := range answers {
		for _, size := range []int{1, 2, 3, 7, 100, 1 << 20} {
			m := newMeter(tc.contentType)
			for piece := []byte(tc.body); len(piece) > 0; {
				n := min(size, len(piece))
				m.write(piece[:n])
				piece = piece[n:]
			}
			m.end()
			if got := m.counts.usage(); got != tc.want || m.model != tc.model || m.final != tc.final || m.failed != tc.failed {
				t.Errorf("%s in pieces of %d: %+v, model %q, final %t, failed %q", name, size, got, m.model, m.final, m.failed)
			}
		}
	}
}

func TestUsageReachesTheResultAndTheAnswerIsUntouched(t *testing.T) {
	for name, tc := range answers {
		for _, compressed := range []bool{false, true} {
			up := serverOf(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = []string{tc.contentType}
				if compressed {
					w.Header().Set("Content-Encoding", "gzip")
					_, _ = w.Write(zipped(tc.body))
					return
				}
				_, _ = io.WriteString(w, tc.body)
			})
			resp, body, result := to(t, up).post(streamRequest)
			if body != tc.body || resp.Header.Get("Content-Encoding") != "" || result.Bytes != int64(len(tc.body)) {
				t.Errorf("%s: the answer came as %q", name, body)
			}
			if tc.final && result.Usage != tc.want || result.Answered != tc.model || result.Estimated == tc.final || result.Code != tc.failed {
				t.Errorf("%s, gzip %t: %+v", name, compressed, result)
			}
		}
	}
}

func TestAnEncodingThatIsUnknownPassesAsItIs(t *testing.T) {
	up := serverOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"usage":{"input_tokens":999}}`)
	})
	resp, body, result := to(t, up).post(streamRequest)
	if resp.Header.Get("Content-Encoding") != "br" || !strings.Contains(body, "999") || !result.Estimated || result.Usage.InputTokens == 999 {
		t.Errorf("%v %+v", resp.Header, result)
	}
}

func TestWhatIsNotCountedIsEstimated(t *testing.T) {
	const request = `{"model":"m","system":"0123456789","messages":[{"role":"user","content":[{"type":"text","text":"0123456789"},{"type":"image","source":{"data":"AAAAAAAAAAAAAAAAAAAAAAAA"}}]}]}`
	for name, tc := range map[string]struct {
		method, path, request string
		status                int
		contentType, answer   string
		want                  chat.Usage
		estimated             bool
	}{
		"no counts":         {"POST", "/v1/messages", request, 200, jsonType, `{"content":[{"type":"text","text":"01\u00e9\n4"}]}`, chat.Usage{InputTokens: 20, OutputTokens: 5}, true},
		"only the input":    {"POST", "/v1/messages", request, 200, eventStream, messageStart + someText, chat.Usage{InputTokens: 10, CacheReadTokens: 30, CacheWriteTokens: 20, OutputTokens: 15}, true},
		"another kind":      {"POST", "/v1/messages", request, 200, "text/plain", "0123456789", chat.Usage{InputTokens: 20}, true},
		"counting is free":  {"POST", "/v1/messages/count_tokens", request, 200, jsonType, `{"input_tokens":5}`, chat.Usage{}, false},
		"no model":          {"POST", "/v1/files", `{"text":"hello"}`, 200, jsonType, `{"text":"hello"}`, chat.Usage{}, false},
		"no JSON":           {"POST", "/v1/files", "model", 200, jsonType, `{}`, chat.Usage{}, false},
		"read only":         {"GET", "/v1/messages", request, 200, jsonType, `{"text":"hello"}`, chat.Usage{}, false},
		"an error":          {"POST", "/v1/messages", request, 400, jsonType, `{"error":{"text":"hello"}}`, chat.Usage{}, false},
		"the upstream's":    {"POST", "/v1/messages", request, 529, jsonType, `{}`, chat.Usage{}, false},
		"a refused account": {"POST", "/v1/messages", request, 401, jsonType, `{}`, chat.Usage{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := openRelay(t, Config{Upstreams: []Upstream{{URL: saying(t, tc.status, tc.contentType, tc.answer).URL}}, Estimate: func(text string) int { return len([]rune(text)) }})
			read(t, r.do(tc.method, tc.path, tc.request))
			if result := r.result(); result.Usage != tc.want || result.Estimated != tc.estimated {
				t.Errorf("%+v, estimated %t", result.Usage, result.Estimated)
			}
		})
	}
}

func TestALongTextIsEstimatedByItsBegin(t *testing.T) {
	var long texts
	for range 1000 {
		long.add([]byte(strings.Repeat("0123456789", 100)))
	}
	var seen int
	got := long.tokens(func(text string) int { seen = len(text); return len(text) / 10 })
	if got < 99900 || got > 100100 || seen != maxSample || cap(long.sample) > 2*maxSample {
		t.Errorf("%d tokens by %d bytes of %d", got, seen, long.bytes)
	}
}

func TestEscapesAreTakenOff(t *testing.T) {
	for escaped, want := range map[string]string{"": "", `a\nb`: "a\nb", `\u00e9`: "é", `ab\`: "ab", `ab\u00e`: "ab", `a\ud83d\ude0`: "a\ufffd", `bad\qescape-with-more-after-it`: `bad\qescape-with-more-after-it`} {
		if got := plain([]byte(escaped)); got != want {
			t.Errorf("%s became %q, want %q", escaped, got, want)
		}
	}
}

func TestLook(t *testing.T) {
	for body, want := range map[string]Asked{
		"": {}, "model": {}, "[]": {}, `"model"`: {}, "{}": {},
		`{"model":"claude-x","stream":true,"max_tokens":100}`:                            {Model: "claude-x", Stream: true, MaxTokens: 100},
		` { "max_tokens" : 5 , "stream" : false , "model" : "a/b:c@1[1m]" } `:            {Model: "a/b:c@1[1m]", MaxTokens: 5},
		`{"messages":[{"content":"\"model\":\"no\""}],"x":{"model":"no"},"model":"yes"}`: {Model: "yes"},
		`{"messages":[{"model":"a"},{"model":"b"}],"model":"c"}`:                         {Model: "c"},
		`{"model":null,"stream":null,"max_tokens":null}`:                                 {},
		`{"model":5,"stream":"true","max_tokens":"5"}`:                                   {},
		`{"model":"two words"}`:                                      {},
		`{"model":"line\nbreak"}`:                                    {},
		`{"model":"umläut"}`:                                         {},
		`{"model":"` + strings.Repeat("x", 129) + `"}`:               {},
		`{"max_tokens":-1}`:                                          {},
		`{"image":"` + strings.Repeat("A", 1<<20) + `","model":"m"}`: {Model: "m"},
		`{"` + strings.Repeat("model", 100) + `":"no"}`:              {},
		`{"model":"m"`:                                               {Model: "m"},
	} {
		got, err := Look([]byte(body))
		if got.Input = 0; got != want || err != nil {
			t.Errorf("%.80s: %+v, %v", body, got, err)
		}
	}
}

func TestPromptsAreEstimated(t *testing.T) {
	picture := strings.Repeat("A", 1<<20)
	for body, want := range map[string]int{
		"":                                    0,
		`{"model":"m","messages":"12345678"}`: 9,
		`{"a":{"data":"` + picture + `"}}`:    5 + 1600,
		`{"a":[{"image_url":"x"},{"file_id":"y"}]}`: 10 + 3200,
	} {
		if got, _ := Look([]byte(body)); got.Input < want-1 || got.Input > want+1 {
			t.Errorf("%.80s: %d tokens, want %d", body, got.Input, want)
		}
	}
}

// What an upstream may read otherwise would be counted, and allowed, for another model.
func TestABodyThatCanBeReadInTwoWaysIsRefused(t *testing.T) {
	for _, body := range []string{
		`{"model":"first","model":"last"}`,
		`{"model":null,"model":"last"}`,
		`{"model":"a"}{"model":"b"}`,
		`{"mod\u0065l":"a"}`,
		`{"x":1,"\u006dodel":"a","model":"b"}`,
		`{"Model":"a"}`,
		`{"model":"a","MODEL":"b"}`,
		`{"max_tokens":1,"max_tokens":100000}`,
		`{"max_tokens":1,"Max_Tokens":100000}`,
		`{"stream":true,"stream":false}`,
	} {
		_, err := Look([]byte(body))
		if e, ok := errors.AsType[*chat.Error](err); !ok || e.Code != chat.CodeInvalid {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestWhatRequestsCost(t *testing.T) {
	for _, tc := range []struct {
		method, path, model string
		uses, counted       bool
	}{
		{"POST", "/v1/messages", "m", true, true},
		{"POST", "/v1/messages", "", false, false},
		{"POST", "/v1/messages?beta=true", "m", true, true},
		{"POST", "/v1/responses", "m", true, true},
		{"POST", "/v1/responses", "", false, false},
		{"POST", "/v1/messages/batches", "", false, false},
		{"POST", "/v1/messages/count_tokens", "m", false, true},
		{"POST", "/v1/messages/count_token%73", "m", true, true},
		{"POST", "/x/v1/messages/count_tokens", "m", true, true},
		{"POST", "/v1/files", "", false, true},
		{"POST", "/v1/files/x", "", false, false},
		{"GET", "/v1/messages/batches", "", false, true},
		{"DELETE", "/v1/files/x", "", false, true},
	} {
		r := httptest.NewRequest(tc.method, tc.path, nil)
		if a := (Asked{Model: tc.model}); a.UsesModel(r) != tc.uses || a.Counted(r) != tc.counted {
			t.Errorf("%s %s of %q: %t %t", tc.method, tc.path, tc.model, a.UsesModel(r), a.Counted(r))
		}
	}
}

// What comes out must not depend on where the pieces end, nor be held beyond its bounds.
func FuzzMeter(f *testing.F) {
	for _, tc := range answers {
		f.Add([]byte(tc.body), uint16(len(tc.body)/2), strings.HasPrefix(tc.contentType, eventStream))
	}
	f.Fuzz(func(t *testing.T, body []byte, cut uint16, events bool) {
		contentType := jsonType
		if events {
			contentType = eventStream
		}
		read := func(pieces ...[]byte) *meter {
			m := newMeter(contentType)
			for _, piece := range pieces {
				m.write(piece)
			}
			m.end()
			return m
		}
		n := min(int(cut), len(body))
		whole, parts := read(body), read(body[:n], nil, body[n:])
		if whole.counts != parts.counts || whole.model != parts.model || whole.final != parts.final || whole.failed != parts.failed || whole.said.bytes != parts.said.bytes {
			t.Errorf("%q differs when it is cut at %d", body, n)
		}
		if u := whole.counts.usage(); u.InputTokens < 0 || u.OutputTokens < 0 || u.CacheReadTokens < 0 || u.CacheWriteTokens < 0 || u.ThinkingTokens < 0 {
			t.Errorf("%q used %+v", body, u)
		}
		if len(whole.json.kept) > maxKept || len(whole.json.name) > maxName+1 || len(whole.said.sample) > maxSample {
			t.Error("more is held than is allowed")
		}
	})
}

// The scanner finds what the standard decoder finds.
func FuzzLook(f *testing.F) {
	for _, body := range []string{`{"model":"a"}`, `{"a":{"model":"b"},"model":"c"}`, `{"model":["x"],"a":[{"model":"b"}]}`, `{"":"","model":"a,b:{}"}`, `{"model":"a\"b\\"}`, `{"a":1e5,"model":"x","b":[[],{}]}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var members map[string]json.RawMessage
		if json.Unmarshal(body, &members) != nil || members == nil || bytes.Contains(body, []byte(`\u`)) || bytes.Count(body, []byte(`"model"`)) > 1 {
			return
		}
		s := newScanner(nil, member{"", "model"})
		s.feed(body)
		if got := s.get("", "model"); !s.lost && len(got) < maxKept/2 && !bytes.Equal(bytes.TrimSpace(got), members["model"]) {
			t.Errorf("%q: found %q, want %q", body, got, members["model"])
		}
	})
}

func BenchmarkMeterStream(b *testing.B) {
	b.SetBytes(int64(len(someText)))
	b.ReportAllocs()
	m := newMeter(eventStream)
	m.write([]byte(messageStart))
	for b.Loop() {
		m.write([]byte(someText))
	}
}

func BenchmarkLook(b *testing.B) {
	body := []byte(`{"image":"` + strings.Repeat("A", 10<<20) + `","text":"` + strings.Repeat(`line of text\n`, 1<<20) + `","model":"m"}`)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if a, err := Look(body); a.Model != "m" || err != nil {
			b.Fatal("not found")
		}
	}
}
