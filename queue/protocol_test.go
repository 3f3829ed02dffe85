package queue

import (
	"errors"
	"testing"
)

func TestOnlyOneClaimIsGranted(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	w1, w2 := startRawWorker(t, b, o, "w1", 0), startRawWorker(t, b, o, "w2", 0)
	c := submit(t, o, job("hello"))

	g, body := w1.claim(c, "a")
	if g.Answer != answerGo || g.Epoch != 1 || string(body) != "hello" {
		t.Fatalf("first claim = %+v, %q", g, body)
	}
	if again, body := w1.claim(c, "a"); again.Answer != answerGo || again.Epoch != 1 || string(body) != "hello" {
		t.Errorf("the same claim asked again = %+v, %q", again, body)
	}
	if g, _ := w1.claim(c, "b"); g.Answer != answerClaimed {
		t.Errorf("a second delivery to the same worker = %+v", g)
	}
	if g, _ := w2.claim(c, "a"); g.Answer != answerClaimed {
		t.Errorf("another worker = %+v", g)
	}
	w1.frame(c, 1, 1, "text")
	nextEvents(t, c)
	if g, _ := w1.claim(c, "a"); g.Answer != answerClaimed {
		t.Errorf("the same claim after its first frame = %+v", g)
	}
	c.Close()
	if g, _ := w1.claim(c, "a"); g.Answer != answerGone {
		t.Errorf("a forgotten job = %+v", g)
	}
}

func TestAWorkerThatIsNotOnTheRosterGetsNothing(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	startRawWorker(t, b, o, "w1", 0)
	stranger := &rawWorker{t: t, o: o, nc: dialTCP(t, b, b.ClientURL(), "w9"), id: "w9"}
	hellos := stranger.orders(verbHello)
	if g, body := stranger.claim(submit(t, o, job("secret")), "n"); g.Answer != answerElsewhere || len(body) > 0 {
		t.Errorf("claim = %+v, %q", g, body)
	}
	receive(t, "being asked for a hello", hellos)
}

func TestFramesOfOtherAttemptsAndWorkersAreIgnored(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	w1, w2 := startRawWorker(t, b, o, "w1", 0), startRawWorker(t, b, o, "w2", 0)
	c := submit(t, o, job(""))
	w1.mustClaim(c)

	w2.frame(c, 1, 1, "of another worker ")
	w1.frame(c, 2, 1, "of another epoch ")
	w1.frame(c, 0, 1, "of no epoch ")
	w1.publish(frameSubject(o.node, "w1", c.job.ID), []byte("garbage"))
	w1.publish(frameSubject(o.node, "w1", "nobody"), []byte{1, 0, 1, 1, 1, 'x'})
	if r := w2.end(c, 1, 0, End{OK: true}); r.Answer != endStale {
		t.Errorf("end of another worker = %+v", r)
	}
	if r := w1.end(c, 2, 0, End{OK: true}); r.Answer != endStale {
		t.Errorf("end of another epoch = %+v", r)
	}
	w1.frame(c, 1, 1, "right")
	w1.frame(c, 1, 1, "twice")
	for range 2 { // an answer may get lost
		if r := w1.end(c, 1, 1, End{OK: true}); r.Answer != endOK {
			t.Errorf("end = %+v", r)
		}
	}
	if r := read(t, c); r.text != "right" || r.err != nil {
		t.Errorf("got %+v", r)
	}
}

func TestLostFramesAreSentAgain(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	w := startRawWorker(t, b, o, "w1", 0)
	resends := w.orders(verbResend)
	c := submit(t, o, job(""))
	w.mustClaim(c)

	w.frame(c, 1, 1, "a")
	w.frame(c, 1, 3, "c")
	if got := receive(t, "a request for frames", resends); got.From != 2 || got.Epoch != 1 || got.Job != c.job.ID {
		t.Fatalf("asked for %+v", got)
	}
	w.frame(c, 1, 2, "b")
	w.frame(c, 1, 3, "c")
	if r := w.end(c, 1, 5, End{OK: true}); r.Answer != endNeed || r.From != 4 {
		t.Fatalf("end with frames missing = %+v", r)
	}
	w.frame(c, 1, 4, "d")
	w.frame(c, 1, 5, "e")
	if r := w.end(c, 1, 5, End{OK: true}); r.Answer != endOK {
		t.Fatalf("end = %+v", r)
	}
	if r := read(t, c); r.text != "abcde" || r.err != nil {
		t.Errorf("got %+v", r)
	}
}

func TestFramesThatAreGoneLoseTheAttempt(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	w := startRawWorker(t, b, o, "w1", 0)
	for name, streaming := range map[string]bool{"of a streaming job": true, "of a job nobody has seen": false} {
		t.Run(name, func(t *testing.T) {
			j := job("")
			j.Streaming = streaming
			c := submit(t, o, j)
			w.mustClaim(c)
			w.frame(c, 1, 1, "a")
			nextEvents(t, c)
			w.lost(c, 1, 2)
			if streaming {
				if _, err := c.Next(testContext(t)); !errors.Is(err, ErrWorkerLost) {
					t.Errorf("Next = %v", err)
				}
				return
			}
			// There is no other worker, so this one may have it again.
			eventually(t, "the job waits again", func() bool { return o.Stats().Waiting == 1 })
			if g, _ := w.claimPlace(c, 2, "m"); g.Answer != answerGo || g.Epoch != 2 {
				t.Errorf("second claim = %+v", g)
			}
		})
	}
}

func TestAliveTellsWhatIsNotWanted(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	w := startRawWorker(t, b, o, "w1", 0)
	kept, cancelled := submit(t, o, job("")), submit(t, o, job(""))
	w.mustClaim(kept)
	w.mustClaim(cancelled)
	cancelled.Cancel()
	reply := w.alive(attempt{kept.job.ID, 1}, attempt{kept.job.ID, 2}, attempt{cancelled.job.ID, 1}, attempt{"nobody", 1})
	want := []attempt{{kept.job.ID, 2}, {cancelled.job.ID, 1}, {"nobody", 1}}
	if len(reply.Gone) != len(want) {
		t.Fatalf("gone = %+v, want %+v", reply.Gone, want)
	}
	for i := range want {
		if reply.Gone[i] != want[i] {
			t.Errorf("gone = %+v, want %+v", reply.Gone, want)
		}
	}
}

func TestAClaimAfterTheFallBackStillWins(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{StickyWait: 1})
	w := startRawWorker(t, b, o, "w1", 1)
	key := Key{1}
	w.publish(upSubject(w.id, verbDirectory), encode(directoryUpdate{
		V: wireVersion, Number: 1, Reset: true, Changes: []chainChange{{Ref: "p", Add: key[:]}},
	}))
	eventually(t, "the directory has the process", func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return len(o.holders[key]) == 1
	})
	j := job("")
	j.Prefixes = []Key{key}
	c := submit(t, o, j)
	eventually(t, "the sticky ticket was replaced", func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return c.place == 2 && c.phase == phaseTicketed && c.seq != 0
	})
	if g, _ := w.claimPlace(c, 1, "n"); g.Answer != answerGo {
		t.Errorf("claim with the first ticket = %+v", g)
	}
	eventually(t, "the second ticket is deleted", func() bool { return jobsWaiting(t, o) == 0 })
}

// jobsWaiting is the number of tickets in the stream, delivered ones included.
func jobsWaiting(t testing.TB, o *Owner) int {
	t.Helper()
	s, err := o.js.Stream(testContext(t), jobsStream)
	if err != nil {
		t.Fatal(err)
	}
	return int(s.CachedInfo().State.Msgs)
}
