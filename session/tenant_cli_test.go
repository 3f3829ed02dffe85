package session_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"maxrelay/session"
	"maxrelay/session/anthropictest"
	"maxrelay/session/chat"
)

// No request at the model, metadata and all, holds a text of another conversation.
func TestTenantsNeverMeetInTheRealCLI(t *testing.T) {
	s := newSeed(t)
	b := openReal(t)
	b.api.Script(func(r anthropictest.Request) *anthropictest.Reply {
		reply := anthropictest.Say("heard ", lastMark(r), " and", " that", " is", " all")
		return &reply
	})
	deaths := new(deaths)
	turns := [3]int{}
	var tenants sync.WaitGroup
	for i, tenant := range manyTenants[1:4] { // as many at once as there are processes, but one
		tenants.Go(func() {
			rng := rand.New(rand.NewPCG(s, uint64(i)))
			var talks []*life
			for c := range 2 {
				d := (&fakes{bench: b}).dialog("", "")
				d.req.Tenant = tenant
				talks = append(talks, &life{dialog: d, rng: rng, words: mark(i, c), deaths: deaths})
			}
			for ; turns[i] < 20; turns[i]++ {
				talks[rng.IntN(len(talks))].realTurn()
			}
		})
	}
	tenants.Wait()
	b.Close()
	deaths.mustExplainFailures(t)
	for _, r := range b.api.Requests() {
		if own := marksIn(r.Raw); len(own) != 1 {
			t.Errorf("request %d holds texts of %v", r.N, own)
		}
	}
	t.Logf("%d turns, %d requests at the model, %d processes killed, %d turns failed by that",
		turns[0]+turns[1]+turns[2], len(b.api.Requests()), deaths.killed.Load(), deaths.failed.Load())
}

// realTurn is a turn of a conversation whose model says what it has heard.
func (l *life) realTurn() {
	l.edit()
	text := fmt.Sprint(l.words, " ", l.rng.IntN(3))
	switch n := l.rng.IntN(10); {
	case n < 2:
		l.leave(text)
		return
	case n < 3:
		l.kill()
	}
	req := l.with(text)
	a := l.ask(l.t.Context(), req)
	switch {
	case a.Error == nil:
		if want := "heard " + l.words + " and that is all"; a.text != want {
			l.t.Errorf("the answer is %q, want %q", a.text, want)
		}
		l.req.Messages = append(req.Messages, chat.Text(chat.RoleAssistant, a.text))
	case !l.forgives(a.Error):
		l.t.Errorf("a good turn failed: %v", a.Error)
	}
}

func lastMark(r anthropictest.Request) string {
	conversation := anthropictest.Conversation(r)
	return marks.FindString(conversation[len(conversation)-1].Text())
}

// marksIn returns the different marks of a request, wherever they stand in it.
func marksIn(raw []byte) (found []string) {
	for _, m := range marks.FindAll(raw, -1) {
		if !slices.Contains(found, string(m)) {
			found = append(found, string(m))
		}
	}
	return found
}

// An idle process that holds the very conversation is a temptation: it would answer
// another tenant in no time.
func TestAnIdleProcessIsNobodyElses(t *testing.T) {
	for name, sessions := range map[string]int{"with room for more": 4, "in a full pool": 1} {
		t.Run(name, func(t *testing.T) {
			var latest string // process that became busy, in the one turn that runs
			b := openReal(t, func(c *session.Config) {
				c.MaxSessions, c.MaxSessionsPerKey = sessions, sessions
				c.Changed = func(h session.Holding) {
					if h.Busy {
						latest = h.Process
					}
				}
			})
			served := make(map[string]chat.Tenant) // by process
			for _, tenant := range []chat.Tenant{
				{Key: "k1", User: "ann", Pool: "p"},
				{Key: "k1", User: "bob", Pool: "p"},
				{Key: "k2", User: "ann", Pool: "p"},
				{Key: "k1", Pool: "p"},
			} {
				c := b.talk("", "Be brief.")
				c.req.Tenant = tenant
				c.req.Messages = []chat.Message{chat.Text(chat.RoleUser, "the same"), chat.Text(chat.RoleAssistant, "for all")}
				c.mustSay("the same question", chat.SessionReplayed)
				if other, taken := served[latest]; taken {
					t.Errorf("process %s served %+v and %+v", latest, other, tenant)
				}
				first := latest
				served[first] = tenant
				if c.mustSay("and on", chat.SessionWarm); latest != first {
					t.Errorf("%+v went from process %s to %s", tenant, first, latest)
				}
			}
		})
	}
}
