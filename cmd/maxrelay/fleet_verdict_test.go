package main

import (
	"net/http"
	"strings"
	"sync"
)

// tally is what the clients saw.
type tally struct {
	mu       sync.Mutex
	requests int
	answered int
	leavers  int
	doomed   int // requests that told their process to die
	failed   int // others, near a death
	killed   map[target]int
	edits    map[string]int
	seen     map[string]answer // by request id
	owners   map[process]string
}

// process is a process for good: numbers are used again.
type process struct {
	pid  int
	born string
}

func newTally() tally {
	return tally{killed: make(map[target]int), edits: make(map[string]int),
		seen: make(map[string]answer), owners: make(map[process]string)}
}

func (y *tally) edited(how string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.edits[how]++
}

func (y *tally) leaver() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.leavers++
}

func (y *tally) struck(what target) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.killed[what]++
}

// serves returns the first tenant that the process is known to serve.
func (y *tally) serves(p process, tenant string) string {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.owners[p] == "" {
		y.owners[p] = tenant
	}
	return y.owners[p]
}

// verdict is what excuses a request that has no answer.
type verdict struct {
	stream bool
	left   bool // its client had gone
	doomed bool // it told its process to die
	near   bool // something was killed while it ran
}

// judge notes a request's result and reports whether it is a whole answer. There is
// one, or an error in its proper form that a death near by explains, or the client left.
func (l *life) judge(v verdict, a answer, err error, text string) (whole bool) {
	y := &l.tally
	y.mu.Lock()
	defer y.mu.Unlock()
	y.requests++
	if id := a.header.Get("X-Request-Id"); id != "" {
		y.seen[id] = a
	}
	if strings.HasPrefix(text, "[[tokens") && !strings.HasPrefix(manyTokens, a.text) {
		l.t.Errorf("%s: %q was answered with %q", l.name, text, a.text)
	}
	switch whole = err == nil && a.errCode == ""; {
	case err != nil && !v.left:
		l.t.Errorf("%s: %q has neither an answer nor an error: %+v, %v", l.name, text, a, err)
	case whole && (v.doomed || a.status != http.StatusOK || a.finish != "stop" || a.done != v.stream):
		l.t.Errorf("%s: %q was answered with %+v", l.name, text, a)
	case err == nil && !whole && (a.errCode != "worker_failed" || a.done || !v.doomed && !v.near):
		l.t.Errorf("%s: %q failed without need: %+v", l.name, text, a)
	}
	switch {
	case whole:
		y.answered++
	case v.doomed:
		y.doomed++
	case err == nil:
		y.failed++
	}
	return whole
}

// mustHaveFewErrors bounds what deaths may cost: a CLI's its one turn, a worker's all
// that it runs.
func (f *fleet) mustHaveFewErrors() {
	f.t.Helper()
	y := &f.tally
	if most := y.killed[aCLI] + fleetSlots*y.killed[aWorker]; y.failed > most {
		f.t.Errorf("%d requests failed by %d killed CLIs and %d killed workers", y.failed, y.killed[aCLI], y.killed[aWorker])
	}
}

// report prints what happened.
func (f *fleet) report() {
	y := &f.tally
	f.t.Logf("%d conversations of %d tenants, %d requests: %d answered, %d to be left, %d told to die, %d (%.1f %%) failed near a death",
		*conversations, len(tenantKeys)*len(tenantUsers), y.requests, y.answered, y.leavers, y.doomed, y.failed, 100*float64(y.failed)/float64(y.requests))
	f.t.Logf("killed %d CLIs and %d workers; edits %v; %d processes looked at, each with one tenant; %d goroutines of the API node before and after",
		y.killed[aCLI], y.killed[aWorker], y.edits, len(y.owners), f.quiet)
}
