package admin

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"maxrelay/api/roster"
	"maxrelay/queue"
)

// queueView is the whole queue: of every API node that answers.
type queueView struct {
	Nodes   []string      `json:"nodes"`
	Pools   []poolView    `json:"pools"`
	Keys    []keyQueue    `json:"keys"`    // the most waiting first
	Waiting []waitingView `json:"waiting"` // by node, the oldest first
	Running []runningView `json:"running"`
}

// poolView is what a pool can take.
type poolView struct {
	Pool    string `json:"pool"`
	Workers int    `json:"workers"`
	Serving int    `json:"serving"` // workers that take requests
	Slots   int    `json:"slots"`   // of those
	Busy    int    `json:"busy"`
}

type keyQueue struct {
	Node    string `json:"node"`
	Pool    string `json:"pool"`
	KeyID   string `json:"key_id"`
	Waiting int    `json:"waiting"`
	Running int    `json:"running"`
}

// waitingView is a request that nobody answers yet, and why.
type waitingView struct {
	Node       string `json:"node"`
	Request    string `json:"request_id"`
	KeyID      string `json:"key_id"`
	Pool       string `json:"pool"`
	Model      string `json:"model"`
	WaitedMS   int64  `json:"waited_ms"`
	GivenUpMS  int64  `json:"given_up_in_ms"`
	Attempts   int    `json:"attempts"` // that failed
	Position   int    `json:"position,omitempty"`
	EstimateMS int64  `json:"estimate_ms,omitempty"`
	Reason     string `json:"reason"`
}

type runningView struct {
	Node      string `json:"node"`
	Request   string `json:"request_id"`
	KeyID     string `json:"key_id"`
	Pool      string `json:"pool"`
	Model     string `json:"model"`
	Worker    string `json:"worker_id"`
	Attempt   int    `json:"attempt"`
	WaitedMS  int64  `json:"waited_ms"`
	RunningMS int64  `json:"running_ms"`
	Content   bool   `json:"content"` // some of its answer is there
}

func (a *Admin) showQueue(w http.ResponseWriter, r *http.Request) error {
	looks, err := a.cfg.Owner.Look(r.Context())
	if err != nil {
		return onWorker(err)
	}
	pools := poolsOf(a.cfg.Owner.Workers())
	v := queueView{Nodes: []string{}, Pools: pools, Keys: []keyQueue{}, Waiting: []waitingView{}, Running: []runningView{}}
	for _, l := range looks {
		v.add(l)
	}
	slices.SortStableFunc(v.Keys, func(a, b keyQueue) int { return b.Waiting - a.Waiting })
	return writeJSON(w, http.StatusOK, v)
}

func (v *queueView) add(l queue.Look) {
	v.Nodes = append(v.Nodes, l.Node)
	for _, k := range l.Keys {
		v.Keys = append(v.Keys, keyQueue{l.Node, k.Pool, k.KeyID, k.Waiting, k.Running})
	}
	for _, j := range l.Waiting {
		v.Waiting = append(v.Waiting, waitingView{
			Node: l.Node, Request: j.Request, KeyID: j.KeyID, Pool: j.Pool, Model: j.Model, WaitedMS: j.Waited.Milliseconds(),
			GivenUpMS: j.Left.Milliseconds(), Attempts: j.Attempts, Position: j.Position, EstimateMS: j.Estimate.Milliseconds(),
			Reason: reasonOf(j, poolIn(v.Pools, j.Pool)),
		})
	}
	for _, j := range l.Running {
		v.Running = append(v.Running, runningView{
			Node: l.Node, Request: j.Request, KeyID: j.KeyID, Pool: j.Pool, Model: j.Model, Worker: j.Worker,
			Attempt: j.Attempt, WaitedMS: j.Waited.Milliseconds(), RunningMS: j.Running.Milliseconds(), Content: j.Content,
		})
	}
}

// workerQueue is what waits that a worker may run, at all API nodes that answer.
type workerQueue struct {
	Waiting int `json:"waiting"` // in its pools
	Sticky  int `json:"sticky"`  // of those, for this worker alone: it holds their conversation
}

func queueOf(w queue.WorkerInfo, looks []queue.Look) (q workerQueue) {
	for _, l := range looks {
		for _, k := range l.Keys {
			if slices.Contains(w.Pools, k.Pool) {
				q.Waiting += k.Waiting
			}
		}
		for _, j := range l.Waiting {
			if j.Place == queue.PlaceWorker && j.Worker == w.ID {
				q.Sticky++
			}
		}
	}
	return q
}

// poolsOf sums the roster up, by pool.
func poolsOf(workers []queue.WorkerInfo) []poolView {
	pools := []poolView{}
	for _, info := range workers {
		state, _ := roster.Of(info).State()
		for _, name := range info.Pools {
			i := slices.IndexFunc(pools, func(p poolView) bool { return p.Pool == name })
			if i < 0 {
				i, pools = len(pools), append(pools, poolView{Pool: name})
			}
			p := &pools[i]
			p.Workers++
			if state == roster.OK {
				p.Serving++
				p.Slots += info.Slots
				p.Busy += info.Busy
			}
		}
	}
	return pools
}

func poolIn(pools []poolView, name string) poolView {
	if i := slices.IndexFunc(pools, func(p poolView) bool { return p.Pool == name }); i >= 0 {
		return pools[i]
	}
	return poolView{Pool: name}
}

// reasonOf says why a job waits, from what concerns it alone to what concerns its pool.
func reasonOf(j queue.WaitingJob, pool poolView) string {
	switch {
	case j.Place == queue.PlacePause && j.Attempts > 0:
		return fmt.Sprintf("attempt %d failed; the next begins in %s", j.Attempts, brief(j.Until))
	case j.Place == queue.PlacePause:
		return fmt.Sprintf("the broker did not take its ticket; it is given it again in %s", brief(j.Until))
	case j.Place == queue.PlaceWorker:
		return fmt.Sprintf("worker %s holds its conversation; it is waited for %s more, then any worker will do", j.Worker, brief(j.Until))
	case pool.Workers == 0:
		return "no worker of pool " + pool.Pool + " is connected"
	case pool.Serving == 0:
		return fmt.Sprintf("none of the %d workers of pool %s takes requests: see GET /admin/workers", pool.Workers, pool.Pool)
	case j.Place == queue.PlaceLine && pool.Busy >= pool.Slots:
		return fmt.Sprintf("all %d slots of pool %s are taken, and other requests of its key are before it; keys take turns", pool.Slots, pool.Pool)
	case j.Place == queue.PlaceLine:
		return "other requests of its key are before it; keys take turns"
	case pool.Busy < pool.Slots:
		return "a worker is about to take it"
	}
	return fmt.Sprintf("all %d slots of pool %s are taken", pool.Slots, pool.Pool)
}

// brief rounds for people.
func brief(d time.Duration) time.Duration { return max(d, 0).Round(100 * time.Millisecond) }

type sessionView struct {
	Worker   string `json:"worker_id"`
	Process  string `json:"process"`
	KeyID    string `json:"key_id"`
	State    string `json:"state"` // idle or busy
	Messages int    `json:"messages"`
}

// listSessions shows the processes that hold a conversation.
func (a *Admin) listSessions(w http.ResponseWriter, r *http.Request) error {
	skip, limit, err := pageOf(r)
	if err != nil {
		return err
	}
	all := a.cfg.Owner.Sessions()
	from := min(skip, len(all))
	items := []sessionView{}
	for _, s := range all[from : from+min(limit, len(all)-from)] {
		state := "idle"
		if s.Busy {
			state = "busy"
		}
		items = append(items, sessionView{s.Worker, s.Process, s.KeyID, state, s.Messages})
	}
	return writeJSON(w, http.StatusOK, page[sessionView]{items, len(all), skip, limit})
}
