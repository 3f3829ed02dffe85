package main

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"maxrelay/session/anthropictest"
)

// grown returns a conversation of three turns about a topic. All are one user's, so that
// they take turns in a few processes.
func grown(t *testing.T, url, topic string) *talk {
	t.Helper()
	c := &talk{t: t, url: url}
	for i := range 3 {
		c.say(fmt.Sprint(topic, " ", i))
	}
	return c
}

// mustAsk sends a history that ends with a question, checks what the model saw, and
// takes the answer into the history.
func (c *talk) mustAsk(s *site, messages []message, session string) (worker string) {
	c.t.Helper()
	c.req.Messages, c.req.Stream = slices.Clone(messages), !c.req.Stream
	a, err := send(c.t.Context(), c.url, c.req, nil)
	if err != nil || a.status != http.StatusOK || a.errCode != "" {
		c.t.Fatalf("status %d, error %q, %v", a.status, a.errCode, err)
	}
	if a.session() != session {
		c.t.Errorf("session %q, want %s", a.session(), session)
	}
	s.mustHaveSeen(messages)
	c.req.Messages = append(c.req.Messages, message{"assistant", a.text})
	return a.worker()
}

func TestClientsEditTheirHistories(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start("serve", servesHTTP, realCLI, "serve")
	question := message{"user", "another question"}
	for name, tc := range map[string]struct {
		edit    func(m []message) []message // of three turns, six messages
		session string
	}{
		"the last answer again":         {func(m []message) []message { return m[:5] }, "rewound"},
		"the last question edited":      {func(m []message) []message { return append(m[:4], question) }, "rewound"},
		"a question in between edited":  {func(m []message) []message { m[2] = question; return m[:5] }, "rewound"},
		"an answer edited":              {func(m []message) []message { m[3] = message{"assistant", "mine"}; return m[:5] }, "rewound"},
		"the first question edited":     {func(m []message) []message { m[0] = question; return m[:5] }, "replayed"},
		"the oldest turn dropped":       {func(m []message) []message { return m[2:5] }, "replayed"},
		"a conversation begun all over": {func(m []message) []message { return m[:1] }, "new"},
	} {
		t.Run(name, func(t *testing.T) {
			c := grown(t, p.url, name)
			c.mustAsk(s, tc.edit(slices.Clone(c.req.Messages)), tc.session)
			c.mustAsk(s, append(c.req.Messages, message{"user", "and now?"}), "warm")
		})
	}
}

func TestHistoriesComeBackToTheirWorkers(t *testing.T) {
	s := newSite(t)
	node := s.start("api", servesHTTP, realCLI, "api")
	for _, name := range []string{"w1", "w2"} {
		s.start(name, takesJobs, realCLI, "worker", "--set", "worker.max_sessions=1", "--set", "worker.slots=1")
	}
	gate := anthropictest.NewGate(anthropictest.BeforeHeaders)
	defer gate.Release()
	s.model.Answer(anthropictest.Say("first").HeldBy(gate))
	a, b := &talk{t: t, url: node.url, req: chatRequest{User: "a"}}, &talk{t: t, url: node.url, req: chatRequest{User: "b"}}
	a.req.Messages = []message{{"user", "a asks"}}
	first := make(chan answer, 1)
	go func() {
		got, err := send(t.Context(), node.url, a.req, nil)
		if err != nil {
			t.Error(err)
		}
		first <- got
	}()
	if _, err := s.model.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	atB := b.say("b asks").worker() // the only slot of the other one is taken
	gate.Release()
	got := <-first
	a.req.Messages = append(a.req.Messages, message{"assistant", got.text})
	atA := got.worker()
	if atA == atB {
		t.Fatalf("both conversations are at %s", atA)
	}
	for i := range 3 {
		for _, c := range []struct {
			*talk
			worker string
		}{{a, atA}, {b, atB}} {
			more := append(slices.Clone(c.req.Messages), message{"user", fmt.Sprint("more ", i)})
			if w := c.mustAsk(s, more, "warm"); w != c.worker {
				t.Errorf("a turn of %s went to %s, its process is at %s", c.req.User, w, c.worker)
			}
			if w := c.mustAsk(s, more, "rewound"); w != c.worker {
				t.Errorf("a second answer for %s came from %s, its process is at %s", c.req.User, w, c.worker)
			}
		}
	}
}
