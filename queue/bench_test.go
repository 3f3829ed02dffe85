package queue

import (
	"context"
	"errors"
	"io"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"
)

// BenchmarkJob measures a job from Submit to its end, with the owner in the broker's process and the worker over TCP.
func BenchmarkJob(b *testing.B) {
	br := startBroker(b)
	o := startOwner(b, br, OwnerConfig{})
	startWorker(b, br, WorkerConfig{Slots: 8}, echo)
	awaitWorkers(b, o, 1)
	body := string(make([]byte, 8<<10))
	var first []time.Duration
	for b.Loop() {
		c, err := o.Submit(b.Context(), job(body))
		if err != nil {
			b.Fatal(err)
		}
		for {
			batch, err := c.Next(b.Context())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			if len(batch.Events) > 0 {
				first = append(first, time.Since(c.submitted))
			}
		}
		c.Close()
	}
	slices.Sort(first)
	b.ReportMetric(float64(first[len(first)/2].Microseconds()), "p50-µs-to-first-event")
	b.ReportMetric(float64(first[len(first)*99/100].Microseconds()), "p99-µs-to-first-event")
}

// BenchmarkToken measures the CPU time of one token at 15 ms intervals in each of 200 streams: worker, broker and owner
// together.
func BenchmarkToken(b *testing.B) {
	const streams = 200
	br := startBroker(b)
	o := startOwner(b, br, OwnerConfig{MaxWaitingPerKey: streams})
	go1 := make(chan struct{})
	each := b.N/streams + 1
	startWorker(b, br, WorkerConfig{Slots: streams}, func(ctx context.Context, t *Task) {
		token := make([]byte, 150)
		<-go1
		tick := time.NewTicker(15 * time.Millisecond)
		defer tick.Stop()
		for range each {
			<-tick.C
			t.Send(token, true)
		}
		t.End(End{OK: true})
	})
	awaitWorkers(b, o, 1)
	ends := make(chan int, streams)
	for range streams {
		c, err := o.Submit(b.Context(), job(""))
		if err != nil {
			b.Fatal(err)
		}
		go func() {
			defer c.Close()
			r := readContext(b.Context(), c)
			if r.err != nil {
				b.Error(r.err)
			}
			ends <- r.events
		}()
	}
	eventually(b, "all run", func() bool { return o.Stats().Running == streams })
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b.ResetTimer()
	start := cpuTime()
	close(go1)
	total := 0
	for range streams {
		total += <-ends
	}
	used := cpuTime() - start
	b.StopTimer()
	runtime.ReadMemStats(&after)
	if total != each*streams {
		b.Fatalf("%d events of %d", total, each*streams)
	}
	b.ReportMetric(float64(used.Nanoseconds())/float64(total), "cpu-ns/token")
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(total), "B/token")
	b.ReportMetric(float64(before.HeapInuse+before.StackInuse)/streams, "B-in-use/stream")
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
