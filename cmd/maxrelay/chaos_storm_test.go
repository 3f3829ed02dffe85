package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"maxrelay/queue"
)

const (
	stormNodes   = 3
	stormWorkers = 4
	stormSlots   = 12 // of a worker
	stormCallers = 24
)

// storm is an installation of several API nodes and workers, the callers who ask it,
// and the faults that strike it meanwhile.
type storm struct {
	*site
	seed    uint64
	begun   time.Time
	lasted  time.Duration
	cli     string
	nodes   []*station
	workers []*station
	broker  *nats.Conn
	outside *queue.Broker
	url     string

	oneNode sync.Mutex // held while an API node is away: the others are a majority
	work    sync.WaitGroup

	mu      sync.Mutex
	endings []*ending
	faults  []*fault // that have begun
}

func openStorm(t *testing.T, seed uint64) *storm {
	s := &storm{site: newSite(t), seed: seed, cli: buildCLI(t)}
	s.extra = fmt.Sprintf("auth: {enabled: true, api_keys: [%q, %q, %q]}\nqueue: {timeout: 15s}", tenantKeys[0], tenantKeys[1], tenantKeys[2])
	t.Cleanup(s.keepLogs)
	s.openBroker(t)
	for i := range stormNodes {
		s.nodes = append(s.nodes, s.newNode(i))
	}
	for i := range stormWorkers {
		s.workers = append(s.workers, s.newWorker(i))
	}
	for _, st := range slices.Concat(s.nodes, s.workers) {
		if err := st.start(); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *storm) openBroker(t *testing.T) {
	tokenFile := filepath.Join(s.dir, "token")
	var err error
	if s.outside, err = queue.OpenBroker(t.Context(), queue.BrokerConfig{Listen: "127.0.0.1:0", StoreDir: t.TempDir(), TokenFile: tokenFile}, zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.outside.Close)
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	s.url = "nats://" + strings.TrimSpace(string(token)) + "@"
	if s.broker, err = s.outside.Connect("test"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.broker.Close)
}

// blow lets callers ask for so long, while faults strike.
func (s *storm) blow(lasts, every time.Duration) {
	s.begun = time.Now()
	ctx, over := context.WithTimeout(s.t.Context(), lasts)
	defer over()
	for i := range stormCallers {
		s.work.Go(func() { newCaller(s, i).live(ctx) })
	}
	s.strikeAll(ctx, planFaults(s.seed, lasts, every))
	s.work.Wait()
	s.lasted = time.Since(s.begun)
}

// note keeps how a request ended.
func (s *storm) note(e *ending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endings = append(s.endings, e)
}

// since is how far the storm is.
func (s *storm) since(at time.Time) time.Duration { return at.Sub(s.begun).Round(time.Millisecond) }
