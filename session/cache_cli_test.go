package session_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"maxrelay/session"
	"maxrelay/session/anthropictest"
	"maxrelay/session/chat"
)

// enough is the share of an ideal client's cache reads that is to be had.
const enough = 0.95

// longSystem is a system prompt of some 1500 tokens, above the minimum of the models that are asked here.
var longSystem = strings.Repeat("Answer in full sentences and keep to what was asked. ", 120)

// chatter answers with a paragraph, each time another one.
func (b *bench) chatter() {
	b.api.Script(func(r anthropictest.Request) *anthropictest.Reply {
		reply := anthropictest.Say(fmt.Sprint("Answer ", r.N, ": ", strings.Repeat("and so on, ", 30)))
		return &reply
	})
}

func question(i int) string {
	return fmt.Sprint("Question ", i, strings.Repeat(" with some detail", 20))
}

// turn adds a question to a conversation and its answer. What the turn says of the cache must be what Ideal finds.
func (t *talk) turn(text string) {
	t.t.Helper()
	t.req.Messages = append(t.req.Messages, chat.Text(chat.RoleUser, text))
	a := t.mustAsk(t.req)
	reads := anthropictest.Ideal(t.api.Requests())
	if last := reads[len(reads)-1]; a.Usage.CacheReadTokens != last.All {
		t.t.Errorf("turn %d tells %d tokens read, want %d", len(reads), a.Usage.CacheReadTokens, last.All)
	}
	t.req.Messages = append(t.req.Messages, chat.Text(chat.RoleAssistant, a.text))
}

// at is the conversation as it was after n messages.
func (t *talk) at(n int) *talk {
	req := *t.req
	req.Messages = slices.Clone(req.Messages[:n])
	return &talk{t.bench, &req}
}

// share sums what an ideal client would have read in the given requests, and how much of it was read.
func share(reads []anthropictest.Reads) (of float64) {
	var own, ideal int
	for _, r := range reads {
		own, ideal = own+r.Own, ideal+r.Ideal
	}
	return float64(own) / float64(ideal)
}

// grow is a conversation that only grows.
func grow(b *bench) []anthropictest.Reads {
	b.chatter()
	c := b.talk("alice", longSystem)
	for i := range 20 {
		c.turn(question(i))
	}
	return anthropictest.Ideal(b.api.Requests())
}

// edit is a conversation whose user asks again, edits, and goes back to what was before the edit.
func edit(b *bench) []anthropictest.Reads {
	b.chatter()
	c := b.talk("alice", longSystem)
	for i := range 6 {
		c.turn(question(i))
	}
	for i := range 3 { // the last answer anew
		c = c.at(len(c.req.Messages) - 2)
		c.turn(question(5))
		c.turn(question(10 + i))
	}
	for i, n := range []int{12, 8, 2} { // an edit, ever earlier, and some turns on from it
		other := c.at(n)
		for j := range 3 {
			other.turn(question(20 + 10*i + j))
		}
	}
	c.turn(question(50)) // the first branch goes on
	c.turn(question(51))
	return anthropictest.Ideal(b.api.Requests())
}

// move is a conversation that a second pool takes over, as another worker of the same account would. moved is the turn that it
// takes over with.
func move(b *bench) (reads []anthropictest.Reads, moved int) {
	b.t.Helper()
	b.chatter()
	c := b.talk("alice", longSystem)
	for i := range 10 {
		c.turn(question(i))
	}
	pool, err := session.Open(realConfig(b.t, b.api.URL()), zerolog.Nop())
	if err != nil {
		b.t.Fatal(err)
	}
	defer pool.Close()
	c.bench = &bench{pool, b.api, b.t}
	for i := range 10 {
		c.turn(question(10 + i))
	}
	return anthropictest.Ideal(b.api.Requests()), 10
}

func TestGrowingConversationReadsTheCacheAsAnIdealClient(t *testing.T) {
	b := openReal(t)
	reads := grow(b)
	t.Logf("%d turns: %.2f %% of an ideal client's reads", len(reads), 100*share(reads))
	if len(reads) != 20 || share(reads) < enough {
		t.Errorf("reads %+v", reads)
	}
}

func TestEditedConversationReadsTheCacheAsAnIdealClient(t *testing.T) {
	b := openReal(t)
	reads := edit(b)
	t.Logf("%d turns: %.2f %% of an ideal client's reads", len(reads), 100*share(reads))
	if share(reads) < enough {
		t.Errorf("reads %+v", reads)
	}
	if st := b.Stats(); st.Idle != 1 {
		t.Errorf("processes: %+v, want the one that was cut", st)
	}
}

func TestMovedConversationReadsTheCacheAgainAfterOneTurn(t *testing.T) {
	reads, moved := move(openReal(t))
	t.Logf("before the move %.2f %%, its turn %.2f %%, after it %.2f %% of an ideal client's reads",
		100*share(reads[:moved]), 100*share(reads[moved:moved+1]), 100*share(reads[moved+1:]))
	system := len(longSystem) / 4
	if got := reads[moved]; got.Own < system || got.Own > system+100 || got.Own >= got.Ideal {
		t.Errorf("the turn of the move read %+v, want the system prompt's %d tokens", got, system)
	}
	if share(reads[moved+1:]) < enough {
		t.Errorf("reads after the move %+v", reads[moved+1:])
	}
}

// lifetimes are those of a request's breakpoints, each once.
func lifetimes(r anthropictest.Request) []string {
	found := map[string]bool{}
	see := func(blocks anthropictest.Content) {
		for _, b := range blocks {
			if b.CacheControl != nil {
				found[b.CacheControl.TTL] = true
			}
		}
	}
	see(r.Body.System)
	for _, m := range r.Body.Messages {
		see(m.Content)
	}
	return slices.Sorted(maps.Keys(found))
}

func TestCacheLifetimeIsTheConfiguredWhateverTheSignIn(t *testing.T) {
	for _, tt := range []struct {
		ttl    string
		signIn string
		want   string // on the wire, where 5 minutes are the default
	}{
		{"5m", "ANTHROPIC_API_KEY=sk-made-up", ""},
		{"5m", "CLAUDE_CODE_OAUTH_TOKEN=sk-ant-oat01-made-up", ""},
		{"1h", "ANTHROPIC_API_KEY=sk-made-up", "1h"},
		{"1h", "CLAUDE_CODE_OAUTH_TOKEN=sk-ant-oat01-made-up", "1h"},
	} {
		b := openReal(t, func(c *session.Config) {
			c.CacheTTL = tt.ttl
			c.Env = slices.DeleteFunc(c.Env, func(kv string) bool { return strings.HasPrefix(kv, "ANTHROPIC_API_KEY=") })
			c.Env = append(c.Env, tt.signIn)
		})
		b.talk("", longSystem).say("hello")
		if got := lifetimes(b.api.Requests()[0]); !slices.Equal(got, []string{tt.want}) {
			t.Errorf("%s with %s: lifetimes %q", tt.ttl, strings.SplitN(tt.signIn, "=", 2)[0], got)
		}
	}
}

func TestShortPromptsAreSentUncachedUntilTheyAreLong(t *testing.T) {
	b := openReal(t)
	c := b.talk("alice", "Be brief.")
	want := func(cached bool) {
		t.Helper()
		all := b.api.Requests()
		if got := len(lifetimes(all[len(all)-1])) > 0; got != cached {
			t.Errorf("request %d cached: %v", len(all), got)
		}
	}
	c.mustSay("short", chat.SessionNew)
	want(false)
	c.mustSay("still short", chat.SessionWarm)
	want(false)
	c.mustSay(strings.Repeat("long ", 1024), chat.SessionWarm)
	want(true)
	c.mustSay("and on", chat.SessionWarm)
	want(true)
	c.at(4).mustSay("shorter again, but it was sent cached", chat.SessionRewound)
	want(true)
	c.at(0).mustSay("another conversation in the same process", chat.SessionNew)
	want(false)
}

func TestSettingsOfATurnHoldForItAlone(t *testing.T) {
	b := openReal(t)
	c := b.talk("alice", "s")
	for _, tt := range []struct {
		params    chat.Params
		maxTokens int
		effort    string
		thinking  bool
	}{
		{chat.Params{}, 128000, `"medium"`, true},
		{chat.Params{MaxTokens: 77, Effort: "low", NoThinking: true}, 77, `"low"`, false},
		{chat.Params{MaxTokens: 78, Effort: "low"}, 78, `"low"`, true},
		{chat.Params{}, 128000, `"medium"`, true},
	} {
		c.req.Params = tt.params
		c.say("go")
		all := b.api.Requests()
		body := all[len(all)-1].Body
		if body.MaxTokens != tt.maxTokens || body.Thinking.On() != tt.thinking || !strings.Contains(string(body.Fields["output_config"]), tt.effort) {
			t.Errorf("%+v: max_tokens %d, thinking %v, output_config %s", tt.params, body.MaxTokens, body.Thinking.On(), body.Fields["output_config"])
		}
	}
}
