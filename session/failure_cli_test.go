package session_test

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"maxrelay/session"
	"maxrelay/session/anthropictest"
	"maxrelay/session/chat"
)

// upset is one way in which a call of the model can go wrong, or not quite right, and
// what is to come of it.
type upset struct {
	name  string
	reply anthropictest.Reply // to the call of the turn, and to all others if it is an error; the others hang until they are given up
	calls int                 // at most; 1 where 0

	code    chat.Code // "" where it is an answer all the same
	message string    // what the client is told; "" for any words of ours
	text    string    // what it was shown
	stop    chat.StopReason
	usage   chat.Usage // at least; what is above it must be whole calls more
	counted bool       // the upstream's final counts came

	lossy bool          // a connection's end may overtake what was sent before it
	kept  bool          // the process keeps question and answer
	retry time.Duration // retry-after, nearly
	limit string        // window that the pool is told to be used up, and its models
}

// price is what every call costs that gets as far as message_start.
var price = chat.Usage{InputTokens: 50, OutputTokens: 1, CacheReadTokens: 7, CacheWriteTokens: 5}

func priced(r anthropictest.Reply) anthropictest.Reply {
	return r.WithUsage(anthropictest.Usage{InputTokens: 50, CacheReadInputTokens: 7, CacheCreationInputTokens: 5})
}

// spent is the price of a call with so many tokens of output.
func spent(output int) chat.Usage {
	u := price
	u.OutputTokens = output
	return u
}

// Pieces of an upstream's event stream.
const (
	started = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-5-5\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":50,\"cache_read_input_tokens\":7,\"cache_creation_input_tokens\":5,\"output_tokens\":1}}}\n\n"
	opened  = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
	a       = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"a \"}}\n\n"
	shut    = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
	reason  = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":9}}\n\n"
	nothing = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":null,\"stop_sequence\":null},\"usage\":{\"output_tokens\":9}}\n\n"
	stopped = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
)

// sse answers with the pieces of a stream.
func sse(pieces ...string) anthropictest.Reply {
	return anthropictest.Page("text/event-stream", strings.Join(pieces, ""))
}

// upsets are what an API key's account meets. Claude Code 2.1.330 answers the first 400s
// in a process's life with up to three calls more, each with fewer beta features, and a
// 404 with one that does not stream.
var upsets = []upset{
	{name: "400", reply: refusal(400, "bad thing in messages"), calls: 4, code: chat.CodeInvalid, message: "bad thing in messages"},
	{name: "400 of too long a prompt", reply: refusal(400, "prompt is too long: 9 tokens > 8 maximum"), calls: 2, code: chat.CodeContextLength},
	{name: "400 of prompt and max_tokens", reply: refusal(400, "input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000, decrease input length or `max_tokens` and try again"), calls: 2, code: chat.CodeContextLength},
	{name: "400 of an image too large", reply: refusal(400, "messages.0.content.0.image.source.base64: image exceeds 5 MB maximum"), calls: 2, code: chat.CodeInvalid},
	{name: "400 of a bad image", reply: refusal(400, "Could not process image"), calls: 2, code: chat.CodeInvalid},
	{name: "400 for want of credit", reply: refusal(400, "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."), calls: 2, code: chat.CodeAccount},
	{name: "400 of a disabled organization", reply: refusal(400, "This organization has been disabled."), calls: 2, code: chat.CodeAccount},
	{name: "401", reply: refusal(401, "invalid x-api-key sk-made-up"), code: chat.CodeAccount},
	{name: "402", reply: refusal(402, "pay"), code: chat.CodeAccount},
	{name: "403", reply: refusal(403, "no"), code: chat.CodeAccount},
	{name: "404", reply: refusal(404, "model: x"), calls: 2, code: chat.CodeModelNotFound},
	{name: "413", reply: refusal(413, "big"), code: chat.CodeTooLarge},
	{name: "429", reply: refusal(429, "slow down"), code: chat.CodeRateLimited},
	{name: "429 with retry-after", reply: refusal(429, "slow down").RetryAfter(17), code: chat.CodeRateLimited},
	{name: "500", reply: refusal(500, "oops"), code: chat.CodeUpstream},
	{name: "502", reply: refusal(502, "oops"), code: chat.CodeUpstream},
	{name: "503", reply: refusal(503, "oops"), code: chat.CodeOverloaded},
	{name: "503 with retry-after", reply: refusal(503, "oops").RetryAfter(17), code: chat.CodeOverloaded},
	{name: "504", reply: refusal(504, "oops"), code: chat.CodeUpstream},
	{name: "529", reply: refusal(529, "busy"), code: chat.CodeOverloaded},
	{name: "an unknown status", reply: refusal(418, "tea"), code: chat.CodeUpstream},

	{name: "reset before the headers", reply: anthropictest.ResetBeforeHeaders(), code: chat.CodeUpstream},
	{name: "reset behind the headers", reply: broken(anthropictest.FaultReset, anthropictest.BeforeMessage), code: chat.CodeUpstream},
	{name: "reset behind message_start", lossy: true, reply: broken(anthropictest.FaultReset, 0), code: chat.CodeUpstream, usage: price},
	{name: "reset in mid-stream", lossy: true, reply: broken(anthropictest.FaultReset, 2), code: chat.CodeUpstream, text: "tok0 tok1 ", usage: price},
	{name: "closed before the headers", reply: broken(anthropictest.FaultEOF, anthropictest.BeforeHeaders), code: chat.CodeUpstream},
	{name: "closed behind message_start", lossy: true, reply: broken(anthropictest.FaultEOF, 0), code: chat.CodeUpstream, usage: price},
	{name: "closed in mid-stream", lossy: true, reply: broken(anthropictest.FaultEOF, 2), code: chat.CodeUpstream, text: "tok0 tok1 ", usage: price},
	{name: "ended behind the headers", reply: broken(anthropictest.FaultEnd, anthropictest.BeforeMessage), code: chat.CodeUpstream},
	{name: "ended behind message_start", reply: broken(anthropictest.FaultEnd, 0), code: chat.CodeUpstream, usage: price},
	{name: "ended in mid-stream", reply: broken(anthropictest.FaultEnd, 2), code: chat.CodeUpstream, text: "tok0 tok1 ", usage: price},
	{name: "ended between two events", reply: sse(started, opened, a, shut), calls: 2, code: chat.CodeUpstream, text: "a ", usage: price},
	{name: "ended without a reason", reply: sse(started, opened, a, shut, nothing, stopped), code: chat.CodeUpstream, text: "a ", usage: spent(9)},
	{name: "ended without message_stop", reply: sse(started, opened, a, shut, reason), text: "a ", stop: chat.StopEndTurn, usage: spent(9), counted: true, kept: true},

	{name: "an error event instead of a message", reply: failing(anthropictest.BeforeMessage, "overloaded_error", "Overloaded"), code: chat.CodeOverloaded},
	{name: "an error event behind message_start", reply: failing(0, "overloaded_error", "Overloaded"), code: chat.CodeOverloaded, usage: price},
	{name: "an error event in mid-stream", reply: failing(2, "overloaded_error", "Overloaded"), code: chat.CodeOverloaded, text: "tok0 tok1 ", usage: price},
	{name: "api_error in mid-stream", reply: failing(2, "api_error", "Internal server error"), code: chat.CodeUpstream, text: "tok0 tok1 ", usage: price},
	{name: "timeout_error in mid-stream", reply: failing(2, "timeout_error", "slow"), code: chat.CodeUpstream, text: "tok0 tok1 ", usage: price},
	{name: "an unknown error in mid-stream", reply: failing(2, "novel_error", "new"), code: chat.CodeUpstream, text: "tok0 tok1 ", usage: price},
	{name: "rate_limit_error as an event", reply: failing(anthropictest.BeforeMessage, "rate_limit_error", "slow"), code: chat.CodeRateLimited},
	{name: "invalid_request_error as an event", reply: failing(anthropictest.BeforeMessage, "invalid_request_error", "bad thing"), code: chat.CodeInvalid, message: "bad thing"},
	{name: "authentication_error as an event", reply: failing(anthropictest.BeforeMessage, "authentication_error", "who?"), code: chat.CodeAccount},

	{name: "no JSON in mid-stream", reply: broken(anthropictest.FaultMalformed, 2), code: chat.CodeUpstream, text: "tok0 tok1 ", usage: price},
	{name: "no JSON at the start", reply: broken(anthropictest.FaultMalformed, anthropictest.BeforeMessage), code: chat.CodeUpstream},
	{name: "a web page", reply: anthropictest.Page("text/html", "<html><body>Please log in to the network.</body></html>"), code: chat.CodeUpstream},
	{name: "other JSON", reply: anthropictest.Page("application/json", `{"ok":true}`), code: chat.CodeUpstream},
	{name: "nothing with status 200", reply: anthropictest.Page("text/event-stream", ""), code: chat.CodeUpstream},
	{name: "content before message_start", reply: sse(a, started, opened, a, shut, reason, stopped), code: chat.CodeUpstream},
	{name: "content of no block", reply: sse(started, a, reason, stopped), code: chat.CodeUpstream, usage: price},

	{name: "a refusal", reply: priced(anthropictest.Refuse()), text: "I cannot", stop: chat.StopRefusal, usage: spent(2), counted: true},
	{name: "a refusal without a word", reply: priced(anthropictest.Say().WithStop("refusal")), stop: chat.StopRefusal, usage: spent(0), counted: true},
	{name: "max_tokens", reply: priced(anthropictest.MaxTokens(3)), calls: 2, text: "tok0 tok1 tok2 ", stop: chat.StopMaxTokens, usage: spent(3), counted: true},
	{name: "the window exceeded", reply: priced(anthropictest.Text(3, 0).WithStop("model_context_window_exceeded")), calls: 2, text: "tok0 tok1 tok2 ", stop: chat.StopContextWindow, usage: spent(3), counted: true},
	{name: "pause_turn", reply: priced(anthropictest.Text(3, 0).WithStop("pause_turn")), text: "tok0 tok1 tok2 ", stop: chat.StopPauseTurn, usage: spent(3), counted: true},
	{name: "an unknown stop reason", reply: priced(anthropictest.Text(3, 0).WithStop("novel")), text: "tok0 tok1 tok2 ", stop: "novel", usage: spent(3), counted: true},
	{name: "an empty answer", reply: priced(anthropictest.Say()), calls: 2, stop: chat.StopEndTurn, usage: spent(0), counted: true},
	{name: "a blank answer", reply: priced(anthropictest.Say(" ", "\n")), calls: 2, text: " \n", stop: chat.StopEndTurn, usage: spent(2), counted: true},
	{name: "nothing but thought", reply: priced(anthropictest.Think("hm", "hm")), calls: 2, stop: chat.StopEndTurn, usage: spent(2), counted: true},

	{name: "a second message behind the first", reply: sse(started, opened, a, shut, reason, stopped, started, opened, a, shut, reason, stopped), text: "a ", stop: chat.StopEndTurn, usage: spent(9).Plus(spent(9)), counted: true},
	{name: "all over again in mid-stream", reply: sse(started, opened, a, started, opened, a, shut, reason, stopped), code: chat.CodeUpstream, text: "a ", usage: price.Plus(spent(9))},
	{name: "a delta twice", reply: sse(started, opened, a, a, shut, reason, stopped), text: "a a ", stop: chat.StopEndTurn, usage: spent(9), counted: true, kept: true},
	{name: "a block begun twice", reply: sse(started, opened, a, opened, a, shut, reason, stopped), text: "a a ", stop: chat.StopEndTurn, usage: spent(9), counted: true},
	{name: "a block that never ends", reply: sse(started, opened, a, reason, stopped), calls: 2, text: "a ", stop: chat.StopEndTurn, usage: spent(9), counted: true},
	{name: "the reason twice", reply: sse(started, opened, a, shut, reason, reason, stopped), text: "a ", stop: chat.StopEndTurn, usage: spent(9), counted: true, kept: true},
	{name: "the end twice", reply: sse(started, opened, a, shut, reason, stopped, stopped), text: "a ", stop: chat.StopEndTurn, usage: spent(9), counted: true, kept: true},
	{name: "a limit told by the model", reply: priced(anthropictest.Say("You've hit your 5-hour limit · resets 10pm (UTC)")), text: "You've hit your 5-hour limit · resets 10pm (UTC)", stop: chat.StopEndTurn, usage: price, counted: true, kept: true},
}

func refusal(status int, message string) anthropictest.Reply {
	return anthropictest.Status(status, "", message)
}

func broken(kind anthropictest.FaultKind, after int) anthropictest.Reply {
	return priced(anthropictest.Text(5, 0)).Broken(kind, after)
}

func failing(after int, kind, message string) anthropictest.Reply {
	return priced(anthropictest.Text(5, 0)).ErrorAfter(after, kind, message)
}

func TestEveryUpstreamFailureHasItsCodeAndLeavesNothing(t *testing.T) {
	b := openReal(t)
	c := b.talk("alice", "s")
	c.mustSay("one", chat.SessionNew)
	for _, u := range upsets {
		t.Run(u.name, func(t *testing.T) { c.suffer(t, u) })
	}
	if n := len(children(t)); n != 1 {
		t.Errorf("%d processes at the end, want the first one", n)
	}
}

// suffer asks a question that meets an upset, checks what came of it, and goes on in the
// same process as if it had not been asked.
func (c *talk) suffer(t *testing.T, u upset) {
	c.bench = &bench{c.Pool, c.api, t}
	c.api.Reset()
	c.api.Unscript()
	var asked atomic.Int32
	c.api.Script(func(anthropictest.Request) *anthropictest.Reply {
		if hang := anthropictest.StallBeforeHeaders(); asked.Add(1) > 1 && u.reply.Error == nil {
			return &hang
		}
		return &u.reply
	})
	upset := *c.req
	upset.Messages = append(slices.Clip(c.req.Messages), chat.Text(chat.RoleUser, u.name))
	got := c.ask(t.Context(), &upset)
	c.api.Unscript()
	calls := len(c.api.Requests())
	if limit := max(u.calls, 1); calls < 1 || calls > limit {
		t.Errorf("%d calls of the model, want 1 to %d", calls, limit)
	}
	u.mustBe(t, got, calls)
	if calls > 1 {
		t.Logf("%d calls, usage %+v, counted %v", calls, got.Usage, got.Counted)
	}
	if u.kept {
		c.req.Messages = append(upset.Messages, chat.Text(chat.RoleAssistant, got.text))
	}
	c.mustSay("after "+u.name, chat.SessionWarm)
}

func (u upset) mustBe(t *testing.T, got answer, calls int) {
	t.Helper()
	if codeOf(got) != u.code {
		t.Fatalf("%+v (%v), want %q", got.Outcome, got.Error, u.code)
	}
	if u.lossy && strings.HasPrefix(u.text, got.text) {
		u.text = got.text
	}
	if u.lossy && got.Usage == (chat.Usage{}) {
		u.usage = got.Usage
	}
	if got.text != u.text || got.stop != u.stop {
		t.Errorf("the client got %q, stop %q; want %q, %q", got.text, got.stop, u.text, u.stop)
	}
	if got.Counted != u.counted && calls <= 1 {
		t.Errorf("counted: %v, want %v", got.Counted, u.counted)
	}
	mustCost(t, got.Usage, u.usage, calls)
	if got.Error == nil {
		return
	}
	u.mustSay(t, got.Error.Message)
	if r := got.Error.RetryAfter; r > u.retry || r < u.retry-time.Hour {
		t.Errorf("retry after %v, want %v", r, u.retry)
	}
}

// mustCost checks that a turn cost what it must, or so much and the beginnings of calls
// that the client did not see.
func mustCost(t *testing.T, got, want chat.Usage, calls int) {
	t.Helper()
	for range max(calls, 1) {
		if got.InputTokens == want.InputTokens && got.CacheReadTokens == want.CacheReadTokens &&
			got.CacheWriteTokens == want.CacheWriteTokens && got.OutputTokens >= want.OutputTokens {
			return
		}
		want = want.Plus(price)
	}
	t.Errorf("usage %+v of %d calls", got, calls)
}

// mustSay checks the words: those of the API for a 400 and else our own, never the CLI's.
func (u upset) mustSay(t *testing.T, message string) {
	t.Helper()
	if message == "" || u.message != "" && message != u.message {
		t.Errorf("message %q, want %q", message, u.message)
	}
	for _, bad := range []string{"127.0.0.1", "sk-", "API Error", "ANTHROPIC", "login", "gateway", "settings", "Claude"} {
		if strings.Contains(message, bad) {
			t.Errorf("message %q has words of the CLI's", message)
		}
	}
}

func TestAccountFailuresOfASubscription(t *testing.T) {
	var limits []session.Limits // written by the one turn that runs at a time
	b := openReal(t, func(cfg *session.Config) {
		cfg.Env = subscribed(cfg.Env)
		cfg.Limits = func(l session.Limits) { limits = append(limits, l) }
	})
	c := b.talk("alice", "s")
	c.mustSay("one", chat.SessionNew)
	resets := time.Now().Add(2 * time.Hour)
	free := anthropictest.RateLimit("allowed", "five_hour", 0.4, resets)
	limited := func(claim string) anthropictest.Reply {
		return refusal(429, "This request would exceed your account's rate limit.").
			WithHeader(anthropictest.RateLimit("rejected", claim, 1, resets)).RetryAfter(7200)
	}
	for _, u := range []upset{
		{name: "five hours used up", reply: limited("five_hour"), code: chat.CodeUsageLimit, retry: 2 * time.Hour, limit: "five_hour"},
		{name: "still so", reply: limited("five_hour"), code: chat.CodeUsageLimit, retry: 2 * time.Hour, limit: "five_hour"},
		{name: "the week used up", reply: limited("seven_day"), code: chat.CodeUsageLimit, retry: 2 * time.Hour, limit: "seven_day"},
		{name: "a model's week used up", reply: limited("seven_day_opus"), code: chat.CodeUsageLimit, retry: 2 * time.Hour, limit: "seven_day_opus opus"},
		{name: "an outage after it", reply: refusal(500, "oops"), code: chat.CodeUpstream},
		{name: "a plain limit", reply: refusal(429, "slow down").RetryAfter(17), code: chat.CodeRateLimited},
		{name: "a plain limit while the window is free", reply: refusal(429, "slow down").WithHeader(free).RetryAfter(17), code: chat.CodeRateLimited},
		{name: "a plain limit as an event", reply: failing(anthropictest.BeforeMessage, "rate_limit_error", "slow").WithHeader(free), code: chat.CodeRateLimited},
		{name: "no credit for a long context", reply: refusal(429, "Extra usage is required for long context requests."), code: chat.CodeAccount},
		{name: "the last answer of a window", reply: priced(anthropictest.Say("a")).WithHeader(anthropictest.RateLimit("rejected", "five_hour", 1, resets)),
			text: "a", stop: chat.StopEndTurn, usage: price, counted: true, kept: true, limit: "five_hour"},
		{name: "an expired login", reply: refusal(401, "OAuth token has expired"), calls: 2, code: chat.CodeAccount},
		{name: "a login that is not allowed", reply: refusal(403, "OAuth authentication is currently not allowed for this organization."), code: chat.CodeAccount},
	} {
		t.Run(u.name, func(t *testing.T) {
			limits = nil
			c.suffer(t, u)
			mustBeReached(t, limits, u.limit, resets)
		})
	}
}

// mustBeReached checks what a pool was told of a used-up window: "" that none is.
func mustBeReached(t *testing.T, limits []session.Limits, want string, resets time.Time) {
	t.Helper()
	got := ""
	for _, l := range limits {
		if l.Reached == nil {
			continue
		}
		got = strings.TrimSpace(l.Reached.Window + " " + l.Reached.Family)
		if l.Reached.Resets.Unix() != resets.Unix() {
			t.Errorf("it resets at %v, want %v", l.Reached.Resets, resets)
		}
	}
	if got != want {
		t.Errorf("used up: %q, want %q; the pool was told %+v", got, want, limits)
	}
}

func TestASubscriptionsUseIsToldAsItChanges(t *testing.T) {
	var limits []session.Limits
	b := openReal(t, func(cfg *session.Config) {
		cfg.Env = subscribed(cfg.Env)
		cfg.Limits = func(l session.Limits) { limits = append(limits, l) }
	})
	c := b.talk("alice", "s")
	c.mustSay("one", chat.SessionNew)
	resets := time.Unix(time.Now().Add(2*time.Hour).Unix(), 0)
	for _, used := range []float64{0.25, 0.26, 0.95} {
		limits = nil
		b.api.Unscript()
		b.api.Script(func(anthropictest.Request) *anthropictest.Reply {
			r := anthropictest.Say("yes").WithHeader(anthropictest.RateLimit("allowed", "five_hour", used, resets))
			return &r
		})
		c.mustSay("go on", chat.SessionWarm)
		want := session.Window{Name: "five_hour", Used: used, Resets: resets}
		if len(limits) == 0 || !slices.Contains(limits[len(limits)-1].Windows, want) {
			t.Errorf("the pool was told %+v, want %+v", limits, want)
		}
	}
}

func subscribed(env []string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(kv string) bool { return strings.HasPrefix(kv, "ANTHROPIC_API_KEY=") })
	return append(env, "CLAUDE_CODE_OAUTH_TOKEN=sk-ant-oat01-made-up")
}

// The CLI has a limit of its own, from what the upstream counted last: no call is made.
func TestAConversationTheCLIFindsTooLongCanBeCutShort(t *testing.T) {
	b := openReal(t)
	c := b.talk("alice", "s")
	c.mustSay("one", chat.SessionNew)
	b.api.Answer(anthropictest.Say("long").WithUsage(anthropictest.Usage{InputTokens: 995_000}))
	c.mustSay("two", chat.SessionWarm)
	b.api.Reset()
	c.req.Messages = append(c.req.Messages, chat.Text(chat.RoleUser, "three"))
	if a := b.ask(t.Context(), c.req); codeOf(a) != chat.CodeContextLength || a.Usage != (chat.Usage{}) {
		t.Errorf("%+v (%v), want context_length_exceeded", a.Outcome, a.Error)
	}
	if n := len(b.api.Requests()); n != 0 {
		t.Errorf("%d calls of the model", n)
	}
	c.req.Messages = c.req.Messages[:2]
	c.mustSay("two, shorter", chat.SessionRewound)
	c.mustSay("three", chat.SessionWarm)
}

func TestAnUpstreamThatRefusesConnectionsMayComeBack(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	b := openReal(t, func(cfg *session.Config) { cfg.Env = append(cfg.Env, "ANTHROPIC_BASE_URL=http://"+address) })
	c := b.talk("alice", "s")
	first := *c.req
	first.Messages = []chat.Message{chat.Text(chat.RoleUser, "one")}
	if a := b.ask(t.Context(), &first); codeOf(a) != chat.CodeUpstream || strings.Contains(a.Error.Message, address) {
		t.Fatalf("%+v (%v), want upstream_failed", a.Outcome, a.Error)
	}
	if l, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	up := &http.Server{Handler: b.api}
	go up.Serve(l)
	t.Cleanup(func() { up.Close() })
	c.mustSay("one", chat.SessionNew)
	c.mustSay("two", chat.SessionWarm)
	if n := len(children(t)); n != 1 {
		t.Errorf("%d processes, want the first one still", n)
	}
}

func TestAStalledUpstreamIsGivenUpAndTheProcessKept(t *testing.T) {
	b := openReal(t, func(cfg *session.Config) {
		cfg.FirstByteTimeout, cfg.IdleTimeout = 3*time.Second, 3*time.Second
	})
	for name, tc := range map[string]struct {
		after int
		text  string
		usage chat.Usage
	}{
		"before the headers":   {anthropictest.BeforeHeaders, "", chat.Usage{}},
		"behind the headers":   {anthropictest.BeforeMessage, "", chat.Usage{}},
		"behind message_start": {0, "", price},
		"in mid-stream":        {2, "tok0 tok1 ", price},
	} {
		reply := broken(anthropictest.FaultStall, tc.after)
		b.api.Script(func(r anthropictest.Request) *anthropictest.Reply {
			if strings.Contains(string(r.Raw), "stall "+name) {
				return &reply
			}
			return nil
		})
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := &bench{b.Pool, b.api, t}
			c := b.talk(name, "s")
			c.req.Messages = []chat.Message{chat.Text(chat.RoleUser, "one")}
			a := b.mustAsk(c.req)
			c.req.Messages = append(c.req.Messages, chat.Text(chat.RoleAssistant, a.text))
			stalled := *c.req
			stalled.Messages = append(slices.Clip(c.req.Messages), chat.Text(chat.RoleUser, "stall "+name))
			a = b.ask(t.Context(), &stalled)
			if codeOf(a) != chat.CodeUpstream || a.text != tc.text || a.Counted {
				t.Errorf("%+v (%v), text %q", a.Outcome, a.Error, a.text)
			}
			mustCost(t, a.Usage, tc.usage, 1)
			c.req.Messages = append(c.req.Messages, chat.Text(chat.RoleUser, "two of "+name))
			if a = b.mustAsk(c.req); a.Session != chat.SessionWarm {
				t.Errorf("session %s, want warm", a.Session)
			}
			b.mustHaveBeenAsked(c.req.Messages)
		})
	}
}

// mustHaveBeenAsked checks that some request at the model held exactly these messages.
func (b *bench) mustHaveBeenAsked(want []chat.Message) {
	b.t.Helper()
	for _, r := range b.api.Requests() {
		if equalMessages(seenIn(b.t, r), want) {
			return
		}
	}
	b.t.Errorf("no request held\n%s", dump(want))
}
