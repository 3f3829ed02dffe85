package admin

import (
	"strings"
	"testing"
	"time"

	"maxrelay/queue"
)

func TestWhyAJobWaits(t *testing.T) {
	full := poolView{Pool: "p", Workers: 2, Serving: 2, Slots: 8, Busy: 8}
	for want, tc := range map[string]struct {
		job  queue.WaitingJob
		pool poolView
	}{
		"all 8 slots of pool p are taken":                                  {queue.WaitingJob{Place: queue.PlaceBroker}, full},
		"a worker is about to take it":                                     {queue.WaitingJob{Place: queue.PlaceBroker}, poolView{Pool: "p", Workers: 1, Serving: 1, Slots: 8, Busy: 7}},
		"all 8 slots of pool p are taken, and other requests of its key":   {queue.WaitingJob{Place: queue.PlaceLine}, full},
		"other requests of its key are before it; keys take turns":         {queue.WaitingJob{Place: queue.PlaceLine}, poolView{Pool: "p", Workers: 1, Serving: 1, Slots: 8, Busy: 7}},
		"no worker of pool p is connected":                                 {queue.WaitingJob{Place: queue.PlaceLine}, poolView{Pool: "p"}},
		"none of the 2 workers of pool p takes requests":                   {queue.WaitingJob{Place: queue.PlaceBroker}, poolView{Pool: "p", Workers: 2}},
		"worker box-1 holds its conversation; it is waited for 500ms more": {queue.WaitingJob{Place: queue.PlaceWorker, Worker: "box-1", Until: 500 * time.Millisecond}, full},
		"attempt 1 failed; the next begins in 1.5s":                        {queue.WaitingJob{Place: queue.PlacePause, Attempts: 1, Until: 1500 * time.Millisecond}, full},
		"the broker did not take its ticket":                               {queue.WaitingJob{Place: queue.PlacePause, Until: time.Second}, full},
	} {
		if got := reasonOf(tc.job, tc.pool); !strings.HasPrefix(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestAPoolCountsTheWorkersThatServeIt(t *testing.T) {
	pools := poolsOf([]queue.WorkerInfo{
		{Pools: []string{"a", "b"}, Slots: 4, Busy: 1},
		{Pools: []string{"a"}, Slots: 8, Busy: 8},
		{Pools: []string{"a"}, Slots: 16, Draining: true},
		{Pools: []string{"b"}, Slots: 16, Rests: []queue.Rest{{Until: time.Now().Add(time.Hour)}}},
	})
	for i, want := range []poolView{{"a", 3, 2, 12, 9}, {"b", 2, 1, 4, 1}} {
		if len(pools) != 2 || pools[i] != want {
			t.Errorf("got %+v, want %+v", pools, want)
		}
	}
}
