package session

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"maxrelay/session/chat"
)

// What a real CLI was seen to say, and what a newer or older one may.
func TestWhatTheCLISaysHasItsCode(t *testing.T) {
	soon := time.Now().Add(time.Hour).Unix()
	rejected := rateLimit{Status: "rejected", ResetsAt: soon, Type: "five_hour"}
	status := func(n int) result { return result{IsError: true, APIErrorStatus: &n, TerminalReason: "api_error"} }
	for _, tc := range []struct {
		name   string
		result result
		notice notice
		limit  rateLimit
		code   chat.Code
		retry  bool // a retry-after is told
	}{
		{name: "a kind of notice", result: status(429), notice: notice{class: "rate_limit", kind: "usage_limit_reached", limit: rejected}, code: chat.CodeUsageLimit, retry: true},
		{name: "only an event", result: status(429), notice: notice{class: "rate_limit"}, limit: rejected, code: chat.CodeUsageLimit, retry: true},
		{name: "only words", result: status(429), notice: notice{class: "rate_limit", text: "You've hit your session limit · resets 10pm (UTC)"}, code: chat.CodeUsageLimit, retry: true},
		{name: "words that name no time", result: status(429), notice: notice{class: "rate_limit", text: "You've hit your monthly spend limit"}, code: chat.CodeUsageLimit},
		{name: "words of an account that waiting does not help", result: status(429), notice: notice{class: "rate_limit", text: "Your org is out of usage · add funds to continue"}, code: chat.CodeAccount},
		{name: "words that pose as an answer", notice: notice{text: "You've hit your 5-hour limit · resets 10pm (UTC)"}, code: chat.CodeUsageLimit, retry: true},
		{name: "older words", notice: notice{text: "Claude AI usage limit reached|1795298448"}, code: chat.CodeUsageLimit, retry: true},
		{name: "other words of ours", notice: notice{text: "You've hit your head"}, code: chat.CodeUpstream},
		{name: "an event without a window", result: status(429), notice: notice{class: "rate_limit"}, limit: rateLimit{Status: "rejected"}, code: chat.CodeRateLimited},
		{name: "an event with a window that allows", result: status(429), notice: notice{class: "rate_limit", kind: "usage_limit_reached"},
			limit: rateLimit{Status: "rejected", ResetsAt: soon, Type: "five_hour", Windows: map[string]window{"five_hour": {Status: "allowed_warning"}}}, code: chat.CodeRateLimited},
		{name: "an event and another failure", result: status(500), limit: rejected, code: chat.CodeUpstream},
		{name: "no sign-in", result: result{IsError: true}, notice: notice{class: "authentication_failed", text: "Not logged in · Please run /login"}, code: chat.CodeAccount},
		{name: "a class without a status", result: result{IsError: true}, notice: notice{class: "overloaded"}, code: chat.CodeOverloaded},
		{name: "an account on hold", result: status(400), notice: notice{class: "account_on_hold"}, code: chat.CodeAccount},
		{name: "a message too long for a window", result: status(400), notice: notice{class: "invalid_request", kind: "message_over_context_limit"}, code: chat.CodeContextLength},
		{name: "a CLI too old for the API", result: status(400), notice: notice{kind: "claude_code_version_too_old"}, code: chat.CodeAccount},
		{name: "an unknown kind and class", result: status(500), notice: notice{kind: "novel", class: "novel"}, code: chat.CodeUpstream},
		{name: "nothing at all", code: chat.CodeUpstream},
	} {
		e := classify(tc.result, tc.notice, tc.limit)
		if e.Code != tc.code || e.Message == "" || (e.RetryAfter > 0) != tc.retry {
			t.Errorf("%s: %+v, want %s", tc.name, e, tc.code)
		}
		if strings.Contains(e.Message, tc.notice.text) && tc.notice.text != "" {
			t.Errorf("%s: the client is told the CLI's words: %q", tc.name, e.Message)
		}
	}
}

func TestEveryCodeOfAFailureHasWords(t *testing.T) {
	for _, table := range []map[string]chat.Code{kinds, endings, classes} {
		for _, code := range table {
			if words[code] == "" {
				t.Errorf("%s has no words", code)
			}
		}
	}
	for _, code := range statuses {
		if words[code] == "" {
			t.Errorf("%s has no words", code)
		}
	}
}

func TestOnlyTheUpstreamsOwnWordsArePassedOn(t *testing.T) {
	bad := 400
	for _, tc := range []struct {
		text   any
		status *int
		want   string
	}{
		{"API Error: 400 messages: bad", &bad, "messages: bad"},
		{"API Error: 400 ", &bad, "ours"},
		{"API Error: the image was removed", &bad, "ours"},
		{"Credit balance is too low", &bad, "ours"},
		{nil, &bad, "ours"},
		{"API Error: messages: bad", nil, "messages: bad"},
		{"messages: bad", nil, "ours"},
		{"API Error: 400 " + strings.Repeat("x", 1999) + "€", &bad, strings.Repeat("x", 1999) + "…"},
	} {
		if got := upstreamMessage(result{Result: tc.text, APIErrorStatus: tc.status}, "ours"); got != tc.want {
			t.Errorf("%.40q: got %.40q, want %.40q", tc.text, got, tc.want)
		}
	}
}

func TestTheMeterCountsEveryCall(t *testing.T) {
	events := func(lines ...string) (out []streamEvent) {
		for _, l := range lines {
			var e streamEvent
			if err := json.Unmarshal([]byte(l), &e); err != nil {
				t.Fatal(err)
			}
			out = append(out, e)
		}
		return out
	}
	const (
		start = `{"type":"message_start","message":{"usage":{"input_tokens":50,"cache_read_input_tokens":7,"output_tokens":1}}}`
		end   = `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":9}}`
		cut   = `{"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":4}}`
	)
	for _, tc := range []struct {
		name   string
		events []streamEvent
		told   chat.Usage
		want   chat.Usage
		final  bool
	}{
		{name: "none"},
		{name: "one", events: events(start, end), want: chat.Usage{InputTokens: 50, CacheReadTokens: 7, OutputTokens: 9}, final: true},
		{name: "one that broke off", events: events(start, cut), want: chat.Usage{InputTokens: 50, CacheReadTokens: 7, OutputTokens: 4}},
		{name: "two", events: events(start, end, start, end), want: chat.Usage{InputTokens: 100, CacheReadTokens: 14, OutputTokens: 18}, final: true},
		{name: "one and one that was stopped", events: events(start, end, start), want: chat.Usage{InputTokens: 100, CacheReadTokens: 14, OutputTokens: 10}},
		{name: "one that broke off and one", events: events(start, start, end), want: chat.Usage{InputTokens: 100, CacheReadTokens: 14, OutputTokens: 10}},
		{name: "one, and the CLI knows of two", events: events(start, end), told: chat.Usage{InputTokens: 100, OutputTokens: 15},
			want: chat.Usage{InputTokens: 100, CacheReadTokens: 7, OutputTokens: 15}, final: true},
		{name: "one that the CLI does not count", events: events(start), want: chat.Usage{InputTokens: 50, CacheReadTokens: 7, OutputTokens: 1}},
	} {
		m := meter{told: tc.told}
		for _, e := range tc.events {
			m.take(&e)
		}
		if m.total() != tc.want || m.final() != tc.final {
			t.Errorf("%s: %+v, final %v; want %+v, %v", tc.name, m.total(), m.final(), tc.want, tc.final)
		}
	}
}
