package main

import (
	"context"
	"sync"
	"time"
)

// What runs while everything is restarted.
const (
	restartStreams = 50
	restartWholes  = 6 // answers in one piece
)

// mustRestartUnnoticed restarts all processes, one after the other, while answers run.
// No request fails: an answer that runs is finished, and who is refused a connection
// goes to the next node.
func (s *storm) mustRestartUnnoticed() {
	s.t.Helper()
	ctx, over := context.WithCancel(s.t.Context())
	defer over()
	var callers sync.WaitGroup
	for i := range restartStreams + restartWholes {
		callers.Go(func() { newCaller(s, i).goOn(ctx, i < restartStreams) })
	}
	for _, st := range s.stations() {
		if err := restarted(&fault{station: st}); err != nil {
			s.t.Error(err)
		}
	}
	over()
	callers.Wait()
	failed := 0
	for _, e := range s.endings {
		if e.how != whole {
			failed++
			s.t.Errorf("%v to %v %v", s.since(e.asked), s.since(e.over), e)
		}
	}
	s.t.Logf("%d processes restarted in %v under %d streams and %d answers in one piece at a time: %d requests, %d failed",
		len(s.stations()), time.Since(s.begun).Round(time.Second), restartStreams, restartWholes, len(s.endings), failed)
}
