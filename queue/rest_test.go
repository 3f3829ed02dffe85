package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// awaitRests waits until an owner knows of so many rests of a worker.
func awaitRests(t testing.TB, o *Owner, w *Worker, n int) {
	t.Helper()
	awaitRoster(t, o, func(all []WorkerInfo) bool {
		i := slices.IndexFunc(all, func(info WorkerInfo) bool { return info.ID == w.ID() })
		return i >= 0 && len(all[i].Rests) == n
	})
}

func soon(d time.Duration) []Rest { return []Rest{{Until: time.Now().Add(d)}} }

func retryAfter(err error) time.Duration {
	r, _ := errors.AsType[ErrResting](err)
	return r.RetryAfter
}

func TestAWorkerThatRestsTakesNoJobs(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{StickyWait: time.Minute})
	tired := startWorker(t, b, WorkerConfig{Name: "tired"}, echo)
	startWorker(t, b, WorkerConfig{Name: "other"}, echo)
	awaitWorkers(t, o, 2)
	tired.Hold("p", "k_1", keys(1), false)
	holds(t, o, tired, "p", keys(1), false)
	tired.SetAccount(0, soon(time.Hour))
	awaitRests(t, o, tired, 1)
	for range 20 {
		if r := read(t, submit(t, o, warmJob(1))); r.worker != "other" || r.err != nil {
			t.Fatalf("got %+v, want it on the other worker", r)
		}
	}
	tired.SetAccount(0, nil)
	awaitRests(t, o, tired, 0)
	if r := read(t, submit(t, o, warmJob(1))); r.worker != "tired" || r.err != nil {
		t.Errorf("after its rest: %+v, want it where the conversation is", r)
	}
}

func TestAJobThatWaitsForAWorkerWhichRestsIsReleased(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{StickyWait: time.Minute})
	g := newGated()
	tired := startWorker(t, b, WorkerConfig{Name: "tired", Slots: 1}, g.handle)
	awaitWorkers(t, o, 1)
	running := submit(t, o, job("runs"))
	receive(t, "the task that fills it", g.started)
	tired.Hold("p", "k_1", keys(1), false)
	holds(t, o, tired, "p", keys(1), false)
	startWorker(t, b, WorkerConfig{Name: "other"}, echo)
	awaitWorkers(t, o, 2)
	waiting := submit(t, o, warmJob(1))
	tired.SetAccount(0, soon(time.Hour))
	if r := read(t, waiting); r.worker != "other" || r.err != nil {
		t.Errorf("got %+v, want it on the other worker", r)
	}
	close(g.release)
	if r := read(t, running); r.text != "runs" || r.err != nil {
		t.Errorf("what ran when the rest began: %+v", r)
	}
}

func TestWhenEveryWorkerRests(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	g := newGated()
	short := startWorker(t, b, WorkerConfig{Name: "short", Slots: 1}, g.handle)
	long := startWorker(t, b, WorkerConfig{Name: "long", Slots: 1}, g.handle)
	awaitWorkers(t, o, 2)
	running := []*Call{submit(t, o, job("")), submit(t, o, job(""))}
	receive(t, "a task", g.started)
	receive(t, "another task", g.started)
	var waiting []*Call
	for range 2 * maxUnclaimed {
		waiting = append(waiting, submit(t, o, job("")))
	}
	long.SetAccount(0, soon(3*time.Hour))
	awaitRests(t, o, long, 1)
	short.SetAccount(0, soon(time.Hour))
	for _, c := range waiting {
		if r := read(t, c); retryAfter(r.err).Round(time.Minute) != time.Hour {
			t.Errorf("a job that waited: %+v, want it refused for an hour", r)
		}
	}
	if _, err := o.Submit(t.Context(), job("")); retryAfter(err).Round(time.Minute) != time.Hour {
		t.Errorf("a new job: %v, want it refused for an hour", err)
	}
	close(g.release)
	for _, c := range running {
		if r := read(t, c); r.err != nil || !r.end.OK {
			t.Errorf("what ran: %+v", r)
		}
	}
	eventually(t, "no ticket is left", func() bool { return jobsWaiting(t, o) == 0 })

	t.Run("and nobody knows how long", func(t *testing.T) {
		short.SetAccount(0, []Rest{{}})
		long.SetAccount(0, []Rest{{}})
		awaitRoster(t, o, func(all []WorkerInfo) bool { return all[0].Rests[0].Until.IsZero() && all[1].Rests[0].Until.IsZero() })
		if _, err := o.Submit(t.Context(), job("")); !errors.Is(err, ErrResting{}) {
			t.Errorf("got %v, want it refused without a time", err)
		}
	})
	t.Run("and one comes back by itself", func(t *testing.T) {
		short.SetAccount(0, soon(300*time.Millisecond))
		var err error
		eventually(t, "a job is taken", func() bool {
			var c *Call
			if c, err = o.Submit(t.Context(), job("")); err == nil {
				err = read(t, c).err
				c.Close()
			}
			return err == nil
		})
	})
}

func TestSomeModelsOfAWorkerRest(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	tired := startWorker(t, b, WorkerConfig{Name: "tired"}, echo)
	awaitWorkers(t, o, 1)
	tired.SetAccount(0, []Rest{{Models: "opus", Until: time.Now().Add(time.Hour)}})
	awaitRests(t, o, tired, 1)
	with := func(model string) Job {
		j := job("")
		j.Model = model
		return j
	}
	if r := read(t, submit(t, o, with("sonnet"))); r.worker != "tired" || r.err != nil {
		t.Errorf("another model: %+v", r)
	}
	if _, err := o.Submit(t.Context(), with("claude-opus-5-5")); retryAfter(err).Round(time.Minute) != time.Hour {
		t.Errorf("the model that rests: %v, want it refused for an hour", err)
	}
	startWorker(t, b, WorkerConfig{Name: "other"}, echo)
	awaitWorkers(t, o, 2)
	for range 10 {
		if r := read(t, submit(t, o, with("opus"))); r.worker != "other" || r.err != nil || r.attempt != 1 {
			t.Fatalf("the model that rests: %+v, want the other worker", r)
		}
	}
}

// The end of a refused attempt tells of the rest, so the answer does not depend on which of end and heartbeat is seen
// first.
func TestAccountsAreAskedOnceEach(t *testing.T) {
	t.Parallel()
	const fleet = 6 // more than a job has attempts
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	refuse := func(_ context.Context, t *Task) {
		i := int(t.w.cfg.Name[0] - '0')
		t.w.SetAccount(1, soon(time.Duration(i+1)*time.Hour))
		t.End(End{Retry: RetryElsewhere, RetryAfter: time.Duration(i+1) * time.Hour, Data: []byte("refused")})
	}
	for i := range fleet {
		startWorker(t, b, WorkerConfig{Name: fmt.Sprint(i)}, refuse)
	}
	awaitWorkers(t, o, fleet)
	r := read(t, submit(t, o, job("")))
	if r.err != nil || r.attempt != fleet || r.end == nil || r.end.Retry != RetryElsewhere || r.end.RetryAfter.Round(time.Minute) != time.Hour {
		t.Errorf("got %+v, end %+v; want each asked once, and to come back when the first of them resets", r, r.end)
	}
	if _, err := o.Submit(t.Context(), job("")); retryAfter(err).Round(time.Minute) != time.Hour {
		t.Errorf("the next one: %v", err)
	}
}

// awaitAsking waits until so many workers of the pool std have a pull at the broker.
func awaitAsking(t testing.TB, o *Owner, n int) {
	t.Helper()
	asking := func() bool {
		c, err := o.js.Consumer(testContext(t), jobsStream, poolConsumer("std"))
		return err == nil && c.CachedInfo().NumWaiting == n
	}
	eventually(t, fmt.Sprint(n, " workers to ask for a job"), asking)
}

func TestTheWorkerWithTheMostLeftIsPreferred(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	g := newGated()
	start := func(name string, use float64) {
		startWorker(t, b, WorkerConfig{Name: name, Slots: 10}, g.handle).SetAccount(use, nil)
	}
	start("used", 0.75)
	start("fresh", 0.05)
	awaitRoster(t, o, func(all []WorkerInfo) bool { return len(all) == 2 && all[0].Use+all[1].Use == 0.8 })
	count := map[string]int{}
	for range 12 {
		// The broker chooses among those that ask. One that has just been given a task, or could not ask since the
		// consumer was not there yet, asks a moment later.
		awaitAsking(t, o, 2)
		submit(t, o, job(""))
		count[receive(t, "a task", g.started).w.cfg.Name]++
	}
	// The fresh one goes first until so much of it is busy that no more is left than of the used one.
	if count["fresh"] < 7 || count["used"] < 2 {
		t.Errorf("spread %v", count)
	}
	close(g.release)
}

func TestWhatIsUnused(t *testing.T) {
	for _, tc := range []struct {
		free, slots int
		use, want   float64
	}{
		{10, 10, 0, 1},
		{5, 10, 0, 0.5},
		{10, 10, 0.75, 0.25},
		{4, 10, 0.5, 0.2},
		{10, 10, 1, 0},
		{0, 10, 0, 0},
		{-2, 10, 0, -0.2},
		{0, 0, 0, 0},
	} {
		if got := unused(tc.free, tc.slots, tc.use); got < tc.want-1e-9 || got > tc.want+1e-9 {
			t.Errorf("%d of %d slots free, %v used: %v, want %v", tc.free, tc.slots, tc.use, got, tc.want)
		}
	}
}

func TestRestsCrossTheWireAsTimeLeft(t *testing.T) {
	t.Parallel()
	here := time.Now()
	there := here.Add(5 * time.Minute) // the owner's clock
	rests := []Rest{{Until: here.Add(time.Hour)}, {Models: "opus"}, {Models: "over", Until: here.Add(-time.Second)}}
	got := unpackRests(packRests(rests, here), there)
	want := []Rest{{Until: there.Add(time.Hour)}, {Models: "opus"}}
	if !slices.EqualFunc(got, want, func(a, b Rest) bool { return a.Models == b.Models && a.Until.Equal(b.Until) }) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	wire := make([]restWire, 2*maxRests)
	for i := range wire {
		wire[i].LeftMS = 1 << 62
	}
	if got := unpackRests(wire, here); len(got) != maxRests || got[0].Until.Sub(here) != maxRest {
		t.Errorf("%d rests, the first for %v", len(got), got[0].Until.Sub(here))
	}
}
