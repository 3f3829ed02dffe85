package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// quiet is what the installation holds while nobody asks it.
type quiet struct {
	goroutines int // of an API node, at most
	sockets    int // of all API nodes
	own        int // file descriptors of the test
}

func (s *storm) quiet() (q quiet) {
	for _, st := range s.nodes {
		n, _ := st.now().ownGoroutines()
		q.goroutines = max(q.goroutines, n)
		q.sockets += len(st.now().open("socket:"))
	}
	q.own = len(openFiles("self", ""))
	return q
}

// open is what the file descriptors of a process lead to, of this kind.
func (p *proc) open(kind string) []string { return openFiles(fmt.Sprint(p.cmd.Process.Pid), kind) }

func openFiles(pid, kind string) (all []string) {
	links, _ := filepath.Glob("/proc/" + pid + "/fd/*")
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, kind) {
			all = append(all, to)
		}
	}
	return all
}

// mustBeQuietAgain checks that requests and faults leave nothing in the programs that
// live.
func (s *storm) mustBeQuietAgain(before quiet) {
	s.t.Helper()
	late := time.Now().Add(guard)
	for {
		now := s.quiet()
		if now.goroutines <= before.goroutines && now.sockets <= before.sockets && now.own <= before.own {
			return
		}
		if time.Now().After(late) {
			s.t.Errorf("%+v before the first request, and %+v now", before, now)
			for _, st := range s.nodes {
				_, stacks := st.now().ownGoroutines()
				s.t.Logf("%s:\n%s", st.name, stacks)
			}
			return
		}
	}
}

// mustEndWithoutATrace stops everything as an operator would.
func (s *storm) mustEndWithoutATrace() {
	s.t.Helper()
	for _, st := range slices.Backward(s.stations()) {
		if !st.isNode() {
			st.mustHoldPipesOfItsCLIs()
		}
		if err := st.stop(); err != nil {
			s.t.Error(err)
		}
	}
	eventually(s.t, "every process to be gone", func() bool { return len(s.base.alive()) == 0 })
	for _, st := range s.stations() {
		st.mustNotCry()
	}
}

// mustHoldPipesOfItsCLIs: three each. Pipes that the test has too do not count: stderr,
// and what whoever started the test left open.
func (st *station) mustHoldPipesOfItsCLIs() {
	st.t.Helper()
	var pipes []string
	var clis int
	for late := time.Now().Add(guard); time.Now().Before(late); <-time.After(5 * time.Millisecond) {
		ours := openFiles("self", "pipe:")
		pipes = slices.DeleteFunc(st.now().open("pipe:"), func(p string) bool { return slices.Contains(ours, p) })
		if clis = len(st.now().clis()); len(pipes) == 3*clis {
			return
		}
	}
	st.t.Errorf("%s holds %d pipes for %d CLIs", st.name, len(pipes), clis)
}
