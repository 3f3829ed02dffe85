package main

import (
	"fmt"
	"testing"
	"time"
)

const (
	killRounds = 20
	firstWord  = 200 * time.Millisecond // after which a CLI says it
	killAfter  = 50 * time.Millisecond  // from the question on: the worker has long claimed it
)

// BenchmarkWorkerKilled compares, in warm conversations with scripted CLIs, a turn that
// nothing disturbs with one whose worker is killed 50 ms after the question, before its
// first word: medians of the time to the first word, in milliseconds, and their
// difference, of which 50 ms are those that were lost. The other worker is told the
// conversation anew; both then wait for the CLI's 200 ms.
func BenchmarkWorkerKilled(b *testing.B) {
	s, cli := newSite(b), buildCLI(b)
	small := func(testing.TB) (string, map[string]string) { return cli, nil }
	startWorker := func(name string) *proc {
		return s.start(name, takesJobs, small, "worker", "--log-level", "info")
	}
	node := s.start("api", servesHTTP, small, "api", "--log-level", "info")
	workers := map[string]*proc{"w0": startWorker("w0"), "w1": startWorker("w1")}

	question := fmt.Sprintf("[[tokens 3 delay %v]]", firstWord)
	var calm, struck []float64
	for i := range killRounds {
		c := &talk{t: b, url: node.url, req: chatRequest{User: fmt.Sprint("user ", i)}}
		home := c.say("[[echo]]").worker()
		calm = append(calm, ms(c.firstToken(question)))
		victim := workers[home]
		killing := time.AfterFunc(killAfter, func() { _ = victim.cmd.Process.Kill() })
		a, first := c.stream(question)
		struck = append(struck, ms(first))
		if killing.Stop() || a.worker() == home || a.session() != "replayed" {
			b.Fatalf("killed %s: answered by %s, session %q", home, a.worker(), a.session())
		}
		<-victim.done
		workers[home] = startWorker(home)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(calm), "undisturbed-ms")
	b.ReportMetric(median(struck), "killed-ms")
	b.ReportMetric(median(struck)-median(calm), "more-ms")
}
