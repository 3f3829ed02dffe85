package main

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

// traffic is clients that go on asking, each in conversations of its own. They try the
// next node where one refuses the connection; any other answer than the right one fails
// the test.
type traffic struct {
	t       *testing.T
	asks    asked
	nodes   []string // URLs
	halt    chan struct{}
	clients sync.WaitGroup

	mu      sync.Mutex
	answers int
	refused int            // connections
	by      map[string]int // answers by worker
	news    chan struct{}  // closed and replaced at each answer
}

// asked is what all of them ask, and what they are to be told.
type asked struct{ text, answer string }

func startTraffic(t *testing.T, clients int, asks asked, nodes ...string) *traffic {
	l := &traffic{t: t, asks: asks, nodes: nodes, halt: make(chan struct{}), by: make(map[string]int), news: make(chan struct{})}
	for i := range clients {
		l.clients.Go(func() { l.converse(i) })
	}
	t.Cleanup(l.stop)
	return l
}

// converse asks until it is stopped, three questions a conversation.
func (l *traffic) converse(client int) {
	var req chatRequest
	for n := 0; ; n++ {
		select {
		case <-l.halt:
			return
		default:
		}
		if n%3 == 0 {
			req = chatRequest{User: fmt.Sprint("client ", client), Stream: n%2 == 0}
		}
		req.Messages = append(req.Messages, message{"user", fmt.Sprint(l.asks.text, " ", n)})
		a, err := l.send(client+n, req)
		if err != nil || a.status != http.StatusOK || a.errCode != "" || a.text != l.asks.answer || a.finish != "stop" || a.done != req.Stream {
			l.t.Errorf("client %d, question %d: %+v, %v", client, n, a, err)
			return
		}
		req.Messages = append(req.Messages, message{"assistant", a.text})
		l.note(a.worker())
	}
}

// send asks one node after another until one takes the connection.
func (l *traffic) send(first int, req chatRequest) (a answer, err error) {
	for i := range l.nodes {
		a, err = send(l.t.Context(), l.nodes[(first+i)%len(l.nodes)], req, nil)
		if err == nil || a.status != 0 {
			break
		}
		l.mu.Lock()
		l.refused++
		l.mu.Unlock()
	}
	return a, err
}

func (l *traffic) note(worker string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers++
	l.by[worker]++
	close(l.news)
	l.news = make(chan struct{})
}

// of is a condition for await: so many more answers by this worker.
func (l *traffic) of(worker string, n int) func() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.by[worker]
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.by[worker] >= before+n
	}
}

// some is a condition for await: so many more answers.
func (l *traffic) some(n int) func() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.answers
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.answers >= before+n
	}
}

// await looks at every answer until all conditions were met.
func (l *traffic) await(conditions ...func() bool) {
	l.t.Helper()
	late := time.After(guard)
	for len(conditions) > 0 {
		l.mu.Lock()
		news := l.news
		l.mu.Unlock()
		if conditions[0]() {
			conditions = conditions[1:]
			continue
		}
		select {
		case <-news:
		case <-late:
			l.t.Fatal("it never happened")
		}
	}
}

func (l *traffic) stop() {
	select {
	case <-l.halt:
	default:
		close(l.halt)
	}
	l.clients.Wait()
}
