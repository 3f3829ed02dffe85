package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Look is what one API node's part of the queue holds at a moment, for people who ask why something waits.
type Look struct {
	Node     string        `json:"node"`
	MeanTurn time.Duration `json:"mean_turn"`
	Keys     []KeyStats    `json:"keys"`
	Waiting  []WaitingJob  `json:"waiting"` // those that wait the longest, at most maxLooked
	Running  []RunningJob  `json:"running"` // likewise
}

// WaitingJob is a job that nobody runs.
type WaitingJob struct {
	Request  string        `json:"request"`
	KeyID    string        `json:"key"`
	Pool     string        `json:"pool"`
	Model    string        `json:"model"`
	Waited   time.Duration `json:"waited"`
	Left     time.Duration `json:"left"`     // until it is given up
	Attempts int           `json:"attempts"` // that failed
	Place    Place         `json:"place"`
	Worker   string        `json:"worker,omitempty"` // PlaceWorker: the one it waits for
	Until    time.Duration `json:"until,omitempty"`  // PlaceWorker and PlacePause: how long yet
	Position int           `json:"position,omitempty"`
	Estimate time.Duration `json:"estimate,omitempty"`
}

// Place is where a job waits.
type Place string

// The places.
const (
	PlaceLine   Place = "line"   // behind others of its key, at its node
	PlaceBroker Place = "broker" // for any worker
	PlaceWorker Place = "worker" // for the one that holds its conversation
	PlacePause  Place = "pause"  // for the next attempt
)

var places = map[phase]Place{phaseInLine: PlaceLine, phaseTicketed: PlaceBroker, phaseSticky: PlaceWorker, phasePaused: PlacePause}

// RunningJob is a job that a worker has.
type RunningJob struct {
	Request string        `json:"request"`
	KeyID   string        `json:"key"`
	Pool    string        `json:"pool"`
	Model   string        `json:"model"`
	Worker  string        `json:"worker"`
	Attempt int           `json:"attempt"`
	Waited  time.Duration `json:"waited"`  // before
	Running time.Duration `json:"running"` // since
	Content bool          `json:"content"` // some of its answer is there
}

// Bounds of a look: with 500 jobs of each kind it stays below the broker's 1 MB.
const (
	maxLooked = 500
	lookWait  = time.Second  // for all nodes
	lookQuiet = lookWait / 5 // after the last answer
	maxNodes  = 64           // whose answers are taken
	everyNode = everyWorker  // in the place of a node's name
)

// Look shows what all API nodes' parts of the queue hold, by node. One that does not answer in a moment is left out.
func (o *Owner) Look(ctx context.Context) ([]Look, error) {
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	inbox := o.nc.NewRespInbox()
	sub, err := o.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := o.nc.PublishRequest(ownerSubject(everyNode, verbLook, o.node), inbox, nil); err != nil {
		return nil, err
	}
	all := gather(ctx, sub)
	if !slices.ContainsFunc(all, func(l Look) bool { return l.Node == o.node }) {
		all = append(all, o.look(time.Now())) // the broker is away: this node still knows its own
	}
	slices.SortFunc(all, func(a, b Look) int { return strings.Compare(a.Node, b.Node) })
	return all, nil
}

// gather collects answers until there is quiet.
func gather(ctx context.Context, sub *nats.Subscription) (all []Look) {
	for len(all) < maxNodes {
		quiet, cancel := context.WithTimeout(ctx, lookQuiet)
		m, err := sub.NextMsgWithContext(quiet)
		cancel()
		if err != nil {
			return all
		}
		var l Look
		if json.Unmarshal(m.Data, &l) == nil {
			all = append(all, l)
		}
	}
	return all
}

func (o *Owner) onLook(m *nats.Msg) { o.respond(m, encode(o.look(time.Now()))) }

func (o *Owner) look(now time.Time) Look {
	stats := o.Stats()
	l := Look{Node: o.node, MeanTurn: stats.MeanTurn, Keys: stats.Keys[:min(len(stats.Keys), maxLooked)]}
	o.mu.Lock()
	defer o.mu.Unlock()
	waiting, running := o.oldestLocked()
	for _, c := range waiting {
		l.Waiting = append(l.Waiting, o.waitingLocked(c, now))
	}
	for _, c := range running {
		l.Running = append(l.Running, RunningJob{
			Request: c.job.Request, KeyID: c.job.KeyID, Pool: c.job.Pool, Model: c.job.Model, Worker: c.worker.ID,
			Attempt: c.epoch, Waited: c.waited, Running: now.Sub(c.granted), Content: c.content,
		})
	}
	return l
}

// oldestLocked returns the open calls in the order they came, at most maxLooked of each kind.
func (o *Owner) oldestLocked() (waiting, running []*Call) {
	for _, c := range o.calls {
		switch c.phase {
		case phaseEnded:
		case phaseRunning:
			running = append(running, c)
		default:
			waiting = append(waiting, c)
		}
	}
	for _, calls := range []*[]*Call{&waiting, &running} {
		slices.SortFunc(*calls, func(a, b *Call) int {
			return cmp.Or(a.submitted.Compare(b.submitted), strings.Compare(a.job.ID, b.job.ID))
		})
		*calls = (*calls)[:min(len(*calls), maxLooked)]
	}
	return waiting, running
}

func (o *Owner) waitingLocked(c *Call, now time.Time) WaitingJob {
	w := WaitingJob{
		Request: c.job.Request, KeyID: c.job.KeyID, Pool: c.job.Pool, Model: c.job.Model, Waited: now.Sub(c.submitted),
		Left: c.queueUntil.Sub(now), Attempts: c.epoch, Place: places[c.phase],
	}
	switch c.phase {
	case phaseSticky:
		w.Worker, w.Until = c.home.ID, c.until.Sub(now)
	case phasePaused:
		w.Until = c.until.Sub(now)
	}
	if s, ok := o.standingLocked(c); ok {
		w.Position, w.Estimate = s.Position, s.Estimate
	}
	return w
}

// SessionInfo is a process that holds a conversation.
type SessionInfo struct {
	Worker   string `json:"worker"`
	Process  string `json:"process"`
	KeyID    string `json:"key"`
	Messages int    `json:"messages"`
	Busy     bool   `json:"busy"`
}

// Sessions lists what the workers hold, by worker and process.
func (o *Owner) Sessions() []SessionInfo {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []SessionInfo
	for _, w := range o.workers {
		for ref, h := range w.holdings {
			all = append(all, SessionInfo{Worker: w.ID, Process: ref, KeyID: h.owner, Messages: len(h.chain), Busy: h.busy})
		}
	}
	slices.SortFunc(all, func(a, b SessionInfo) int {
		return cmp.Or(strings.Compare(a.Worker, b.Worker), cmp.Compare(len(a.Process), len(b.Process)), strings.Compare(a.Process, b.Process))
	})
	return all
}
