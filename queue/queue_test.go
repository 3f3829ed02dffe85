package queue

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAJobRunsOnAWorker(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	startWorker(t, b, WorkerConfig{Name: "w1"}, func(_ context.Context, task *Task) {
		for _, word := range strings.Fields(string(task.Body)) {
			task.Send([]byte(word+" "), true)
		}
		task.End(End{OK: true, Data: []byte("usage")})
	})
	awaitWorkers(t, o, 1)

	r := read(t, submit(t, o, job("one two three")))
	if r.text != "one two three " || r.events != 3 || r.attempt != 1 || r.worker != "w1" || r.err != nil {
		t.Errorf("got %+v", r)
	}
	if r.end == nil || !r.end.OK || string(r.end.Data) != "usage" {
		t.Errorf("end = %+v", r.end)
	}
}

func TestManyJobsAtOnceKeepTheirFrames(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	for i := range 3 {
		startWorker(t, b, WorkerConfig{Name: fmt.Sprintf("w%d", i), Slots: 16}, func(_ context.Context, task *Task) {
			for i := range 50 {
				task.Send(fmt.Appendf(nil, "%s/%d\n", task.Body, i), true)
			}
			task.End(End{OK: true, Data: task.Body})
		})
	}
	awaitWorkers(t, o, 3)

	var readers sync.WaitGroup
	for i := range 200 {
		readers.Go(func() {
			j := job(rand.Text())
			j.KeyID = fmt.Sprintf("k_%d", i%7)
			j.Streaming = i%2 == 0
			j.Body = []byte(j.ID)
			c, err := o.Submit(t.Context(), j)
			if err != nil {
				t.Errorf("Submit: %v", err)
				return
			}
			defer c.Close()
			r := readContext(testContext(t), c)
			var want strings.Builder
			for k := range 50 {
				fmt.Fprintf(&want, "%s/%d\n", j.ID, k)
			}
			if r.text != want.String() || r.err != nil || string(r.end.Data) != j.ID {
				t.Errorf("job %d got %d bytes, %d events, error %v", i, len(r.text), r.events, r.err)
			}
		})
	}
	readers.Wait()
	if s := o.Stats(); s.Waiting != 0 || s.Running != 0 {
		t.Errorf("left over: %+v", s)
	}
}

func TestBodiesArriveWhole(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	bodies := make(chan []byte, 1)
	startWorker(t, b, WorkerConfig{}, func(_ context.Context, task *Task) {
		bodies <- task.Body
		task.End(End{OK: true})
	})
	awaitWorkers(t, o, 1)

	for _, size := range []int{0, 1, inlineBody - 1, inlineBody, inlineBody + 1, 2 * bodyChunk, 5 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			body := make([]byte, size)
			rand.Read(body)
			j := job("")
			j.Body = body
			c := submit(t, o, j)
			if got := receive(t, "the body", bodies); !bytes.Equal(got, body) {
				t.Errorf("a body of %d bytes arrived as %d other ones", size, len(got))
			}
			if r := read(t, c); r.err != nil || !r.end.OK {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func TestAHugeEventArrivesWhole(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	startWorker(t, b, WorkerConfig{}, func(_ context.Context, task *Task) {
		task.Send([]byte("before"), true)
		task.Send(bytes.Repeat([]byte("x"), 3<<20), true)
		task.Send([]byte("after"), true)
		task.End(End{OK: true})
	})
	awaitWorkers(t, o, 1)
	r := read(t, submit(t, o, job("")))
	want := "before" + strings.Repeat("x", 3<<20) + "after"
	if r.text != want || r.events != 3 || r.err != nil {
		t.Errorf("got %d bytes in %d events, error %v", len(r.text), r.events, r.err)
	}
}

func TestSubmitRefuses(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{MaxWaiting: 6, MaxWaitingPerKey: 3})
	g := newGated()
	startWorker(t, b, WorkerConfig{Slots: 1}, g.handle)
	awaitWorkers(t, o, 1)
	running := submit(t, o, job("x"))
	receive(t, "the first job", g.started)

	with := func(change func(*Job)) Job {
		j := job("x")
		change(&j)
		return j
	}
	for range 3 {
		submit(t, o, job("x"))
	}
	for name, tc := range map[string]struct {
		job  Job
		want func(error) bool
	}{
		"a pool nobody ever served": {with(func(j *Job) { j.Pool = "gold" }), func(err error) bool { return errors.Is(err, ErrNoWorker) }},
		"a key id with a dot":       {with(func(j *Job) { j.KeyID = "a.b" }), func(err error) bool { return err != nil }},
		"an id in use":              {with(func(j *Job) { j.ID = running.job.ID }), func(err error) bool { return err != nil }},
		"a key at its bound": {job("x"), func(err error) bool {
			full, ok := errors.AsType[ErrQueueFull](err)
			return ok && full.RetryAfter >= time.Second && full.RetryAfter <= time.Minute
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := o.Submit(t.Context(), tc.job); !tc.want(err) {
				t.Errorf("Submit = %v", err)
			}
		})
	}
	for range 3 {
		submit(t, o, with(func(j *Job) { j.KeyID = "k_2" }))
	}
	if _, err := o.Submit(t.Context(), with(func(j *Job) { j.KeyID = "k_3" })); !isErrFull(err) {
		t.Errorf("Submit above MaxWaiting = %v", err)
	}
}

func isErrFull(err error) bool {
	_, ok := errors.AsType[ErrQueueFull](err)
	return ok
}

func TestAStreamThatSomebodyMadeAnewIsNoticed(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	startWorker(t, b, WorkerConfig{}, echo)
	awaitWorkers(t, o, 1)
	if r := read(t, submit(t, o, job("before"))); r.text != "before" || r.err != nil {
		t.Fatalf("got %+v", r)
	}
	if err := o.js.DeleteStream(testContext(t), jobsStream); err != nil {
		t.Fatal(err)
	}
	if _, err := o.js.CreateStream(testContext(t), jobsConfig(o.cfg)); err != nil {
		t.Fatal(err)
	}
	if r := read(t, submit(t, o, job("after"))); r.text != "after" || r.err != nil {
		t.Errorf("got %+v", r)
	}
}
