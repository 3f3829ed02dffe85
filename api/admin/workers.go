package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"maxrelay/api/roster"
	"maxrelay/queue"
)

// workerView is all that an administrator is told of a worker.
type workerView struct {
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	State      roster.State    `json:"state"`
	Reason     string          `json:"reason,omitempty"` // why the state is no better
	Pools      []string        `json:"pools"`
	Slots      int             `json:"slots"`
	Busy       int             `json:"busy"`
	Sessions   roster.Sessions `json:"sessions"`
	Queue      workerQueue     `json:"queue"`
	Version    string          `json:"version"`
	CLIVersion string          `json:"cli_version"`
	Models     []string        `json:"models"`
	Account    accountView     `json:"account"`
	LastSeen   time.Time       `json:"last_seen_at"`
}

type accountView struct {
	Kind   string         `json:"kind"`
	Used   float64        `json:"used"` // of its fullest window; 1 is all of it
	Limits []roster.Limit `json:"limits"`
}

func viewOfWorker(w roster.Worker, looks []queue.Look) workerView {
	state, reason := w.State()
	v := workerView{
		ID: w.ID, Name: w.Name, State: state, Reason: reason, Pools: list(w.Pools), Slots: w.Slots, Busy: w.Busy,
		Sessions: w.Told.Sessions, Queue: queueOf(w.WorkerInfo, looks), Version: w.Version, CLIVersion: w.Told.CLIVersion, Models: list(w.Told.Models),
		Account: accountView{Kind: w.Told.Account, Used: w.Use, Limits: w.Told.Limits}, LastSeen: w.Seen.UTC(),
	}
	if v.Account.Limits == nil {
		v.Account.Limits = []roster.Limit{}
	}
	return v
}

func (a *Admin) listWorkers(w http.ResponseWriter, r *http.Request) error {
	looks, err := a.cfg.Owner.Look(r.Context())
	if err != nil {
		return onWorker(err)
	}
	views := []workerView{}
	for _, worker := range a.cfg.Owner.Workers() {
		views = append(views, viewOfWorker(roster.Of(worker), looks))
	}
	return writeJSON(w, http.StatusOK, map[string]any{"workers": views, "members": a.memberViews()})
}

func (a *Admin) drainWorker(w http.ResponseWriter, r *http.Request) error {
	return a.order(w, r, "drain", a.cfg.Owner.Drain, "the worker takes no more requests; what it runs goes on")
}

func (a *Admin) resumeWorker(w http.ResponseWriter, r *http.Request) error {
	return a.order(w, r, "resume", a.cfg.Owner.Resume, "the worker takes requests again")
}

// order tells a worker what the action's name says.
func (a *Admin) order(w http.ResponseWriter, r *http.Request, action string, tell func(context.Context, string) error, message string) error {
	id := idOf(r)
	if _, known := a.worker(id); !known {
		return queue.ErrUnknownWorker
	}
	err := a.noted(w, r, Event{Action: action, WorkerID: id}, func(ctx context.Context) error { return onWorker(tell(ctx, id)) })
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, said{message})
}

// onWorker marks an error of a worker that does not answer. It is the broker's, or of
// the way to it, as far as can be told here.
func onWorker(err error) error {
	if err == nil || errors.Is(err, queue.ErrUnknownWorker) {
		return err
	}
	return fmt.Errorf("%w: %w", errBroker, err)
}

func (a *Admin) worker(id string) (queue.WorkerInfo, bool) {
	for _, w := range a.cfg.Owner.Workers() {
		if w.ID == id {
			return w, true
		}
	}
	return queue.WorkerInfo{}, false
}
