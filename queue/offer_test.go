package queue

import (
	"context"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"maxrelay/queue/linktest"
)

// silences keep the broker from taking tickets in the ways it does while it has no leader.
var silences = map[string]jetstream.StreamConfig{
	"it does not answer": {Name: "BLOCK", Subjects: []string{"jobs.>"}, NoAck: true, Storage: jetstream.MemoryStorage},
	"nobody is there":    {Name: "BLOCK", Subjects: []string{"jobs.w.nobody"}, Storage: jetstream.MemoryStorage}, // JOBS cannot be made anew beside it
}

// silence returns what ends it.
func silence(t *testing.T, o *Owner, cfg jetstream.StreamConfig) (end func()) {
	t.Helper()
	ctx := testContext(t)
	eventually(t, "JOBS is gone", func() bool {
		_ = o.js.DeleteStream(ctx, jobsStream) // the owner makes it anew, until the other one is there
		_, err := o.js.CreateStream(ctx, cfg)
		return err == nil
	})
	return func() {
		if err := o.js.DeleteStream(ctx, cfg.Name); err != nil {
			t.Error(err)
		}
	}
}

func TestJobsRunWhileTheBrokerTakesNoTickets(t *testing.T) {
	t.Parallel()
	for name, cfg := range silences {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t)
			o := startOwner(t, b, OwnerConfig{})
			warm := startWorker(t, b, WorkerConfig{Name: "warm"}, echo)
			startWorker(t, b, WorkerConfig{Name: "cold"}, echo)
			awaitWorkers(t, o, 2)
			warm.Hold("process", "k_1", []Key{{1}}, false)
			eventually(t, "the directory", func() bool { return holders(o, Key{1}) == 1 })
			end := silence(t, o, cfg)

			for range 10 {
				if r := read(t, submit(t, o, job("x"))); r.text != "x" || r.attempt != 1 || r.err != nil {
					t.Errorf("anywhere: %+v", r)
				}
				j := job("y")
				j.Prefixes = []Key{{1}}
				if r := read(t, submit(t, o, j)); r.text != "y" || r.worker != "warm" || r.attempt != 1 || r.err != nil {
					t.Errorf("where it is warm: %+v", r)
				}
			}

			end()
			eventually(t, "the broker takes tickets", func() bool {
				r := read(t, submit(t, o, job("x")))
				return r.text == "x" && o.patience() > 0
			})
			eventually(t, "no ticket is left", func() bool { return jobsWaiting(t, o) == 0 })
		})
	}
}

func TestAnOfferIsMadeToAWorkerWithRoom(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	first, second := newGated(), newGated()
	startWorker(t, b, WorkerConfig{Name: "first", Slots: 2}, first.handle)
	awaitWorkers(t, o, 1)
	defer silence(t, o, silences["nobody is there"])()
	calls := []*Call{submit(t, o, job("a")), submit(t, o, job("b")), submit(t, o, job("c"))}
	receive(t, "a task", first.started)
	receive(t, "another task", first.started)

	startWorker(t, b, WorkerConfig{Name: "second"}, second.handle)
	receive(t, "the third task", second.started)
	close(first.release)
	close(second.release)
	for _, c := range calls {
		if r := read(t, c); r.err != nil || r.attempt != 1 {
			t.Errorf("got %+v", r)
		}
	}
}

func TestAnOfferFindsAnotherWorkerThanTheOneThatDied(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	startRawWorker(t, b, o, "dead", 100) // says hello and hears nothing
	startWorker(t, b, WorkerConfig{Name: "alive"}, echo)
	awaitWorkers(t, o, 2)
	defer silence(t, o, silences["nobody is there"])()
	if r := read(t, submit(t, o, job("x"))); r.text != "x" || r.worker != "alive" || r.err != nil {
		t.Errorf("got %+v", r)
	}
}

func TestOffersThatAreNotTaken(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	w := startWorker(t, b, WorkerConfig{}, func(context.Context, *Task) { t.Error("a task began") })
	awaitWorkers(t, o, 1)
	good := ticket{V: wireVersion, Job: "j", Place: 1, Node: o.node, Key: "k", Pool: "std"}
	elsewhere := good
	elsewhere.Pool = "other"
	ask := func(data []byte) string {
		m, err := o.nc.RequestWithContext(testContext(t), downSubject(w.ID(), verbRun), data)
		if err != nil {
			t.Fatal(err)
		}
		return string(m.Data)
	}
	for name, data := range map[string][]byte{"no ticket": []byte("{"), "another pool": encode(elsewhere)} {
		if got := ask(data); got != offerFull {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := ask(encode(good)); got != offerTaken {
		t.Errorf("a ticket of a job that is gone: %q", got)
	}
	eventually(t, "its slot is free again", func() bool { free, _, _ := w.room(); return free == 4 })
	w.stopIntake()
	if got := ask(encode(good)); got != offerFull {
		t.Errorf("while it drains: %q", got)
	}
}

// What was on its way when a connection broke is asked for at once, though no later frame shows the gap.
func TestFramesLostWithAConnectionComeAgain(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	words, tasks := make(chan string), make(chan *Task, 1)
	_, l := startWorkerBehind(t, b, WorkerConfig{}, func(_ context.Context, task *Task) {
		tasks <- task
		for word := range words {
			task.Send([]byte(word), true)
		}
		task.End(End{OK: true})
	})
	awaitWorkers(t, o, 1)
	c := submit(t, o, job(""))
	words <- "one"
	nextEvents(t, c)

	l.Turn(stalled)
	words <- "two"
	task := receive(t, "the task", tasks)
	eventually(t, "the frame is sent", func() bool { return task.sent.Load() == 2 })
	l.Turn(gone)
	l.Turn(linktest.Weather{})
	if got := string(nextEvents(t, c).Events[0]); got != "two" {
		t.Errorf("got %q", got)
	}
	close(words)
	if r := read(t, c); r.err != nil || r.attempt != 1 {
		t.Errorf("got %+v", r)
	}
}
