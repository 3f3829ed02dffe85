package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	manyStreams = 2000
	manyWorkers = 4
	manySlots   = 2 * manyStreams / manyWorkers // of a worker: new conversations are not spread evenly

	manyWords  = 120
	wordEvery  = 400 * time.Millisecond // by the CLI, from the first one on
	allBegin   = 20 * time.Second       // from the first stream to the last
	allWatched = 15 * time.Second       // while all run
)

// BenchmarkStreams2000 runs 2,000 streams at a time, of as many warm conversations, through
// an API node and four workers with small scripted CLIs that say a word every 400 ms. It
// prints by how many KB a stream the node and the workers are larger than before their
// first request, the CPU they take for a word that a client reads, in µs, and how much
// later than its CLI said it a client read its first word, in ms. It fails if one answer
// is not whole.
func BenchmarkStreams2000(b *testing.B) {
	c := openCrowd(b)
	empty := c.memory()
	c.meet()
	held := c.memory()

	var firsts []float64
	var begun, over sync.WaitGroup
	begun.Add(manyStreams)
	over.Go(func() {
		firsts = c.ask(begun.Done)
	})
	begun.Wait()
	cpu, words := c.cpu(), c.words.Load()
	<-time.After(allWatched)
	cpu, words = c.cpu().less(cpu), c.words.Load()-words
	full, files := c.memory(), c.files()
	over.Wait()

	b.ReportMetric(0, "ns/op")
	b.ReportMetric(full.less(empty).node/manyStreams, "node-KB/stream")
	b.ReportMetric(full.less(empty).workers/manyStreams, "workers-KB/stream")
	b.ReportMetric(held.less(empty).workers/manyStreams, "workers-KB/session")
	b.ReportMetric(files.node/manyStreams, "node-files/stream")
	b.ReportMetric(files.workers/manyStreams, "workers-files/stream")
	b.ReportMetric(cpu.node/float64(words), "node-µs/word")
	b.ReportMetric(cpu.workers/float64(words), "workers-µs/word")
	b.ReportMetric(float64(words)/allWatched.Seconds(), "words/s")
	b.ReportMetric(quantile(firsts, 0.5)-ms(wordEvery), "first-p50-ms")
	b.ReportMetric(quantile(firsts, 0.99)-ms(wordEvery), "first-p99-ms")
}

// crowd is clients with a conversation each, and the processes that answer them.
type crowd struct {
	b       *testing.B
	node    *proc
	workers []*proc
	talks   [manyStreams]chatRequest
	words   atomic.Int64 // that clients have read
}

func openCrowd(b *testing.B) *crowd {
	s, cli := newSite(b), buildCLI(b)
	small := func(testing.TB) (string, map[string]string) { return cli, nil }
	s.extra = fmt.Sprintf("queue: {max_waiting_per_key: %d}", manyStreams)
	c := &crowd{b: b, node: s.start("api", servesHTTP, small, "api", "--log-level", "info")}
	for i := range manyWorkers {
		c.workers = append(c.workers, s.start(fmt.Sprint("w", i), takesJobs, small, "worker", "--log-level", "info", "--set", "worker.memory_limit=1TB",
			"--set", fmt.Sprint("worker.slots=", manySlots), "--set", fmt.Sprint("worker.max_sessions=", manySlots), "--set", fmt.Sprint("worker.max_sessions_per_key=", manySlots)))
	}
	for i := range c.talks {
		c.talks[i] = chatRequest{User: fmt.Sprint("client ", i), Stream: true}
	}
	return c
}

// meet has each client put its first question, so that all conversations are held after
// it. Processes are started for them: a few at a time.
func (c *crowd) meet() {
	var clients errgroup.Group
	clients.SetLimit(16)
	for i := range c.talks {
		clients.Go(func() error {
			c.converse(&c.talks[i], "[[tokens 1]]", 1, "new", func() {})
			return nil
		})
	}
	_ = clients.Wait() // what is wrong was said
}

// ask has each client put its next question, one after the other, and waits for all
// answers. begun is told of each first word. It returns how long those took, in
// milliseconds and in order.
func (c *crowd) ask(begun func()) (firsts []float64) {
	firsts = make([]float64, manyStreams)
	text := fmt.Sprintf("[[tokens %d delay %v]]", manyWords, wordEvery)
	var clients sync.WaitGroup
	for i := range c.talks {
		clients.Go(func() {
			<-time.After(allBegin / manyStreams * time.Duration(i))
			firsts[i] = ms(c.converse(&c.talks[i], text, manyWords, "warm", begun))
		})
	}
	clients.Wait()
	slices.Sort(firsts)
	return firsts
}

// converse puts a question that is to be answered with so many words from such a session.
// It tells of the first one, and returns how long it took.
func (c *crowd) converse(talk *chatRequest, text string, words int, session string, begun func()) (first time.Duration) {
	talk.Messages = append(talk.Messages, message{"user", text})
	asked, begun := time.Now(), sync.OnceFunc(begun)
	defer begun() // also if there is none
	a, err := send(c.b.Context(), c.node.url, *talk, func(piece string) {
		if c.words.Add(int64(len(strings.Fields(piece)))); first == 0 {
			first = time.Since(asked)
			begun()
		}
	})
	if n := len(strings.Fields(a.text)); err != nil || a.status != http.StatusOK || !a.done || a.errCode != "" || n != words || a.session() != session {
		c.b.Errorf("%s: status %d, error %q, %d words of %d, session %q, done %t, %v", talk.User, a.status, a.errCode, n, words, a.session(), a.done, err)
	}
	talk.Messages = append(talk.Messages, message{"assistant", a.text})
	return first
}

// shares are an amount of the API node and of all workers together.
type shares struct{ node, workers float64 }

func (c *crowd) shares(of func(*proc) float64) (s shares) {
	s.node = of(c.node)
	for _, w := range c.workers {
		s.workers += of(w)
	}
	return s
}

func (s shares) less(t shares) shares { return shares{s.node - t.node, s.workers - t.workers} }

// memory is what is resident, in KB.
func (c *crowd) memory() shares {
	return c.shares(func(p *proc) float64 { return float64(p.status(c.b, "VmRSS:")) / 1024 })
}

// files are open ones, sockets and pipes among them.
func (c *crowd) files() shares {
	return c.shares(func(p *proc) float64 { return float64(len(p.open(""))) })
}

// cpu is in microseconds.
func (c *crowd) cpu() shares {
	return c.shares(func(p *proc) float64 { return float64(cpuTime([]int{p.cmd.Process.Pid}).Microseconds()) })
}
