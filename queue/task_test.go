package queue

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

func TestOutputIsMergedOnlyWhileItPilesUp(t *testing.T) {
	t.Parallel()
	task := newTask(&Worker{log: zerolog.Nop()}, nil, ticket{})
	s := sender{t: task}
	collected := func() []string {
		pending, _, _ := s.collect()
		var texts []string
		for _, p := range pending {
			events, err := frame{rest: p.body}.payloads()
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(bytes.Join(events, []byte("|"))))
		}
		return texts
	}
	woken := func() bool {
		select {
		case <-task.wake:
			return true
		default:
			return false
		}
	}

	task.Send([]byte("start"), false)
	if !woken() || !slices.Equal(collected(), []string{"start"}) {
		t.Error("the first output waits")
	}
	s.held = true
	collected()
	task.Send([]byte("first content"), true)
	if !woken() || !slices.Equal(collected(), []string{"first content"}) {
		t.Error("the first content waits behind other output")
	}
	task.Send([]byte("a"), true)
	task.Send([]byte("b"), true)
	if woken() || collected() != nil {
		t.Error("output that follows closely does not wait")
	}
	s.held = false
	if got := collected(); !slices.Equal(got, []string{"a|b"}) {
		t.Errorf("merged into %q", got)
	}
	s.held = true
	task.Send(bytes.Repeat([]byte("x"), mergeBytes), true)
	if !woken() || len(collected()) != 1 {
		t.Error("a full frame waits")
	}
	task.Send([]byte("last"), true)
	task.End(End{OK: true})
	task.End(End{})
	task.Send([]byte("too late"), true)
	if got := collected(); !woken() || !slices.Equal(got, []string{"last"}) || !task.end.OK {
		t.Errorf("at the end: %q, %+v", got, task.end)
	}
}

func TestOutputThatNobodyTakesIsBounded(t *testing.T) {
	t.Parallel()
	task := newTask(&Worker{log: zerolog.Nop()}, nil, ticket{})
	for range 3 {
		task.Send(make([]byte, maxPending/2), true)
	}
	if task.ctx.Err() == nil || task.queued > 2*maxPending {
		t.Errorf("%d bytes are pending, context %v", task.queued, task.ctx.Err())
	}
}

func TestRing(t *testing.T) {
	t.Parallel()
	r := ring{limit: 100}
	for seq := 1; seq <= 30; seq++ {
		r.add(seq, fmt.Appendf(nil, "%010d", seq))
	}
	for _, tc := range []struct {
		from, frames int
		ok           bool
	}{{20, 0, false}, {21, 10, true}, {30, 1, true}, {31, 0, true}, {32, 0, false}, {0, 0, false}} {
		got, ok := r.since(tc.from)
		if ok != tc.ok || len(got) != tc.frames {
			t.Errorf("since(%d) = %d frames, %v", tc.from, len(got), ok)
		}
		if len(got) > 0 && string(got[0]) != fmt.Sprintf("%010d", tc.from) {
			t.Errorf("since(%d) starts with %s", tc.from, got[0])
		}
	}
	r.add(31, []byte(strings.Repeat("x", 1000)))
	if got, ok := r.since(31); !ok || len(got) != 1 {
		t.Error("a frame larger than the ring is not kept")
	}
	if r := (&ring{limit: 1}); true {
		if _, ok := r.since(1); ok {
			t.Error("an empty ring has frames")
		}
	}
}

func TestDelays(t *testing.T) {
	t.Parallel()
	for attempts, base := range map[int]float64{1: 0.5, 2: 1, 3: 2, 4: 4, 100: 30} {
		for range 100 {
			if got := backoff(attempts).Seconds(); got < base || got > 1.5*base {
				t.Errorf("backoff(%d) = %v", attempts, got)
			}
		}
	}
}
