// Package worker takes jobs from the queue, runs them in the session pool and sends their events back.
package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"maxrelay/queue"
	"maxrelay/session"
	"maxrelay/session/chat"
)

// Config says who the worker is and how it runs its CLI.
type Config struct {
	Name    string         // a label for people; the worker's id adds a suffix of each start
	Pools   []string       // pools it serves; default "default"
	Slots   int            // turns at a time; default Session.MaxSessions
	Session session.Config // Changed is the worker's own

	// Recheck is how often a worker whose CLI is not signed in looks again; default 30 s.
	Recheck time.Duration
}

// Info is what a worker says of itself in the roster, for health and model lists.
type Info struct {
	CLIVersion string   `json:"cli_version"`
	Models     []string `json:"models"`
	SignedIn   bool     `json:"signed_in"`
	Reason     string   `json:"reason,omitempty"` // why it cannot serve, for an operator
}

// Worker runs turns until it is drained.
type Worker struct {
	log   zerolog.Logger
	queue *queue.Worker
	pool  *session.Pool
	ready chan struct{} // closed when queue and pool are set
	info  atomic.Pointer[json.RawMessage]

	stop     context.CancelFunc
	watching sync.WaitGroup // the goroutine of recheck
}

// Open checks the CLI, joins the queue over nc and takes jobs. The connection stays
// the caller's to close, after Close.
func Open(ctx context.Context, nc *nats.Conn, cfg Config, log zerolog.Logger) (*Worker, error) {
	identity, err := session.Probe(ctx, cfg.Session)
	if err != nil {
		return nil, err
	}
	if vet := cfg.Session.Vet; vet != nil { // before any caller's text can get here
		if err := vet(ctx, identity.Version); err != nil {
			return nil, err
		}
	}
	w := &Worker{log: log, ready: make(chan struct{})}
	w.describe(identity)
	if cfg.Slots == 0 {
		cfg.Slots = cfg.Session.MaxSessions
	}
	w.queue, err = queue.NewWorker(ctx, nc, queue.WorkerConfig{
		Name: cfg.Name, Pools: cfg.Pools, Slots: cfg.Slots,
		Info: func() json.RawMessage { return *w.info.Load() },
	}, w.run, log)
	if err != nil {
		return nil, fmt.Errorf("join the queue: %w", err)
	}
	cfg.Session.Changed = w.publish
	if w.pool, err = session.Open(cfg.Session, log); err != nil {
		w.queue.Close()
		return nil, err
	}
	close(w.ready)
	watch, stop := context.WithCancel(context.Background())
	w.stop = stop
	if !identity.SignedIn {
		w.watching.Go(func() { w.recheck(watch, cfg) })
	}
	log.Info().Str("worker", w.queue.ID()).Str("cli", identity.Version).Bool("signed_in", identity.SignedIn).
		Int("slots", cfg.Slots).Strs("pools", cfg.Pools).Msg("worker takes jobs")
	return w, nil
}

// ID is the worker's id in the roster.
func (w *Worker) ID() string { return w.queue.ID() }

// Stats counts the CLI processes.
func (w *Worker) Stats() session.Stats { return w.pool.Stats() }

// Metrics tells of the CLI processes and their turns.
func (w *Worker) Metrics() prometheus.Collector { return session.Collector{Pool: w.pool} }

// Drain takes no more jobs and waits for the running turns until ctx ends.
func (w *Worker) Drain(ctx context.Context) error { return w.queue.Drain(ctx) }

// Close interrupts what still runs, leaves the queue and ends all processes.
func (w *Worker) Close() {
	w.stop()
	w.watching.Wait()
	w.queue.Close()
	w.pool.Close()
}

func (w *Worker) describe(id session.Identity) {
	info := Info{CLIVersion: id.Version, Models: id.Models, SignedIn: id.SignedIn}
	if !id.SignedIn {
		info.Reason = "the claude CLI is not signed in"
		w.log.Warn().Msg("the claude CLI is not signed in: run `claude` on this machine and log in")
	}
	raw, err := json.Marshal(info)
	if err != nil {
		raw = []byte("{}") // strings and a bool always encode
	}
	w.info.Store((*json.RawMessage)(&raw))
}

// recheck looks until the operator has signed in.
func (w *Worker) recheck(ctx context.Context, cfg Config) {
	if cfg.Recheck == 0 {
		cfg.Recheck = 30 * time.Second
	}
	tick := time.NewTicker(cfg.Recheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if id, err := session.Probe(ctx, cfg.Session); err == nil && id.SignedIn {
			w.describe(id)
			w.log.Info().Msg("the claude CLI is signed in")
			return
		}
	}
}

// publish tells the directory what a process holds. It never blocks.
func (w *Worker) publish(h session.Holding) {
	ref := queue.HoldingID(h.Process)
	if h.Gone {
		w.queue.Drop(ref)
		return
	}
	keys := make([]queue.Key, len(h.Chain))
	for i, f := range h.Chain {
		keys[i] = queue.Key(f)
	}
	w.queue.Hold(ref, keys, h.Busy)
}

// run plays one claimed job. It returns when the process is free again.
func (w *Worker) run(ctx context.Context, t *queue.Task) {
	<-w.ready
	req, err := chat.DecodeRequest(t.Body)
	if err != nil || req.Tenant.Key != t.KeyID {
		w.log.Error().Err(err).Str("job", t.Job).Msg("a job's body is not a request of its key")
		t.End(w.end(chat.Outcome{Error: &chat.Error{Code: chat.CodeInternal, Message: "the job could not be read"}}))
		return
	}
	ctx, cancel := context.WithDeadline(ctx, t.Deadline)
	defer cancel()
	out := w.pool.Turn(ctx, req, func(e chat.Event) { w.send(t, e) })
	if out.Error != nil {
		w.log.Debug().Str("job", t.Job).Str("code", string(out.Error.Code)).AnErr("cause", context.Cause(ctx)).Msg("turn failed")
	}
	t.End(w.end(out))
}

func (w *Worker) send(t *queue.Task, e chat.Event) {
	payload, err := chat.EncodeEvent(e)
	if err != nil {
		w.log.Error().Err(err).Str("job", t.Job).Msg("an event does not encode")
		return
	}
	t.Send(payload, e.Visible())
}

func (w *Worker) end(out chat.Outcome) queue.End {
	data, err := chat.EncodeOutcome(out)
	if err != nil {
		w.log.Error().Err(err).Msg("an outcome does not encode")
	}
	e := queue.End{OK: out.Error == nil, Data: data}
	if out.Error != nil {
		e.Retry, e.RetryAfter = retry[out.Error.Code], out.Error.RetryAfter
	}
	return e
}

// retry says which failures another attempt may heal: elsewhere, where this worker's
// account is the trouble; anew, where its process was; later, where the upstream is. A
// code that is not here fails the job: the request is wrong, or it is the client's to
// wait for, as with a plain rate limit.
var retry = map[chat.Code]queue.RetryKind{
	chat.CodeWorkerFailed: queue.RetryAnew,
	chat.CodeAccount:      queue.RetryElsewhere, // also for want of credit: another account may have it
	chat.CodeUsageLimit:   queue.RetryElsewhere,
	chat.CodeUpstream:     queue.RetryLater,
	chat.CodeOverloaded:   queue.RetryLater,
	chat.CodeQueueFull:    queue.RetryLater, // no process came free
}
