package queue

import (
	"encoding/json"
	"sync"
	"time"
)

const (
	aliveEvery = time.Second
	aliveTries = 2 // unanswered signs of life after which an owner is gone
)

// keepAlive tells owners once a second which of their jobs run here, learns which of them are not wanted, and keeps
// the tickets of those without content from being delivered to others.
func (w *Worker) keepAlive() {
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for {
		back := false
		select {
		case <-w.ctx.Done():
			return
		case <-w.back:
			back = true
		case <-tick.C:
		}
		if w.nc.IsConnected() { // while it is not, breakLimit decides
			w.signLife(back)
		}
	}
}

// signLife sends one request per owner, not one per job.
func (w *Worker) signLife(back bool) {
	nodes := make(map[string][]*Task)
	for _, t := range w.snapshot() {
		if !t.told.Load() {
			w.answer(t.ticket, progressTicket)
		}
		if t.started.Load() {
			nodes[t.node] = append(nodes[t.node], t)
		}
	}
	w.mu.Lock()
	for node := range w.misses {
		if nodes[node] == nil {
			delete(w.misses, node)
		}
	}
	w.mu.Unlock()

	var asked sync.WaitGroup
	for node, tasks := range nodes {
		asked.Go(func() { w.signLifeTo(node, tasks, back) })
	}
	asked.Wait()
}

func (w *Worker) signLifeTo(node string, tasks []*Task, back bool) {
	q := aliveRequest{Back: back, Running: make([]attempt, len(tasks)), Frames: make([]int, len(tasks))}
	for i, t := range tasks {
		q.Running[i], q.Frames[i] = attempt{t.Job, t.Epoch}, int(t.sent.Load())
	}
	m, err := w.request(w.ctx, ownerSubject(node, verbAlive, w.id), encode(q), aliveEvery)
	var reply aliveReply
	if err == nil {
		err = json.Unmarshal(m.Data, &reply)
	}
	if w.missed(node, err != nil) >= aliveTries {
		for _, t := range tasks {
			t.orphan.Store(true)
			t.cancel(ErrOwnerGone)
		}
		return
	}
	for _, gone := range reply.Gone {
		for _, t := range tasks {
			if t.Job == gone.Job && t.Epoch == gone.Epoch {
				t.cancel(ErrCancelled)
			}
		}
	}
}

func (w *Worker) missed(node string, missed bool) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if missed {
		w.misses[node]++
	} else {
		delete(w.misses, node)
	}
	return w.misses[node]
}
