package session_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"maxrelay/session/anthropictest"
	"maxrelay/session/anthropictest/wire"
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

// The CLI rewords what is not ASCII in a server's tools, and leaves out __proto__.
func TestAToolIsOfferedToTheLetter(t *testing.T) {
	b := openReal(t)
	c := b.talk("alice", "s")
	for i, words := range []string{"（全角）①", "cafe\u0301", "👩\u200d👩\u200d👧", "\ufeff\u200b", "plain"} {
		quoted, err := json.Marshal(words)
		if err != nil {
			t.Fatal(err)
		}
		told := chat.Tool{Name: fmt.Sprint("tool", i), Description: words,
			Schema: json.RawMessage(fmt.Sprintf(`{"type":"object","properties":{"p":{"enum":[%s],"properties":{%[1]s:{},"__proto__":{}}}}}`, quoted))}
		c.req.Tools = []chat.Tool{told, tool("another")}
		c.say("well?")
		got := b.newest().Body.Tools
		if len(got) != 2 || got[1].Name != told.Name || got[1].Description != words || string(wire.Canonical(got[1].InputSchema)) != string(wire.Canonical(told.Schema)) {
			t.Errorf("%q: the model was offered %s", words, wire.Canonical(got))
		}
	}
	c.req.Tools = []chat.Tool{tool("last")}
	c.mustSay("well?", chat.SessionWarm)
	if got := offered(b.newest()); !slices.Equal(got, []string{"last"}) {
		t.Errorf("the model was offered %q", got)
	}
}

// The CLI undoes escapes in the text of an argument, in what it keeps of a call.
func TestACallIsKeptToTheLetter(t *testing.T) {
	b := openReal(t)
	b.api.Answer(anthropictest.ToolUse("write", `{"text":"\\u0041\\u00e9 \\\\u0042"}`))
	c := b.talk("alice", "s")
	c.req.Tools = []chat.Tool{tool("write")}
	c.req.Messages = []chat.Message{chat.Text(chat.RoleUser, "write it")}
	c.req.Messages = append(c.req.Messages, results(c.echo(b.mustAsk(c.req)), "written"))
	b.mustAsk(c.req)
	b.mustHaveSeen(c.req.Messages)
}
