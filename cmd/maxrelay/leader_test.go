package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The node that leads the streams and has the workers' connections is killed. Until the
// others have elected a leader, some seconds later, owners ask workers directly.
func TestACrashedLeaderIsNotMissed(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	nodes := c.startAll(servesHTTP, "api")
	const lead = 0
	c.leadAll(lead)
	leader, near, far := nodes[lead], nodes[(lead+1)%3], nodes[(lead+2)%3]
	worker := c.nodes[lead].start("w1", takesJobs, scriptedCLI, "worker")
	c.mustKnow(worker.id)
	talk := &talk{t: t, url: near.url}
	talk.say("one [[echo]]")
	if a := talk.say("two [[echo]]"); a.session() != "warm" {
		t.Fatalf("before the crash: session %q, want warm", a.session())
	}
	held := worker.clis()

	long := openStream(t, far.url, "[[tokens 100 delay 50ms]]")
	<-long.begun
	c.leadAll(lead) // it does, mostly; a new leader may be followed as fast
	leader.kill()
	killed := time.Now()
	a := talk.say("three [[echo]]")
	t.Logf("a warm turn took %v, begun when the leader died", time.Since(killed).Round(time.Millisecond))
	if a.session() != "warm" {
		t.Errorf("during the election: session %q, want warm", a.session())
	}
	_, silent := near.find("the broker takes no tickets, workers are asked directly")
	if _, ok := near.find(tickets); ok {
		t.Error("the turn waited for the election")
	}
	for range 5 {
		if a := talk.say("and on [[echo]]"); a.session() != "warm" {
			t.Errorf("session %q, want warm", a.session())
		}
	}
	long.mustBeWhole(100)
	t.Logf("the longest silence of the stream was %v", long.silence.Round(time.Millisecond))
	if now := worker.clis(); !slices.Contains(now, held[0]) {
		t.Errorf("the worker's processes were %d and are %d", held, now)
	}

	eventually(t, "the broker to take tickets", func() bool {
		talk.say("yet [[echo]]")
		_, ok := near.find(tickets)
		return ok || !silent
	})
	again := c.nodes[lead].start("again", servesHTTP, scriptedCLI, "api")
	eventually(t, "the node that came back to know the worker", func() bool { return strings.Contains(again.text(), worker.id) })
	talk.url = again.url
	talk.say("back [[echo]]")
	talks := len(talk.req.Messages)/2 + 1 // and the stream
	eventually(t, "all usage events", func() bool { return c.nodes[lead].messages("USAGE") == talks })
}

const tickets = "the broker takes tickets again"

func TestWorkersOutliveTheirBroker(t *testing.T) {
	t.Parallel()
	home, s := newSite(t), newSite(t)
	broker := home.start("broker", brokerReady, scriptedCLI, "broker")
	args := []string{"--nats-url", "nats://" + home.nats, "--set", "nats.token_file=" + filepath.Join(home.dir, "data", "nats.token")}
	token, err := os.ReadFile(filepath.Join(home.dir, "data", "nats.token"))
	if err != nil {
		t.Fatal(err)
	}
	node := s.start("api", servesHTTP, scriptedCLI, "api", "--nats-url", "nats://"+strings.TrimSpace(string(token))+"@"+home.nats)
	worker := s.start("w1", takesJobs, scriptedCLI, append([]string{"worker"}, args...)...)
	talk := &talk{t: t, url: node.url}
	talk.say("one [[echo]]")
	held := worker.clis()

	broker.kill()
	a, err := send(t.Context(), node.url, chatRequest{Messages: []message{{"user", "anybody?"}}}, nil)
	if err != nil || a.status != http.StatusServiceUnavailable || a.errCode != "no_worker" || a.header.Get("Retry-After") == "" {
		t.Errorf("without a broker: status %d, error %q, headers %v, %v", a.status, a.errCode, a.header, err)
	}
	mustBeIll(t, node.url, "the message broker cannot be reached")

	home.start("again", brokerReady, scriptedCLI, "broker")
	eventually(t, "the node to be well", func() bool { return healthOfNode(t, node.url) == "" })
	if a := talk.say("two [[echo]]"); a.session() != "warm" {
		t.Errorf("session %q, want warm", a.session())
	}
	if now := worker.clis(); !slices.Contains(now, held[0]) {
		t.Errorf("the worker's processes were %d and are %d", held, now)
	}
}

func mustBeIll(t *testing.T, url, reason string) {
	t.Helper()
	if got := healthOfNode(t, url); got != reason {
		t.Errorf("health tells of %q, want %q", got, reason)
	}
}

// healthOfNode is the reason why a node cannot serve, "" when it can.
func healthOfNode(t *testing.T, url string) string {
	t.Helper()
	resp, err := client.Get(url + "/health")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var h struct{ Reason string }
	if err := json.NewDecoder(resp.Body).Decode(&h); err != nil {
		t.Fatal(err)
	}
	return h.Reason
}

// openedStream is a long answer that is read while other things happen.
type openedStream struct {
	t       testing.TB
	begun   chan struct{} // closed at the first piece
	ended   chan struct{}
	answer  answer
	err     error
	pieces  int
	silence time.Duration // longest between two pieces
}

func openStream(t testing.TB, url, prompt string) *openedStream {
	s := &openedStream{t: t, begun: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		var last time.Time
		s.answer, s.err = send(t.Context(), url, chatRequest{Stream: true, Messages: []message{{"user", prompt}}}, func(string) {
			now := time.Now()
			if s.pieces++; s.pieces == 1 {
				close(s.begun)
			} else {
				s.silence = max(s.silence, now.Sub(last))
			}
			last = now
		})
	}()
	return s
}

// mustBeWhole checks that it ended well with all its words.
func (s *openedStream) mustBeWhole(words int) {
	s.t.Helper()
	<-s.ended
	if n := len(strings.Fields(s.answer.text)); s.err != nil || !s.answer.done || s.answer.errCode != "" || n != words {
		s.t.Errorf("the stream has %d words, done %t, error %q, %v", n, s.answer.done, s.answer.errCode, s.err)
	}
}
