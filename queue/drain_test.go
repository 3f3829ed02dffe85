package queue

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

func TestADrainedWorkerTakesNoJobsUntilItResumes(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{StickyWait: time.Minute})
	g := newGated()
	var resumed atomic.Int64
	w := startWorker(t, b, WorkerConfig{Name: "drained", Slots: 1, Resumed: func() { resumed.Add(1) }}, g.handle)
	awaitWorkers(t, o, 1)
	running := submit(t, o, job("runs"))
	receive(t, "the task that fills it", g.started)
	w.Hold("p", "k_1", keys(1), false)
	holds(t, o, w, "p", keys(1), false)
	startWorker(t, b, WorkerConfig{Name: "other"}, echo)
	awaitWorkers(t, o, 2)
	waiting := submit(t, o, warmJob(1)) // for the drained one, whose slot is taken

	if err := o.Drain(testContext(t), w.ID()); err != nil {
		t.Fatal(err)
	}
	if r := read(t, waiting); r.worker != "other" || r.err != nil {
		t.Errorf("a job that waited for it: %+v", r)
	}
	close(g.release)
	if r := read(t, running); r.text != "runs" || r.err != nil {
		t.Errorf("what it ran: %+v", r)
	}
	awaitRoster(t, o, func(all []WorkerInfo) bool { return all[0].Draining && all[0].Busy == 0 })
	for range 10 {
		if r := read(t, submit(t, o, warmJob(1))); r.worker != "other" || r.err != nil {
			t.Fatalf("while it is drained: %+v", r)
		}
	}

	if err := o.Resume(testContext(t), w.ID()); err != nil {
		t.Fatal(err)
	}
	awaitRoster(t, o, func(all []WorkerInfo) bool { return !all[0].Draining })
	if r := read(t, submit(t, o, warmJob(1))); r.worker != "drained" || r.err != nil || resumed.Load() != 1 {
		t.Errorf("after it resumed %d times: %+v", resumed.Load(), r)
	}
}

func TestAWorkerThatStopsDoesNotResume(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	g := newGated()
	w := startWorker(t, b, WorkerConfig{Name: "stops"}, g.handle)
	awaitWorkers(t, o, 1)
	running := submit(t, o, job("runs"))
	receive(t, "its task", g.started)
	drained := make(chan error, 1)
	go func() { drained <- w.Drain(testContext(t)) }()
	awaitRoster(t, o, func(all []WorkerInfo) bool { return all[0].Draining })
	if err := o.Resume(testContext(t), w.ID()); err != nil {
		t.Fatal(err)
	}
	close(g.release)
	if r := read(t, running); r.err != nil {
		t.Errorf("what it ran: %+v", r)
	}
	if err := receive(t, "the end of the drain", drained); err != nil {
		t.Error(err)
	}
	if free, _, _ := w.room(); free != 0 {
		t.Errorf("it has room for %d jobs", free)
	}
}

func TestOrdersToAWorkerThatIsNotThere(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	if err := o.Drain(testContext(t), "nobody-123456"); !errors.Is(err, ErrUnknownWorker) {
		t.Errorf("drain: %v", err)
	}
	startRawWorker(t, b, o, "mute", 0) // on the roster, and takes no orders
	if err := o.Resume(testContext(t), "mute"); !errors.Is(err, ErrUnknownWorker) {
		t.Errorf("resume: %v", err)
	}
}
