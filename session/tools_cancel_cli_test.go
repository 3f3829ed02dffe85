package session_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"maxrelay/session"
	"maxrelay/session/chat"
)

// A client may leave while the CLI still fetches the tools it was to offer. Nobody
// would answer that request between turns, and the next line would wait for it.
func TestATurnLeftWhileItsToolsAreFetchedLeavesAProcessThatAnswers(t *testing.T) {
	b := openReal(t, func(c *session.Config) { c.MaxSessions = 1 })
	c := b.talk("alice", "s")
	c.mustSay("begin", chat.SessionNew)
	for i := range 16 {
		c.req.Tools = []chat.Tool{tool(fmt.Sprint("t", i))}
		c.req.Params.MaxTokens = 1000 + i
		left := *c.req
		left.Messages = append(slices.Clone(c.req.Messages), chat.Text(chat.RoleUser, fmt.Sprint("left ", i)))
		ctx, leave := context.WithCancel(t.Context())
		b.watch(ctx, &left, func(chat.Event) { leave() }) // at its first sign, before the model is asked
		leave()
		if i%2 == 1 {
			c.req.Tools, c.req.Params = nil, chat.Params{}
		}
		c.mustSay(fmt.Sprint("asked ", i), chat.SessionWarm)
		var want []string
		for _, tool := range c.req.Tools {
			want = append(want, tool.Name)
		}
		if got := offered(b.newest()); !slices.Equal(got, want) {
			t.Errorf("%d: offered %q, want %q", i, got, want)
		}
		if max := b.newest().Body.MaxTokens; i%2 == 0 && max != 1000+i || i%2 == 1 && max < 4000 {
			t.Errorf("%d: max_tokens %d", i, max)
		}
	}
}
