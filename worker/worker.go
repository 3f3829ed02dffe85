// Package worker takes jobs from the queue, runs them in the session pool and sends their events back.
package worker

import (
	"context"
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
	ID      string         // of queue.NewWorkerID; one is made of the name
	Joined  bool           // the connection is that of a worker that has joined under ID
	Version string         // of this program
	Pools   []string       // pools it serves; default "default"
	Slots   int            // turns at a time; default Session.MaxSessions
	Session session.Config // Changed is the worker's own

	// Recheck is how often a worker looks whether its CLI is signed in, when it was not, or
	// when the upstream did not take its account; default 30 s.
	Recheck time.Duration
}

// Worker runs turns until it is drained.
type Worker struct {
	log     zerolog.Logger
	queue   *queue.Worker
	pool    *session.Pool
	ready   chan struct{} // closed when queue and pool are set
	cli     atomic.Pointer[session.Identity]
	account *account
	telling sync.Mutex    // held by tellAccount, so that what is told last is what was known last
	told    chan struct{} // wakes watch; one pending wake is enough
	suspect atomic.Bool   // the upstream did not take the account

	stop     context.CancelFunc
	watching sync.WaitGroup // the goroutines of watch and sayWhenThere
}

// Open checks the CLI, joins the queue over nc and takes jobs, as soon as the broker is
// reached. The connection stays the caller's to close, after Close.
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
	w := &Worker{log: log, ready: make(chan struct{}), told: make(chan struct{}, 1), account: newAccount(identity.Account)}
	w.cli.Store(&identity)
	if cfg.Slots == 0 {
		cfg.Slots = cfg.Session.MaxSessions
	}
	w.queue, err = queue.NewWorker(ctx, nc, queue.WorkerConfig{
		Name: cfg.Name, ID: cfg.ID, Joined: cfg.Joined, Version: cfg.Version, Pools: cfg.Pools, Slots: cfg.Slots,
		Info: w.info, Resumed: w.resumed,
	}, w.run, log)
	if err != nil {
		return nil, fmt.Errorf("join the queue: %w", err)
	}
	cfg.Session.Changed, cfg.Session.Limits = w.publish, w.hear
	if w.pool, err = session.Open(cfg.Session, log); err != nil {
		w.queue.Close()
		return nil, err
	}
	close(w.ready)
	watch, stop := context.WithCancel(context.Background())
	w.stop = stop
	w.meet(identity)
	w.watching.Go(func() { w.watch(watch, cfg) })
	there := make(chan struct{})
	w.watching.Go(func() {
		defer close(there)
		w.sayWhenThere(watch, identity, cfg)
	})
	if nc.IsConnected() {
		select {
		case <-there:
		case <-ctx.Done():
		}
	}
	return w, nil
}

// sayWhenThere tells that the worker takes jobs, which it does not while nobody knows it.
func (w *Worker) sayWhenThere(ctx context.Context, identity session.Identity, cfg Config) {
	select {
	case <-w.queue.Announced():
		w.log.Info().Str("worker", w.queue.ID()).Str("cli", identity.Version).Str("account", string(identity.Account)).
			Int("slots", cfg.Slots).Strs("pools", cfg.Pools).Msg("worker takes jobs")
	case <-ctx.Done():
	}
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

// meet takes note of who the CLI says it is.
func (w *Worker) meet(id session.Identity) {
	w.cli.Store(&id)
	w.account.signIn(id.Account)
	if !id.Account.SignedIn() {
		w.log.Warn().Msg("the claude CLI is not signed in: run `claude` on this machine and log in")
	}
	w.tellAccount()
}

// resumed forgets the account's rests: an administrator knows better.
func (w *Worker) resumed() {
	<-w.ready
	w.account.wake()
	w.tellAccount()
}

// hear takes what a CLI says of its account's limits.
func (w *Worker) hear(l session.Limits) {
	if until, news := w.account.hear(l, time.Now()); news {
		w.log.Warn().Str("window", l.Reached.Window).Str("models", l.Reached.Family).Time("until", until).Msg("the account is at its usage limit and rests")
	}
	w.tellAccount()
}

// tellAccount tells the queue how the account stands.
func (w *Worker) tellAccount() {
	w.telling.Lock()
	defer w.telling.Unlock()
	w.queue.SetAccount(w.account.standing(time.Now()))
	select {
	case w.told <- struct{}{}:
	default:
	}
}

// watch tells the queue what changes by time alone: rests end and windows reset. It
// looks, too, whether the operator has signed in, or out.
func (w *Worker) watch(ctx context.Context, cfg Config) {
	if cfg.Recheck == 0 {
		cfg.Recheck = 30 * time.Second
	}
	recheck := time.NewTicker(cfg.Recheck)
	defer recheck.Stop()
	change := time.NewTimer(0)
	defer change.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.told:
			change.Reset(w.account.changesIn(time.Now()))
		case <-change.C:
			w.tellAccount()
		case <-recheck.C:
			if out := w.account.signedOut(); out || w.suspect.Swap(false) {
				w.look(ctx, cfg, out)
			}
		}
	}
}

func (w *Worker) look(ctx context.Context, cfg Config, wasOut bool) {
	id, err := session.Probe(ctx, cfg.Session)
	if err != nil || wasOut && !id.Account.SignedIn() {
		return // nothing new
	}
	w.meet(id)
	if wasOut {
		w.log.Info().Str("account", string(id.Account)).Msg("the claude CLI is signed in")
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
	w.queue.Hold(ref, h.Key, keys, h.Busy)
}

// run plays one claimed job. It returns when the process is free again.
func (w *Worker) run(ctx context.Context, t *queue.Task) {
	<-w.ready
	req, err := chat.DecodeRequest(t.Body)
	if err != nil || req.Tenant.Key != t.KeyID || req.Tenant.Pool != t.Pool {
		w.log.Error().Err(err).Str("job", t.Job).Msg("a job's body is not a request of its key and pool")
		t.End(w.end(chat.Outcome{Error: &chat.Error{Code: chat.CodeInternal, Message: "the job could not be read"}}))
		return
	}
	ctx, cancel := context.WithDeadline(ctx, t.Deadline)
	defer cancel()
	out := w.pool.Turn(ctx, req, func(e chat.Event) { w.send(t, e) })
	if out.Error != nil {
		w.log.Debug().Str("job", t.Job).Str("code", string(out.Error.Code.Told())).AnErr("cause", context.Cause(ctx)).Msg("turn failed")
		if out.Error.Code == chat.CodeAccount {
			w.suspect.Store(true)
			w.account.refused(time.Now())
			w.tellAccount()
		}
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
