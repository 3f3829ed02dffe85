package queue

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"maxrelay/queue/linktest"
)

func keys(n ...byte) []Key {
	var all []Key
	for _, b := range n {
		all = append(all, Key{b})
	}
	return all
}

// holds waits until an owner's directory says that a worker holds exactly this.
func holds(t testing.TB, o *Owner, w *Worker, ref HoldingID, chain []Key, busy bool) {
	t.Helper()
	eventually(t, fmt.Sprintf("the directory has %s of %s", ref, w.ID()), func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		r := o.workers[w.ID()]
		return r != nil && r.holdings[string(ref)] != nil && r.holdings[string(ref)].busy == busy && slices.Equal(r.holdings[string(ref)].chain, chain)
	})
}

func warmJob(prefixes ...byte) Job {
	j := job("x")
	j.Prefixes = keys(prefixes...)
	return j
}

func TestTheLongestIdlePrefixGetsTheJob(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	short := startWorker(t, b, WorkerConfig{Name: "short"}, echo)
	long := startWorker(t, b, WorkerConfig{Name: "long"}, echo)
	busy := startWorker(t, b, WorkerConfig{Name: "busy"}, echo)
	awaitWorkers(t, o, 3)
	short.Hold("p", "k_1", keys(1, 2), false)
	long.Hold("p", "k_1", keys(1, 2, 3, 9), false)
	busy.Hold("p", "k_1", keys(1, 2, 3, 4), true)
	holds(t, o, short, "p", keys(1, 2), false)
	holds(t, o, long, "p", keys(1, 2, 3, 9), false)
	holds(t, o, busy, "p", keys(1, 2, 3, 4), true)

	for range 10 {
		if r := read(t, submit(t, o, warmJob(1, 2, 3, 4))); r.worker != "long" {
			t.Fatalf("it ran on %s", r.worker)
		}
	}
	busy.Hold("p", "k_1", keys(1, 2, 3, 4), false)
	holds(t, o, busy, "p", keys(1, 2, 3, 4), false)
	if r := read(t, submit(t, o, warmJob(1, 2, 3, 4))); r.worker != "busy" {
		t.Errorf("after its turn it ran on %s", r.worker)
	}
	long.Drop("p")
	busy.Close()
	awaitWorkers(t, o, 2)
	eventually(t, "only one holder is left", func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return len(o.holders[Key{1}]) == 1 && len(o.holders[Key{9}]) == 0
	})
	if r := read(t, submit(t, o, warmJob(1, 2, 3, 4))); r.worker != "short" {
		t.Errorf("without the others it ran on %s", r.worker)
	}
}

func TestAFullWarmWorkerIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		wait   time.Duration
		noWait bool
		free   bool // the warm worker gets a slot while the job waits
		worker string
	}{
		{"until it has a slot", time.Minute, false, true, "warm"},
		{"not longer than the sticky wait", 20 * time.Millisecond, false, false, "cold"},
		{"not at all", time.Minute, true, false, "cold"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t)
			o := startOwner(t, b, OwnerConfig{StickyWait: tc.wait})
			g := newGated()
			warm := startWorker(t, b, WorkerConfig{Name: "warm", Slots: 1}, g.handle)
			awaitWorkers(t, o, 1)
			submit(t, o, job(""))
			receive(t, "the task that fills it", g.started)
			warm.Hold("p", "k_1", keys(1), false)
			holds(t, o, warm, "p", keys(1), false)
			awaitRoster(t, o, func(all []WorkerInfo) bool { return all[0].Busy == 1 })
			startWorker(t, b, WorkerConfig{Name: "cold"}, echo)
			awaitWorkers(t, o, 2)

			j := warmJob(1)
			j.NoWait = tc.noWait
			c := submit(t, o, j)
			if tc.free {
				close(g.release)
			}
			if r := read(t, c); r.worker != tc.worker || r.err != nil {
				t.Errorf("got %+v, want it on %s", r, tc.worker)
			}
		})
	}
}

func TestAStickyJobIsReleasedAtOnce(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(*Worker, *linktest.Link){
		"when its worker drains": func(w *Worker, _ *linktest.Link) { w.stopIntake() },
		"when its worker dies":   func(_ *Worker, l *linktest.Link) { l.Turn(gone) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t)
			o := startOwner(t, b, OwnerConfig{StickyWait: time.Minute})
			g := newGated()
			warm, link := startWorkerBehind(t, b, WorkerConfig{Name: "warm", Slots: 1}, g.handle)
			awaitWorkers(t, o, 1)
			submit(t, o, job(""))
			receive(t, "the task that fills it", g.started)
			warm.Hold("p", "k_1", keys(1), false)
			holds(t, o, warm, "p", keys(1), false)
			startWorker(t, b, WorkerConfig{Name: "cold"}, echo)
			awaitWorkers(t, o, 2)
			c := submit(t, o, warmJob(1))
			o.mu.Lock()
			sticky := c.phase == phaseSticky
			o.mu.Unlock()
			if !sticky {
				t.Fatal("the job does not wait for its warm worker")
			}
			leave(warm, link)
			if r := read(t, c); r.worker != "cold" || r.text != "x" || r.err != nil {
				t.Errorf("got %+v", r)
			}
		})
	}
}

// A turn is over when as many jobs have begun as there are slots. So others wait for one turn of the key with many jobs
// at most, however many these are.
func TestAKeyWithManyJobsDelaysOthersByOneTurnAtMost(t *testing.T) {
	t.Parallel()
	const many, others = 4000, 5
	for _, slots := range []int{1, 2, 3, 16} {
		t.Run(fmt.Sprint(slots, " slots"), func(t *testing.T) {
			t.Parallel()
			b := startBroker(t)
			o := startOwner(t, b, OwnerConfig{MaxWaiting: 2 * many, MaxWaitingPerKey: many})
			begun, release := make(chan string, many), make(chan struct{})
			startWorker(t, b, WorkerConfig{Slots: slots}, func(ctx context.Context, task *Task) {
				begun <- task.KeyID
				select {
				case <-release:
					echo(ctx, task)
				case <-ctx.Done():
				}
			})
			awaitWorkers(t, o, 1)
			with := func(key string) {
				j := job("")
				j.KeyID = key
				submit(t, o, j)
			}
			for range slots {
				with("hog")
				receive(t, "what runs before the others come", begun)
			}
			for range many {
				with("hog")
			}
			for i := range others {
				with(fmt.Sprint("k", i))
			}
			hogs := 0
			for seen := 0; seen < others; {
				release <- struct{}{} // one is over, and its slot is free
				if receive(t, "the next", begun) == "hog" {
					hogs++
				} else {
					seen++
				}
			}
			if hogs > slots {
				t.Errorf("%d jobs of the key with many began before the last of the others, more than one turn of %d slots", hogs, slots)
			}
			t.Logf("%d jobs wait; %d of them began before the last of %d others", o.Stats().Waiting, hogs, others)
		})
	}
}

func TestTheLeastLoadedWorkerIsPreferred(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	g := newGated()
	startWorker(t, b, WorkerConfig{Name: "a", Slots: 10}, g.handle)
	startWorker(t, b, WorkerConfig{Name: "b", Slots: 10}, g.handle)
	awaitWorkers(t, o, 2)
	for range 16 {
		submit(t, o, job(""))
		receive(t, "a task", g.started)
	}
	count := map[string]int{}
	awaitRoster(t, o, func(all []WorkerInfo) bool {
		total := 0
		for _, w := range all {
			count[w.Name] = w.Busy
			total += w.Busy
		}
		return total == 16
	})
	if count["a"] < 4 || count["b"] < 4 {
		t.Errorf("spread %v", count)
	}
	close(g.release)
}

func TestTheDirectoryFollowsItsWorker(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	w := startWorker(t, b, WorkerConfig{}, echo)
	awaitWorkers(t, o, 1)

	long := make([]Key, 3000)
	for i := range long {
		rand.Read(long[i][:])
	}
	for i := range 12 { // more than one message holds
		w.Hold(HoldingID(fmt.Sprintf("p%d", i)), "k_1", long, i%2 == 0)
	}
	w.Hold("q", "k_1", keys(1, 2, 3), false)
	w.Hold("q", "k_1", keys(1, 2, 7, 8), true)
	check := func(o *Owner) {
		t.Helper()
		for i := range 12 {
			holds(t, o, w, HoldingID(fmt.Sprintf("p%d", i)), long, i%2 == 0)
		}
		holds(t, o, w, "q", keys(1, 2, 7, 8), true)
	}
	check(o)
	late := startOwner(t, b, OwnerConfig{Node: "late"})
	check(late)

	t.Run("when an update was lost", func(t *testing.T) {
		o.mu.Lock()
		o.workers[w.ID()].updates -= 5
		o.mu.Unlock()
		w.Hold("q", "k_1", keys(1), false)
		holds(t, o, w, "q", keys(1), false)
		holds(t, late, w, "q", keys(1), false)
	})
	t.Run("when a process is replaced between two updates", func(t *testing.T) {
		w.Drop("q")
		w.Hold("q", "k_1", keys(4, 5), false)
		holds(t, o, w, "q", keys(4, 5), false)
	})
	t.Run("when the worker is gone", func(t *testing.T) {
		w.Close()
		awaitWorkers(t, o, 0)
		eventually(t, "nothing is indexed", func() bool {
			o.mu.Lock()
			defer o.mu.Unlock()
			return len(o.holders) == 0
		})
		eventually(t, "its consumer is gone", func() bool {
			_, err := o.js.Consumer(t.Context(), jobsStream, workerConsumer(w.ID()))
			return err != nil
		})
	})
}

func TestTwoOwnersShareTheWorkers(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o1, o2 := startOwner(t, b, OwnerConfig{}), startOwner(t, b, OwnerConfig{})
	startWorker(t, b, WorkerConfig{Slots: 3}, echo)
	awaitWorkers(t, o1, 1)
	awaitWorkers(t, o2, 1)
	var calls []*Call
	for i := range 40 {
		calls = append(calls, submit(t, []*Owner{o1, o2}[i%2], job(fmt.Sprint(i))))
	}
	for i, c := range calls {
		if r := read(t, c); r.text != fmt.Sprint(i) || r.err != nil {
			t.Errorf("job %d: %+v", i, r)
		}
	}
}

func TestTheRosterShowsWhatWorkersTell(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	startWorker(t, b, WorkerConfig{
		Name: "my host.local", Version: "1.2", Pools: []string{"std", "pro"}, Slots: 7,
		Info: func() json.RawMessage { return json.RawMessage(`{"cli":"2.1.330"}`) },
	}, echo)
	awaitWorkers(t, o, 1)
	w := o.Workers()[0]
	if w.Name != "my host.local" || w.ID[:len("my-host-local-")] != "my-host-local-" || len(w.ID) != len("my-host-local-")+6 {
		t.Errorf("names: %+v", w)
	}
	if w.Version != "1.2" || w.Slots != 7 || !slices.Equal(w.Pools, []string{"std", "pro"}) || string(w.Info) != `{"cli":"2.1.330"}` {
		t.Errorf("got %+v", w)
	}
	j := job("x")
	j.Pool = "pro"
	if r := read(t, submit(t, o, j)); r.text != "x" {
		t.Errorf("in its second pool: %+v", r)
	}
}

func TestAFullStreamRefusesNewJobs(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	cfg := OwnerConfig{MaxWaiting: 2, MaxWaitingPerKey: 2} // the stream has room for four tickets
	o1, o2, o3 := startOwner(t, b, cfg), startOwner(t, b, cfg), startOwner(t, b, cfg)
	startRawWorker(t, b, o1, "w1", 4) // which pulls nothing
	awaitWorkers(t, o2, 1)
	awaitWorkers(t, o3, 1)
	for _, o := range []*Owner{o1, o1, o2, o2} {
		submit(t, o, job(""))
	}
	if r := read(t, submit(t, o3, job(""))); !isErrFull(r.err) {
		t.Errorf("got %+v", r)
	}
}
