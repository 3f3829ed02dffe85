package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"maxrelay/queue/linktest"
)

const (
	stormWorkers = 4
	stormSlots   = 12 // of a worker
	stormCallers = 16

	leastStorm = 25 * time.Second
)

// storm is an installation of three API nodes and several workers, the callers who ask
// it, and the faults that strike it meanwhile.
type storm struct {
	*cluster
	seed    uint64
	cli     string
	nodes   []*station
	workers []*station
	routes  []*linktest.Link // to each node

	begun  time.Time
	lasted time.Duration
	work   sync.WaitGroup // callers and faults
	away   sync.Mutex     // held while an API node is: the others are a majority

	mu      sync.Mutex
	endings []*ending
	faults  []*fault // that have begun
}

func openStorm(t *testing.T, seed uint64) *storm {
	s := &storm{cluster: newCluster(t), seed: seed, cli: buildCLI(t)}
	t.Cleanup(s.keepLogs)
	s.leadThroughLinks()
	for i := range s.cluster.nodes {
		s.nodes = append(s.nodes, s.newNode(i))
	}
	for i := range stormWorkers {
		s.workers = append(s.workers, s.newWorker(i))
	}
	s.startAll(s.nodes)
	s.startAll(s.workers)
	s.begun = time.Now()
	return s
}

// leadThroughLinks puts links between the nodes. Which one of two nodes connected to the
// other is theirs to decide.
func (s *storm) leadThroughLinks() {
	var to []string
	for _, address := range s.cluster.routes {
		link := linktest.New(s.t, address)
		s.routes, to = append(s.routes, link), append(to, link.Addr())
	}
	s.lead(to)
}

// startAll starts processes together, since the nodes of a new cluster wait for one another.
func (s *storm) startAll(all []*station) {
	s.t.Helper()
	errs := make([]error, len(all))
	var starting sync.WaitGroup
	for i, st := range all {
		starting.Go(func() { errs[i] = st.start() })
	}
	starting.Wait()
	if err := errors.Join(errs...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *storm) stations() []*station { return slices.Concat(s.nodes, s.workers) }

// procs are all there were, by station.
func (s *storm) procs() (all []*proc) {
	for _, st := range s.stations() {
		all = append(all, st.procs...)
	}
	return all
}

// blow lets callers ask until then, and a little longer if there is no time left, while
// faults strike.
func (s *storm) blow(until time.Time, every time.Duration) {
	begun := time.Now()
	if least := begun.Add(leastStorm); until.Before(least) {
		until = least
	}
	ctx, over := context.WithDeadline(s.t.Context(), until)
	defer over()
	for i := range stormCallers {
		s.work.Go(func() { newCaller(s, i).live(ctx) })
	}
	s.strikeAll(ctx, begun, planFaults(s.seed, until.Sub(begun), every))
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
