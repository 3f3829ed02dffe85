package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"maxrelay/session/anthropictest"
)

// Two machines have an account each, and one of them runs into its limit: no client sees
// it, the other does all the work, and after the reset both do.
func TestTwoMachinesOneOfWhichIsAtItsLimit(t *testing.T) {
	s := newSite(t)
	node := s.start("api", servesHTTP, scriptedCLI, "api")
	var machines []*proc
	for _, name := range []string{"one", "two"} {
		machines = append(machines, s.launchMachine(name, s.subscribedAs(name)))
	}
	for _, p := range machines {
		s.ready(p, takesJobs)
	}
	m := newMeteredModel(s, "one")

	const callers = 3
	asking := startTraffic(t, callers, asked{text: "hello", answer: "hello"}, node.url)
	asking.await(asking.of("one", 1), asking.of("two", 1))
	resets := m.useUp(5 * time.Second)
	asking.await(func() bool { return m.refusals() > 0 })
	asking.await(asking.of("two", 4*callers), func() bool { return time.Now().After(resets) })
	asking.await(asking.of("one", 1), asking.of("two", 1))
	asking.stop()
	if n := m.refusals(); n > callers { // those that were under way to it when it ran out
		t.Errorf("the account refused %d times until its reset", n)
	}
	t.Logf("%d answers, no error; %d by one, %d by two; the account at its limit was asked %d times until it rested for %v",
		asking.answers, asking.by["one"], asking.by["two"], m.refusals(), 5*time.Second)
}

// launchMachine starts a worker in a folder of its own, which has joined the node.
func (s *site) launchMachine(name string, cli func(testing.TB) (string, map[string]string)) *proc {
	s.t.Helper()
	dir := filepath.Join(s.dir, "machine-"+name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		s.t.Fatal(err)
	}
	s.mustJoin(s.mustInvite(name), dir)
	return s.launch(name, cli, "worker", "--set", "data_dir="+dir, "--set", "nats.listen=")
}

// meteredModel refuses an account that is used up, and counts how often.
type meteredModel struct {
	limited string // token

	mu      sync.Mutex
	resets  time.Time // the account is used up until then
	refused int
}

func newMeteredModel(s *site, limited string) *meteredModel {
	m := &meteredModel{limited: madeUpToken(limited)}
	s.model.Script(m.reply)
	return m
}

func (m *meteredModel) reply(r anthropictest.Request) *anthropictest.Reply {
	m.mu.Lock()
	defer m.mu.Unlock()
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	reply := anthropictest.Say("hello").WithHeader(anthropictest.RateLimit("allowed", "five_hour", 0.2, time.Now().Add(time.Hour)))
	if token == m.limited && time.Now().Before(m.resets) {
		m.refused++
		reply = anthropictest.Status(http.StatusTooManyRequests, "", "limit").WithHeader(anthropictest.RateLimit("rejected", "five_hour", 1, m.resets))
	}
	return &reply
}

// useUp makes the account refuse everything until the time that it returns.
func (m *meteredModel) useUp(d time.Duration) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.resets = time.Now().Add(d).Truncate(time.Second)
	return m.resets
}

func (m *meteredModel) refusals() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.refused
}
