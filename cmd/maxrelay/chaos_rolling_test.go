package main

import (
	"context"
	"sync"
	"time"
)

// restartStreams run while everything is restarted.
const restartStreams = 50

// mustRestartUnnoticed restarts all processes, one after the other, while streams run.
// No request fails: an answer that runs is finished, and who is refused a connection
// goes to the next node.
func (s *storm) mustRestartUnnoticed() {
	s.t.Helper()
	ctx, over := context.WithCancel(s.t.Context())
	defer over()
	var callers sync.WaitGroup
	for i := range restartStreams {
		callers.Go(func() { newCaller(s, i).stream(ctx) })
	}
	for _, st := range s.stations() {
		if err := restarted(&fault{station: st}); err != nil {
			s.t.Error(err)
		}
	}
	over()
	callers.Wait()
	for _, e := range s.endings {
		if e.how != whole {
			s.t.Errorf("%v to %v %v", s.since(e.asked), s.since(e.over), e)
		}
	}
	s.t.Logf("%d processes restarted in %v under %d streams: %d requests", len(s.stations()), time.Since(s.begun).Round(time.Second), restartStreams, len(s.endings))
}
