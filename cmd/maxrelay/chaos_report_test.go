package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// report prints what happened, for whoever wants figures.
func (s *storm) report() {
	hows, sessions, firsts := make(map[how]int), make(map[string]int), []float64{}
	failed := 0
	for _, e := range s.endings {
		hows[e.how]++
		if e.how == whole {
			sessions[e.heard.header.Get("X-Maxrelay-Session")]++
		} else if e.how != left && !e.doomed {
			failed++
		}
		if e.first > 0 {
			firsts = append(firsts, ms(e.first))
		}
	}
	s.t.Logf("seed %d: %d requests in %v, %v; %d (%.1f %%) failed by no order of their callers", s.seed, len(s.endings),
		s.lasted.Round(time.Second), counted(hows), failed, 100*float64(failed)/float64(len(s.endings)))
	slices.Sort(firsts)
	s.t.Logf("sessions %v; first text after %.0f ms (median), %.0f ms (p99)", counted(sessions), quantile(firsts, 0.5), quantile(firsts, 0.99))
	kinds := make(map[string]int)
	for _, x := range s.faults {
		kinds[x.kind.name]++
	}
	s.t.Logf("%d faults: %s", len(s.faults), counted(kinds))
}

func counted[K ~string](m map[K]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%d %s", m[k], k))
	}
	return strings.Join(parts, ", ")
}

// keepLogs writes what all processes said where the test's artifacts are, if it failed.
func (s *storm) keepLogs() {
	if !s.t.Failed() {
		return
	}
	dir := s.t.ArtifactDir()
	for i, p := range s.procs() {
		name := filepath.Join(dir, fmt.Sprintf("%03d-%s.log", i, p.name))
		if err := os.WriteFile(name, []byte(p.text()), 0o600); err != nil {
			s.t.Error(err)
		}
	}
	s.t.Logf("-seed=%d; logs are in %s", s.seed, dir)
}
