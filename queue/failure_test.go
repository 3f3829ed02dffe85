package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"maxrelay/queue/linktest"
)

// talker says a first word and then does as gated handlers do.
func (g *gated) talk(ctx context.Context, t *Task) {
	t.Send([]byte("first "), true)
	g.handle(ctx, t)
}

func TestWhenAWorkerIsLost(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name      string
		network   linktest.Weather
		talks     bool
		streaming bool
		moves     bool
	}{
		{"dead before content", gone, false, true, true},
		{"dead after content, streaming", gone, true, true, false},
		{"dead after content, not streaming", gone, true, false, true},
		{"silent before content", stalled, false, true, true},
		{"silent after content, streaming", stalled, true, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t)
			o := startOwner(t, b, OwnerConfig{})
			first := newGated()
			handle := first.handle
			if tc.talks {
				handle = first.talk
			}
			_, link := startWorkerBehind(t, b, WorkerConfig{Name: "first"}, handle)
			awaitWorkers(t, o, 1)
			j := job("second")
			j.Streaming = tc.streaming
			c := submit(t, o, j)
			receive(t, "the first attempt", first.started)
			if tc.talks {
				if got := string(nextEvents(t, c).Events[0]); got != "first " {
					t.Fatalf("got %q", got)
				}
			}
			startWorker(t, b, WorkerConfig{Name: "second"}, echo)
			awaitWorkers(t, o, 2)
			link.Turn(tc.network)

			r := read(t, c)
			switch {
			case tc.moves && (r.err != nil || r.text != "second" || r.worker != "second" || r.attempt != 2):
				t.Errorf("got %+v, want the answer of the second worker", r)
			case !tc.moves && (!errors.Is(r.err, ErrWorkerLost) || r.text != ""):
				t.Errorf("got %+v, want ErrWorkerLost", r)
			}
			link.Turn(linktest.Weather{})
		})
	}
}

func TestAnAttemptThatComesBackIsFenced(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	first := newGated()
	_, link := startWorkerBehind(t, b, WorkerConfig{Name: "first"}, first.handle)
	awaitWorkers(t, o, 1)
	c := submit(t, o, job("answer"))
	receive(t, "the first attempt", first.started)
	second := newGated()
	startWorker(t, b, WorkerConfig{Name: "second"}, second.handle)
	awaitWorkers(t, o, 2)

	link.Turn(stalled)
	receive(t, "the second attempt", second.started)
	link.Turn(linktest.Weather{})
	// It hears that it is not wanted, or has concluded that its owner is gone; either way it stops.
	receive(t, "the end of the first attempt", first.causes)
	close(second.release)
	if r := read(t, c); r.text != "answer" || r.worker != "second" || r.attempt != 2 || r.err != nil {
		t.Errorf("got %+v", r)
	}
}

func TestAShortBreakCostsNothing(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	words := make(chan string)
	_, link := startWorkerBehind(t, b, WorkerConfig{}, func(_ context.Context, task *Task) {
		for word := range words {
			task.Send([]byte(word), true)
		}
		task.End(End{OK: true})
	})
	awaitWorkers(t, o, 1)
	j := job("")
	j.Streaming = true
	c := submit(t, o, j)
	words <- "0 "
	nextEvents(t, c)
	want := ""
	for i := range 20 {
		if i == 5 || i == 12 {
			link.Turn(gone)
			link.Turn(linktest.Weather{})
		}
		word := fmt.Sprintf("%d ", i+1)
		want += word
		words <- word
	}
	close(words)
	if r := read(t, c); r.text != want || r.attempt != 1 || r.err != nil {
		t.Errorf("got %+v, want %q", r, want)
	}
}

func TestALongBreakInterruptsTurns(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	g := newGated()
	_, link := startWorkerBehind(t, b, WorkerConfig{}, g.handle)
	awaitWorkers(t, o, 1)
	submit(t, o, job(""))
	receive(t, "the task", g.started)
	link.Turn(gone)
	if cause := receive(t, "the interruption", g.causes); !errors.Is(cause, ErrDisconnected) {
		t.Errorf("cause = %v", cause)
	}
}

func TestAttemptsAreCounted(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{MaxAttempts: 2})
	c := submit2(t, b, o)
	for attempt := 1; attempt <= 2; attempt++ {
		w := startRawWorker(t, b, o, fmt.Sprintf("w%d", attempt+1), 0)
		if g, _ := w.claimPlace(c, attempt, "n"); g.Answer != answerGo || g.Epoch != attempt {
			t.Fatalf("claim %d = %+v", attempt, g)
		}
		w.nc.Close()
		if attempt == 1 {
			eventually(t, "the job waits again", func() bool { return o.Stats().Waiting == 1 })
		}
	}
	if r := read(t, c); !errors.Is(r.err, ErrWorkerLost) {
		t.Errorf("got %+v", r)
	}
}

// submit2 submits a job into a pool whose only worker takes nothing.
func submit2(t *testing.T, b *Broker, o *Owner) *Call {
	t.Helper()
	startRawWorker(t, b, o, "idle", 0)
	return submit(t, o, job(""))
}

func TestAFailedAttemptMayGoElsewhere(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	refuse := func(_ context.Context, task *Task) {
		task.Send([]byte("half an answer"), true)
		task.End(End{Retry: RetryElsewhere, Data: []byte("limit")})
	}
	startWorker(t, b, WorkerConfig{Name: "limited"}, refuse)
	awaitWorkers(t, o, 1)
	if r := read(t, submit(t, o, job("x"))); r.err != nil || r.end.OK || string(r.end.Data) != "limit" || r.attempt != 1 {
		t.Errorf("with nowhere to go: %+v", r)
	}

	startWorker(t, b, WorkerConfig{Name: "fresh"}, echo)
	awaitWorkers(t, o, 2)
	for i := range 10 {
		if r := read(t, submit(t, o, job("x"))); r.text != "x" || r.worker != "fresh" || r.err != nil {
			t.Errorf("job %d: %+v", i, r)
		}
	}
}

func TestAFailedAttemptMayBeMadeAnew(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	startWorker(t, b, WorkerConfig{Name: "crashing"}, func(ctx context.Context, task *Task) {
		if task.Epoch == 1 {
			task.End(End{Retry: RetryAnew, Data: []byte("crashed")})
			return
		}
		echo(ctx, task)
	})
	awaitWorkers(t, o, 1)
	c := submit(t, o, job("x"))
	var former []string
	for {
		batch, err := c.Next(t.Context())
		for _, data := range batch.Former {
			former = append(former, string(data))
		}
		if err != nil {
			t.Fatal(err)
		}
		if batch.End != nil {
			if !batch.End.OK || batch.Attempt != 2 {
				t.Errorf("on the only worker: %+v", batch)
			}
			break
		}
	}
	if !slices.Equal(former, []string{"crashed"}) {
		t.Errorf("ends of former attempts %q", former)
	}
	startWorker(t, b, WorkerConfig{Name: "sound"}, echo)
	awaitWorkers(t, o, 2)
	for i := range 10 {
		if r := read(t, submit(t, o, job("x"))); r.text != "x" || r.worker != "sound" || r.err != nil {
			t.Errorf("job %d beside another worker: %+v", i, r)
		}
	}
}

func TestContentThatWasShownStaysShown(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	w := startRawWorker(t, b, o, "w1", 0)
	startRawWorker(t, b, o, "w2", 0)
	j := job("")
	j.Streaming = true
	c := submit(t, o, j)
	w.mustClaim(c)
	w.frame(c, 1, 1, "shown")
	nextEvents(t, c)
	if r := w.end(c, 1, 1, End{Retry: RetryElsewhere, Data: []byte("why")}); r.Answer != endOK {
		t.Fatalf("end = %+v", r)
	}
	if r := read(t, c); r.err != nil || r.end == nil || string(r.end.Data) != "why" {
		t.Errorf("got %+v", r)
	}
}

func TestAFailedAttemptMayBeRepeatedLater(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		deadline time.Duration
		after    time.Duration
		attempts int
	}{
		{"inside the deadline", time.Minute, 0, 3},
		{"not beyond it", time.Minute, 2 * time.Minute, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t)
			o := startOwner(t, b, OwnerConfig{})
			startWorker(t, b, WorkerConfig{}, func(_ context.Context, task *Task) {
				task.End(End{Retry: RetryLater, RetryAfter: tc.after, Data: []byte("overloaded")})
			})
			awaitWorkers(t, o, 1)
			j := job("")
			j.Deadline = time.Now().Add(tc.deadline)
			if r := read(t, submit(t, o, j)); r.attempt != tc.attempts || r.err != nil || string(r.end.Data) != "overloaded" {
				t.Errorf("got %+v, want %d attempts", r, tc.attempts)
			}
		})
	}
}

func TestAHandlerThatForgetsTheEndHasFailed(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	startWorker(t, b, WorkerConfig{}, func(context.Context, *Task) {})
	awaitWorkers(t, o, 1)
	if r := read(t, submit(t, o, job(""))); r.err != nil || r.end.OK {
		t.Errorf("got %+v", r)
	}
}

func TestAClientThatLeaves(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	g := newGated()
	startWorker(t, b, WorkerConfig{Slots: 1}, g.handle)
	awaitWorkers(t, o, 1)
	running := submit(t, o, job(""))
	receive(t, "the task", g.started)

	t.Run("while the job waits", func(t *testing.T) {
		waiting := submit(t, o, job(""))
		waiting.Cancel()
		if r := read(t, waiting); !errors.Is(r.err, ErrCancelled) {
			t.Errorf("got %+v", r)
		}
		eventually(t, "only the running job has a ticket", func() bool { return jobsWaiting(t, o) == 1 })
	})
	t.Run("while it runs", func(t *testing.T) {
		running.Cancel()
		if cause := receive(t, "the interruption", g.causes); !errors.Is(cause, ErrCancelled) {
			t.Errorf("cause = %v", cause)
		}
		if r := read(t, running); r.err != nil || string(r.end.Data) != "interrupted" {
			t.Errorf("got %+v", r)
		}
	})
	t.Run("without waiting for the last words", func(t *testing.T) {
		c := submit(t, o, job(""))
		receive(t, "the task", g.started)
		c.Close()
		c.Close()
		if cause := receive(t, "the interruption", g.causes); !errors.Is(cause, ErrCancelled) {
			t.Errorf("cause = %v", cause)
		}
	})
	eventually(t, "no ticket is left", func() bool { return jobsWaiting(t, o) == 0 })
}

func TestACancelledAttemptThatSaysNothingEnds(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	w := startRawWorker(t, b, o, "w1", 0)
	startRawWorker(t, b, o, "w2", 0)
	c := submit(t, o, job(""))
	w.mustClaim(c)
	c.Cancel()
	if r := read(t, c); !errors.Is(r.err, ErrCancelled) {
		t.Errorf("got %+v", r)
	}
}

func TestDeadlines(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{QueueTimeout: time.Second})
	g := newGated()
	startWorker(t, b, WorkerConfig{Slots: 1}, g.handle)
	awaitWorkers(t, o, 1)
	j := job("")
	j.Deadline = time.Now().Add(3 * time.Second)
	running := submit(t, o, j)
	task := receive(t, "the task", g.started)
	if left := time.Until(task.Deadline); left <= 0 || left > 3*time.Second {
		t.Errorf("the task has %v left", left)
	}
	if r := read(t, submit(t, o, job(""))); !errors.Is(r.err, ErrDeadline) {
		t.Errorf("in the queue: %+v", r)
	}
	if r := read(t, running); !errors.Is(r.err, ErrDeadline) {
		t.Errorf("running: %+v", r)
	}
	if cause := receive(t, "the interruption", g.causes); !errors.Is(cause, ErrCancelled) {
		t.Errorf("cause = %v", cause)
	}
	eventually(t, "no ticket is left", func() bool { return jobsWaiting(t, o) == 0 })
}

func TestAPoolThatLosesItsWorkersFailsSoon(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{WorkerWait: 200 * time.Millisecond})
	g := newGated()
	w := startWorker(t, b, WorkerConfig{Slots: 1}, g.handle)
	awaitWorkers(t, o, 1)
	running := submit(t, o, job(""))
	receive(t, "the task", g.started)
	waiting := submit(t, o, job(""))
	w.Close()
	for name, c := range map[string]*Call{"waiting": waiting, "submitted later": submit(t, o, job(""))} {
		if r := read(t, c); !errors.Is(r.err, ErrNoWorker) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r := read(t, running); r.err != nil || r.end.OK {
		t.Errorf("running: %+v", r)
	}
}

func TestASlowClientIsDroppedAlone(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	causes := make(chan error, 1)
	startWorker(t, b, WorkerConfig{}, func(ctx context.Context, task *Task) {
		if string(task.Body) != "flood" {
			echo(ctx, task)
			return
		}
		chunk := make([]byte, 64<<10)
		for ctx.Err() == nil {
			task.Send(chunk, true)
			select {
			case <-ctx.Done():
			case <-time.After(time.Millisecond): // the pace of a very fast model
			}
		}
		causes <- context.Cause(ctx)
	})
	awaitWorkers(t, o, 1)
	slow := submit(t, o, job("flood"))
	if r := read(t, submit(t, o, job("other"))); r.text != "other" {
		t.Errorf("the other client got %+v", r)
	}
	if cause := receive(t, "the end of the flood", causes); !errors.Is(cause, ErrCancelled) {
		t.Errorf("cause = %v", cause)
	}
	if r := read(t, slow); !errors.Is(r.err, ErrSlowClient) {
		t.Errorf("got %d bytes, %v", len(r.text), r.err)
	}
}

func TestWhenTheOwnerDies(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	survivor := startOwner(t, b, OwnerConfig{Node: "survivor"})
	nc, err := b.Connect("mortal")
	if err != nil {
		t.Fatal(err)
	}
	mortal, err := NewOwner(testContext(t), nc, nil, OwnerConfig{Node: "mortal"}, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer mortal.Close(cancelled())
	g := newGated()
	startWorker(t, b, WorkerConfig{Slots: 1}, g.handle)
	awaitWorkers(t, mortal, 1)
	awaitWorkers(t, survivor, 1)
	submit(t, mortal, job(""))
	receive(t, "the task", g.started)
	submit(t, mortal, job("never runs"))

	nc.Close()
	if cause := receive(t, "the interruption", g.causes); !errors.Is(cause, ErrOwnerGone) {
		t.Errorf("cause = %v", cause)
	}
	close(g.release)
	if r := read(t, submit(t, survivor, job("goes on"))); r.text != "goes on" {
		t.Errorf("got %+v", r)
	}
	eventually(t, "orphaned tickets are dropped", func() bool { return jobsWaiting(t, survivor) == 0 })
	for len(g.started) > 0 {
		if task := <-g.started; string(task.Body) == "never runs" {
			t.Error("a job without a client ran")
		}
	}
}

func TestAStoppingOwner(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	g := newGated()
	startWorker(t, b, WorkerConfig{Slots: 1}, g.handle)
	awaitWorkers(t, o, 1)
	done, left := submit(t, o, job("done")), submit(t, o, job("left"))
	receive(t, "the task", g.started)

	ctx, stop := context.WithCancel(t.Context())
	closed := make(chan struct{})
	go func() {
		o.Close(ctx)
		close(closed)
	}()
	eventually(t, "new jobs are refused", func() bool {
		c, err := o.Submit(t.Context(), job(""))
		if err == nil {
			c.Close()
		}
		return errors.Is(err, ErrStopping)
	})
	g.release <- struct{}{}
	if r := read(t, done); r.text != "done" {
		t.Errorf("a job that had started: %+v", r)
	}
	done.Close()
	receive(t, "the second task", g.started)
	stop()
	receive(t, "the end of Close", closed)
	if r := read(t, left); !errors.Is(r.err, ErrStopping) {
		t.Errorf("a job that was too slow: %+v", r)
	}
	if cause := receive(t, "the interruption", g.causes); !errors.Is(cause, ErrCancelled) {
		t.Errorf("cause = %v", cause)
	}
	left.Close()
}

func TestADrainingWorkerFinishesAndTakesNothing(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	g := newGated()
	w := startWorker(t, b, WorkerConfig{Name: "old", Slots: 2}, g.handle)
	awaitWorkers(t, o, 1)
	running := submit(t, o, job("finished"))
	receive(t, "the task", g.started)

	drained := make(chan error, 1)
	go func() { drained <- w.Drain(testContext(t)) }()
	awaitRoster(t, o, func(all []WorkerInfo) bool { return len(all) == 1 && all[0].Draining })
	startWorker(t, b, WorkerConfig{Name: "new"}, echo)
	awaitWorkers(t, o, 2)
	for range 5 {
		if r := read(t, submit(t, o, job("x"))); r.worker != "new" || r.err != nil {
			t.Errorf("a job during the drain: %+v", r)
		}
	}
	close(g.release)
	if r := read(t, running); r.text != "finished" || r.err != nil {
		t.Errorf("the running job: %+v", r)
	}
	if err := receive(t, "the end of Drain", drained); err != nil {
		t.Errorf("Drain = %v", err)
	}
	w.Close()
	awaitWorkers(t, o, 1)
}

func TestAHardStopInterruptsAndTheJobMoves(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	causes := make(chan error, 1)
	started := make(chan struct{})
	w := startWorker(t, b, WorkerConfig{Name: "old"}, func(ctx context.Context, _ *Task) {
		close(started)
		<-ctx.Done()
		causes <- context.Cause(ctx)
	})
	awaitWorkers(t, o, 1)
	c := submit(t, o, job("moved"))
	receive(t, "the task", started)
	startWorker(t, b, WorkerConfig{Name: "new"}, echo)
	awaitWorkers(t, o, 2)
	if err := w.Drain(cancelled()); err == nil {
		t.Error("Drain = nil while a task runs")
	}
	w.Close()
	if cause := receive(t, "the interruption", causes); !errors.Is(cause, ErrStopping) {
		t.Errorf("cause = %v", cause)
	}
	if r := read(t, c); r.text != "moved" || r.worker != "new" {
		t.Errorf("got %+v", r)
	}
}

func TestABrokerThatRestartsEmpty(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	cfg := b.cfg
	cfg.Listen = b.Addr().String()
	token, err := readToken(cfg.TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	remote, err := OpenBroker(testContext(t), BrokerConfig{URL: "nats://" + token + "@" + cfg.Listen}, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer remote.Close()
	o := startOwner(t, remote, OwnerConfig{})
	g := newGated()
	w := startWorker(t, b, WorkerConfig{Slots: 1}, g.handle)
	awaitWorkers(t, o, 1)
	key := Key{7}
	w.Hold("process", "k_1", []Key{key}, false)
	running := submit(t, o, job("running"))
	receive(t, "the task", g.started)
	waiting := submit(t, o, job("waiting"))

	b.Close()
	b, err = OpenBroker(testContext(t), cfg, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	close(g.release)
	for want, c := range map[string]*Call{"running": running, "waiting": waiting} {
		if r := read(t, c); r.text != want || r.err != nil {
			t.Errorf("%s: %+v", want, r)
		}
	}
	eventually(t, "the directory is told again", func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		return len(o.holders[key]) == 1
	})
}
