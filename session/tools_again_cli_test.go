package session_test

import (
	"strings"
	"testing"

	"maxrelay/session/chat"
)

// A description that changes is shown to the model, even if that takes another process.
func TestAToolIsOfferedWithTheDescriptionItHasNow(t *testing.T) {
	b := openReal(t)
	c := b.talk("alice", "s")
	for _, turn := range []struct {
		description string
		want        chat.Session
	}{
		{"of a city", chat.SessionNew},
		{"of a city", chat.SessionWarm},
		{"of a ship", chat.SessionReplayed},
		{"of a ship", chat.SessionWarm},
	} {
		again := tool("weather")
		again.Description = turn.description
		c.req.Tools = []chat.Tool{again}
		c.mustSay("well?", turn.want)
		if got := b.newest().Body.Tools; len(got) != 1 || got[0].Description != turn.description {
			t.Errorf("%q: the model was offered %+v", turn.description, got)
		}
	}
}

// The CLI cuts descriptions at 2048 characters unless it is told otherwise.
func TestALongDescriptionIsOfferedWhole(t *testing.T) {
	b := openReal(t)
	c := b.talk("alice", "s")
	long := tool("weather")
	long.Description = strings.Repeat("of a city ", 20_000)
	c.req.Tools = []chat.Tool{long}
	c.mustSay("well?", chat.SessionNew)
	if got := b.newest().Body.Tools; len(got) != 1 || got[0].Description != long.Description {
		t.Errorf("%d tools, with %d of %d bytes", len(got), len(got[0].Description), len(long.Description))
	}
}
