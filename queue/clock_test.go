package queue

import (
	"testing"
	"time"
)

// A ticket says when its job is due by the clock of its owner's machine. That is for people: what counts is the time
// left, which comes with the grant.
func TestTheClockOfAnotherMachineDoesNotMatter(t *testing.T) {
	t.Parallel()
	for name, due := range map[string]time.Time{"it is ahead": time.Now().Add(24 * time.Hour), "it is behind": time.Unix(1, 0)} {
		t.Run(name, func(t *testing.T) {
			b := startBroker(t)
			o := startOwner(t, b, OwnerConfig{})
			startRawWorker(t, b, o, "idle", 0) // there is a worker, and it takes nothing
			g := newGated()
			j := job("x")
			j.Deadline = time.Now().Add(time.Minute)
			c := submit(t, o, j)
			w := startWorker(t, b, WorkerConfig{Name: "w"}, g.handle)
			awaitWorkers(t, o, 2)
			skewed := ticket{V: wireVersion, Job: j.ID, Place: 1, Node: o.node, Key: j.KeyID, Pool: j.Pool, Deadline: due.UnixMilli()}
			if _, err := o.nc.RequestWithContext(testContext(t), downSubject(w.ID(), verbRun), encode(skewed)); err != nil {
				t.Fatal(err)
			}
			task := receive(t, "the task", g.started)
			if left := time.Until(task.Deadline); left <= 0 || left > time.Minute {
				t.Errorf("%v are left of a minute", left)
			}
			close(g.release)
			if r := read(t, c); r.err != nil || r.text != "x" {
				t.Errorf("got %+v", r)
			}
		})
	}
}
