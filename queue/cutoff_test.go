package queue

import (
	"errors"
	"testing"

	"maxrelay/queue/linktest"
)

// An owner that has lost its broker says so, and goes on when it is back.
func TestWithoutABrokerRequestsAreRefused(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	l := linktest.New(t, b.Addr().String())
	token, err := readToken(b.cfg.TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	far, err := OpenBroker(testContext(t), BrokerConfig{URL: "nats://" + token + "@" + l.Addr()}, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(far.Close)
	o := startOwner(t, far, OwnerConfig{})
	g := newGated()
	startWorker(t, b, WorkerConfig{Slots: 1}, g.handle)
	awaitWorkers(t, o, 1)
	running := submit(t, o, job(""))
	receive(t, "the task", g.started)
	waiting := submit(t, o, job(""))

	l.Turn(gone)
	if r := read(t, waiting); !errors.Is(r.err, ErrNoBroker) {
		t.Errorf("the job that waited: %+v", r)
	}
	if _, err := o.Submit(testContext(t), job("")); !errors.Is(err, ErrNoBroker) || !o.CutOff() {
		t.Errorf("a new job: %v, cut off %t", err, o.CutOff())
	}
	if r := read(t, running); !errors.Is(r.err, ErrNoBroker) {
		t.Errorf("the job that ran: %+v", r)
	}

	l.Turn(linktest.Weather{})
	close(g.release)
	eventually(t, "the broker is back", func() bool { return !o.CutOff() })
	awaitWorkers(t, o, 1)
	if r := read(t, submit(t, o, job("again"))); r.text != "again" || r.err != nil {
		t.Errorf("afterwards: %+v", r)
	}
}
