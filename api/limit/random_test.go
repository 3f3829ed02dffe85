package limit

import (
	"crypto/rand"
	"testing"
	"time"

	"pgregory.net/rapid"

	"maxrelay/queue"
)

// TestCountersAreWhatWasUsed does whatever nodes can do with a quota, in any order, and
// kills some of them. The counter is never over the quota as long as no answer is, and
// in the end it is the sum of what was used.
func TestCountersAreWhatWasUsed(t *testing.T) {
	f := &fleet{t: t, broker: startBroker(t)}
	for i := range f.nodes {
		f.nodes[i] = f.start()
	}
	defer f.close()
	rapid.Check(t, func(r *rapid.T) {
		s := &scene{fleet: f, key: "k_" + rand.Text(), quota: 500}
		r.Repeat(map[string]func(*rapid.T){
			"admit":   s.admit,
			"grow":    s.grow,
			"settle":  s.settle,
			"release": s.release,
			"kill":    s.kill,
			"":        s.check,
		})
		s.end()
	})
}

type fleet struct {
	t      *testing.T
	broker *queue.Broker
	nodes  [3]*Limiter
}

// start makes a node of the name all have, so that the others need no grace.
func (f *fleet) start() *Limiter {
	nc, err := f.broker.Connect("api")
	if err != nil {
		f.t.Fatal(err)
	}
	cfg := vigilant("n")
	cfg.Tick = 200 * time.Millisecond
	cfg.RateWait, cfg.QuotaWait = hangGuard, hangGuard
	l, err := Open(testContext(f.t), nc, cfg, testLog(f.t))
	if err != nil {
		f.t.Fatal(err)
	}
	return l
}

func (f *fleet) close() {
	for _, l := range f.nodes {
		l.Close(testContext(f.t))
		l.nc.Close()
	}
}

// scene is what is done with one key.
type scene struct {
	*fleet
	key    string
	quota  int64
	open   []*Ticket
	used   int64
	killed bool
}

// check is an invariant: all that is held or used is counted, and no more than there is.
func (s *scene) check(r *rapid.T) {
	sum := s.used
	for _, ticket := range s.open {
		held, _ := ticket.Reserved()
		sum += held
	}
	if got := counted(s.t, s.nodes[0], s.account()); got < sum || got > s.quota || got != sum && !s.killed {
		r.Fatalf("counter is %d, in use are %d of %d", got, sum, s.quota)
	}
}

// end settles what is open.
func (s *scene) end() {
	for _, ticket := range s.open {
		s.used++
		settle(s.t, ticket, 1)
	}
	for _, l := range s.nodes {
		awaitTotal(s.t, l, s.account(), s.used)
	}
}

func (s *scene) account() account { return account{s.key, lifetime} }

func (s *scene) admit(r *rapid.T) {
	a := request(life(s.quota), rapid.Int64Range(0, 200).Draw(r, "input"), rapid.Int64Range(1, 300).Draw(r, "output"))
	a.Key = s.key
	l := rapid.SampledFrom(s.nodes[:]).Draw(r, "node")
	before := counted(s.t, l, s.account())
	ticket, err := l.Admit(testContext(s.t), a)
	fits := s.quota-before >= max(1, a.Input)
	if fits && err != nil || !fits && err == nil && !s.killed { // what a dead node held may have come free meanwhile
		r.Fatalf("with %d of %d counted, %d were asked: %v", before, s.quota, a.Input, err)
	}
	if err == nil {
		s.open = append(s.open, ticket)
	}
}

// take chooses an open ticket and removes it.
func (s *scene) take(r *rapid.T) *Ticket {
	if len(s.open) == 0 {
		r.Skip("no ticket is open")
	}
	i := rapid.IntRange(0, len(s.open)-1).Draw(r, "ticket")
	ticket := s.open[i]
	s.open = append(s.open[:i], s.open[i+1:]...)
	return ticket
}

func (s *scene) grow(r *rapid.T) {
	ticket := s.take(r)
	s.open = append(s.open, ticket)
	if _, err := ticket.Grow(testContext(s.t), rapid.Int64Range(1, 300).Draw(r, "more")); err != nil {
		r.Fatal(err)
	}
}

func (s *scene) settle(r *rapid.T) {
	ticket := s.take(r)
	held, _ := ticket.Reserved()
	used := rapid.Int64Range(0, held).Draw(r, "used")
	s.used += used
	settle(s.t, ticket, used)
}

func (s *scene) release(r *rapid.T) { settle(s.t, s.take(r), 0) }

// kill ends a node with all its tickets, and starts another one.
func (s *scene) kill(r *rapid.T) {
	if rapid.IntRange(0, 7).Draw(r, "luck") > 0 {
		r.Skip("it lives")
	}
	i := rapid.IntRange(0, len(s.nodes)-1).Draw(r, "node")
	dead := s.nodes[i]
	kill(dead)
	var rest []*Ticket
	for _, ticket := range s.open {
		if ticket.limiter != dead {
			rest = append(rest, ticket)
		}
	}
	s.open = rest
	s.killed = true
	s.nodes[i] = s.start()
}
