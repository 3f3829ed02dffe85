package main

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"maxrelay/session/anthropictest"
)

func testOutput(t *testing.T, b *paramBench) {
	counted := anthropictest.Usage{InputTokens: 11, CacheReadInputTokens: 7, CacheCreationInputTokens: 5, OutputTokens: 3}
	replies := []anthropictest.Reply{hello.priced(counted)}
	b.each(t, "usage", call{params: `"stream_options":{"include_usage":true}`, replies: replies}, func(t *testing.T, h heard) {
		h.must(t, hello)
		if u := h.usage; u.Prompt != 23 || u.Completion != 3 || u.Total != 26 || u.Details.Cached != 7 {
			t.Errorf("usage %+v", u)
		}
	})
	for _, options := range []string{`"stream_options":{}`, `"stream_options":{"include_usage":false}`, `"stream_options":{"include_usage":null,"include_obfuscation":false}`} {
		t.Run(options, func(t *testing.T) {
			h := b.ask(t, call{params: options, stream: true, replies: replies})
			if h.must(t, hello); h.told || strings.Contains(string(h.body), `"usage"`) {
				t.Errorf("the usage was told: %s", h.body)
			}
		})
	}
	t.Run("where the usage stands", func(t *testing.T) {
		h := b.ask(t, call{params: `"stream_options":{"include_usage":true}`, stream: true})
		events := strings.Split(strings.TrimSpace(string(h.body)), "\n\n")
		last := len(events) - 1
		for i, event := range events[:last] {
			if null, empty := strings.Contains(event, `"usage":null`), strings.Contains(event, `"choices":[]`); null == (i == last-1) || empty == null {
				t.Errorf("event %d of %d: %s", i, last, event)
			}
		}
		if events[last] != "data: [DONE]" || !strings.Contains(events[last-2], `"delta":{},"logprobs":null,"finish_reason":"stop"`) {
			t.Errorf("the end is %q", events[last-2:])
		}
		if !strings.Contains(events[0], `"role":"assistant"`) {
			t.Errorf("the beginning is %s", events[0])
		}
	})
	b.each(t, "a refusal", call{replies: []anthropictest.Reply{anthropictest.Say("I", " cannot.").WithStop("refusal")}}, func(t *testing.T, h heard) {
		h.mustBeRefused(t)
	})
	b.each(t, "a refusal without words", call{replies: []anthropictest.Reply{{StopReason: "refusal"}}}, func(t *testing.T, h heard) {
		h.mustBeRefused(t)
	})
	t.Run("ids are new", func(t *testing.T) {
		ids := regexp.MustCompile(`"id":"(chatcmpl-[A-Za-z0-9]+)"`)
		one, other := ids.FindStringSubmatch(string(b.ask(t, call{}).body)), ids.FindStringSubmatch(string(b.ask(t, call{}).body))
		if len(one) != 2 || len(other) != 2 || one[1] == other[1] {
			t.Errorf("ids %q and %q", one, other)
		}
	})
}

// mustBeRefused checks a refusal of the model's. Words that were streamed before it
// stay said.
func (h heard) mustBeRefused(t *testing.T) {
	t.Helper()
	if h.status != http.StatusOK || len(h.choices) != 1 || h.choices[0].finish != "content_filter" || h.choices[0].refusal == "" {
		t.Errorf("status %d, answers %+v, error %+v", h.status, h.choices, h.err)
	}
}

func testHeaders(t *testing.T, b *paramBench) {
	number := regexp.MustCompile(`^\d+$`)
	sent := http.Header{"X-Request-Id": {"my-own.id_1"}}
	b.each(t, "of an answer", call{header: sent}, func(t *testing.T, h heard) {
		h.must(t, hello)
		for name, want := range map[string]string{
			"X-Request-Id": `^my-own\.id_1$`, "Openai-Processing-Ms": `^\d+$`, "X-Maxrelay-Queue-Ms": `^\d+$`,
			"X-Maxrelay-Worker": `^serve$`, "X-Maxrelay-Session": `^new$`, "X-Maxrelay-Ignored": `^$`, "Retry-After": `^$`,
		} {
			if got := h.header.Get(name); !regexp.MustCompile(want).MatchString(got) {
				t.Errorf("%s: %q, want %s", name, got, want)
			}
		}
		streamed := strings.HasSuffix(t.Name(), "streamed")
		for name, want := range map[string]string{"Cache-Control": "no-cache", "X-Accel-Buffering": "no"} {
			if got := h.header.Get(name); (got == want) != streamed {
				t.Errorf("%s: %q", name, got)
			}
		}
		if got, want := h.header.Get("Content-Type"), map[bool]string{true: "text/event-stream", false: "application/json"}[streamed]; got != want {
			t.Errorf("content type %q", got)
		}
	})
	for _, bad := range []string{"", "two words", "a/b", strings.Repeat("x", 129)} {
		h := b.ask(t, call{header: http.Header{"X-Request-Id": {bad}}, params: `"max_tokens":0`})
		if got := h.header.Get("X-Request-Id"); got == bad || !strings.HasPrefix(got, "req_") || !number.MatchString(h.header.Get("Openai-Processing-Ms")) {
			t.Errorf("%q: request id %q, %q ms", bad, got, h.header.Get("Openai-Processing-Ms"))
		}
	}
}

// What the upstream says against a request has its own status; both ways of asking see
// the same, since nothing was shown yet.
func testFailures(t *testing.T, b *paramBench) {
	for _, tc := range []struct {
		name       string
		reply      anthropictest.Reply
		status     int
		kind, code string
		words      string
		retry      string
	}{
		{"400", refused(400, "messages.0: not like this"), 400, badRequest, "", "messages.0: not like this", ""},
		{"too long", refused(400, "prompt is too long: 9 tokens > 8 maximum"), 400, badRequest, "context_length_exceeded", "context", ""},
		{"401", refused(401, "key sk-ant-123"), 502, "api_error", "account_unavailable", "account", ""},
		{"403", refused(403, "path /v1/x"), 502, "api_error", "account_unavailable", "account", ""},
		{"404", refused(404, "model: x"), 404, badRequest, "model_not_found", "model", ""},
		{"413", refused(413, "big"), 413, badRequest, "request_too_large", "large", ""},
		{"429", refused(429, "slow").RetryAfter(3), 429, "rate_limit_error", "rate_limit_exceeded", "rate", "30"},
	} {
		b.each(t, tc.name, call{replies: []anthropictest.Reply{tc.reply}}, func(t *testing.T, h heard) {
			h.mustRefuse(t, tc.status, tc.kind, tc.code, "", tc.words)
			if h.header.Get("Retry-After") != tc.retry || h.header.Get("X-Should-Retry") != "" {
				t.Errorf("retry-after %q, x-should-retry %q", h.header.Get("Retry-After"), h.header.Get("X-Should-Retry"))
			}
			for _, secret := range []string{"API Error", "sk-", "/v1/x"} {
				if strings.Contains(h.err.Message, secret) {
					t.Errorf("the message says too much: %q", h.err.Message)
				}
			}
		})
	}
	t.Run("in the middle of a stream", func(t *testing.T) {
		h := b.ask(t, call{stream: true, replies: []anthropictest.Reply{anthropictest.Text(5, 0).ErrorAfter(2, "overloaded_error", "Overloaded")}})
		h.mustBreak(t, "tok0 tok1 ", "overloaded")
	})
}

// Who may ask is judged before what is asked, and that before anything is done.
func testBodies(t *testing.T, b *paramBench) {
	mine := []string{"Bearer " + paramKey}
	for name, tc := range map[string]struct {
		body   string
		key    []string
		status int
		code   string
		words  string
	}{
		"no key":      {`{`, nil, 401, "invalid_api_key", "key"},
		"a wrong key": {`{`, []string{"Bearer nobody"}, 401, "invalid_api_key", "key"},
		"nothing":     {``, mine, 400, "", "empty"},
		"half":        {`{"model":"sonnet",`, mine, 400, "", "byte 18"},
		"two":         {`{} {}`, mine, 400, "", "byte 4"},
		"a list":      {`[]`, mine, 400, "", "must be a JSON object, not an array"},
		"null":        {`null`, mine, 400, "", "must be a JSON object, not null"},
		"other text":  {"{\"model\":\"\xff\"}", mine, 400, "", "UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			b.post(t, http.Header{"Authorization": tc.key}, tc.body).mustRefuse(t, tc.status, badRequest, tc.code, "", tc.words)
		})
	}
	t.Run("compressed", func(t *testing.T) {
		header := http.Header{"Authorization": mine, "Content-Encoding": {"gzip"}}
		b.post(t, header, "\x1f\x8b").mustRefuse(t, http.StatusBadRequest, badRequest, "", "", "Content-Encoding")
	})
	t.Run("too much", func(t *testing.T) {
		never, w := io.Pipe()
		defer w.Close()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+"/v1/chat/completions", never)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = 50<<20 + 1
		b.send(t, r).mustRefuse(t, http.StatusRequestEntityTooLarge, badRequest, "request_too_large", "", "50 MB")
	})
}
