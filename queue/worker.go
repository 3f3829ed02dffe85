package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

// WorkerConfig is the configuration of a worker's end of the queue.
type WorkerConfig struct {
	Name    string   // label
	ID      string   // of NewWorkerID; "" makes one of the name
	Version string   // of this program, for the roster
	Pools   []string // whose jobs it takes
	Slots   int      // jobs at once
	Joined  bool     // the connection is of DialMember, under ID

	// Info returns what the roster shows of this worker's CLI and account. It is called for each heartbeat and must
	// not block. May be nil.
	Info func() json.RawMessage

	// Resumed is called when an administrator has the worker take jobs again. It must not block. May be nil.
	Resumed func()

	RingBytes int // sent frames kept per task in case they have to be sent again, default 256 KB
}

func (c WorkerConfig) withDefaults() WorkerConfig {
	setDefault(&c.Name, "worker")
	setDefault(&c.RingBytes, 256<<10)
	return c
}

func (c WorkerConfig) validate() error {
	if c.Slots < 1 {
		return errors.New("worker: at least one slot is needed")
	}
	if len(c.Pools) == 0 || len(c.Pools) > maxPools {
		return fmt.Errorf("worker: between 1 and %d pools are needed", maxPools)
	}
	for _, pool := range c.Pools {
		if !isToken(pool) {
			return fmt.Errorf("worker: pool %q must be made of letters, digits, - and _", pool)
		}
	}
	return nil
}

// Handler runs a task in a goroutine of its own. Its slot is free again when it returns; a task that it has not ended
// by then counts as failed here and goes to another worker.
type Handler func(ctx context.Context, t *Task)

// breakLimit is how long the broker may be out of reach before running turns are interrupted: the owner cannot keep a
// client waiting much longer for a worker that may be dead.
const breakLimit = 2 * time.Second

// Worker takes jobs from the queue.
type Worker struct {
	cfg    WorkerConfig
	id     string
	nc     *nats.Conn
	handle Handler
	log    zerolog.Logger

	status  chan nats.Status
	subs    []*nats.Subscription
	pullers []*puller

	intake  context.Context // ends with Drain
	stop    context.CancelFunc
	ctx     context.Context // ends last
	cancel  context.CancelFunc
	pulling sync.WaitGroup
	running sync.WaitGroup // taken slots and the senders of tasks
	wg      sync.WaitGroup // the rest
	closing sync.Once

	announceNow chan struct{}
	announced   chan struct{} // closed by the first hello
	greeting    sync.Once     // closes it
	back        chan struct{} // holds one token when the connection is a new one
	saying      sync.Mutex    // taken before mu

	mu       sync.Mutex // guards what follows
	busy     int        // slots taken
	draining bool       // for good
	paused   bool       // until it is told to resume
	use      float64    // of the account
	rests    []Rest
	quiet    chan struct{} // closed when draining and no task is left
	tasks    map[*Task]struct{}
	misses   map[string]int  // unanswered signs of life in a row, by node
	closedAt time.Time       // set when Close cancels the tasks
	link     context.Context // ends when the connection is a new one
	relink   context.CancelFunc
	announcements
}

// NewWorker says hello and starts to take jobs. ctx bounds the start. The connection may not be up yet, and stays the
// caller's to close, after Close.
func NewWorker(ctx context.Context, nc *nats.Conn, cfg WorkerConfig, handle Handler, log zerolog.Logger) (*Worker, error) {
	cfg = cfg.withDefaults()
	if err := errors.Join(context.Cause(ctx), cfg.validate()); err != nil {
		return nil, err
	}
	w := &Worker{
		cfg:           cfg,
		id:            cmp.Or(cfg.ID, newID(cfg.Name)),
		nc:            nc,
		handle:        handle,
		announceNow:   make(chan struct{}, 1),
		announced:     make(chan struct{}),
		back:          make(chan struct{}, 1),
		quiet:         make(chan struct{}),
		tasks:         make(map[*Task]struct{}),
		misses:        make(map[string]int),
		announcements: announcements{chains: make(map[HoldingID]*chain), hello: true},
	}
	w.log = log.With().Str("worker", w.id).Logger()
	w.intake, w.stop = context.WithCancel(context.Background())
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.link, w.relink = context.WithCancel(w.ctx)
	if err := w.open(); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

func (w *Worker) open() error {
	if err := w.subscribe(downSubject(w.id, "*"), w.onOrder); err != nil {
		return err
	}
	if err := w.subscribe(downSubject(everyWorker, verbHello), w.onOrder); err != nil {
		return err
	}
	for _, pool := range w.cfg.Pools {
		w.pullers = append(w.pullers, newPuller(w, poolConsumer(pool), true))
	}
	w.pullers = append(w.pullers, newPuller(w, workerConsumer(w.id), false))
	for _, p := range w.pullers {
		if err := p.open(); err != nil {
			return err
		}
		w.pulling.Go(p.run)
	}
	w.status = w.nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	w.wg.Go(w.watchConnection)
	w.wg.Go(w.announce)
	w.wg.Go(w.keepAlive)
	return nil
}

func (w *Worker) subscribe(subject string, handler nats.MsgHandler) error {
	sub, err := w.nc.Subscribe(subject, handler)
	if err != nil {
		return fmt.Errorf("worker: subscribing: %w", err)
	}
	w.subs = append(w.subs, sub)
	return nil
}

// ID is the worker's name with a suffix of this start.
func (w *Worker) ID() string { return w.id }

// Announced is closed once the worker has said hello, which it cannot before the broker is reached.
func (w *Worker) Announced() <-chan struct{} { return w.announced }

// onOrder takes what owners tell this worker.
func (w *Worker) onOrder(m *nats.Msg) {
	_, verb, _ := lastTwo(m.Subject)
	switch verb {
	case verbHello:
		w.sayHello()
		if m.Reply != "" {
			_ = w.respond(m, []byte(w.id)) // an owner that starts counts the answers; without it, it waits longer
		}
	case verbRun:
		w.onRun(m)
	case verbWelcome:
		w.kickPullers()
	case verbDrain, verbResume:
		w.pause(verb == verbDrain)
		_ = w.respond(m, nil) // who asked hears nothing, and looks at the roster
	case verbCancel, verbResend:
		var o order
		if json.Unmarshal(m.Data, &o) == nil {
			w.obey(verb, o)
		}
	}
}

// toBroker is where a message for the broker or an owner's inbox is sent.
func (w *Worker) toBroker(subject string) string {
	if w.cfg.Joined {
		return viaSubject(w.id, subject)
	}
	return subject
}

func (w *Worker) respond(m *nats.Msg, data []byte) error {
	return w.nc.Publish(w.toBroker(m.Reply), data)
}

func (w *Worker) obey(verb string, o order) {
	for _, t := range w.snapshot() {
		if t.Job != o.Job {
			continue
		}
		if verb == verbCancel {
			t.stopUpTo(o.Epoch)
		} else {
			t.sendAgain(o.Epoch, o.From)
		}
	}
}

func (w *Worker) snapshot() []*Task {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]*Task, 0, len(w.tasks))
	for t := range w.tasks {
		all = append(all, t)
	}
	return all
}

// reserve takes a slot for a job of this model.
func (w *Worker) reserve(model string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, rests := w.restLocked(model, time.Now()); rests || w.leavesLocked() || w.busy >= w.cfg.Slots {
		return false
	}
	w.busy++
	w.running.Add(1)
	w.loadChangedLocked(w.busy == w.cfg.Slots)
	return true
}

func (w *Worker) release() {
	w.mu.Lock()
	w.busy--
	w.running.Done()
	w.loadChangedLocked(w.busy == w.cfg.Slots-1 || w.busy == 0 && w.leavesLocked())
	w.mu.Unlock()
	w.kickPullers()
}

func (w *Worker) add(t *Task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tasks[t] = struct{}{}
}

func (w *Worker) remove(t *Task) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.tasks, t)
	w.quietLocked()
}

func (w *Worker) quietLocked() {
	if w.draining && len(w.tasks) == 0 {
		select {
		case <-w.quiet:
		default:
			close(w.quiet)
		}
	}
}

// room returns the free slots, and what is used in tenths, which orders the pulls of several workers. When there are
// none because the worker rests, rest is how long, as far as it is known.
func (w *Worker) room() (free, used int, rest time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	rest, rests := w.restLocked("", time.Now())
	if w.leavesLocked() || rests {
		return 0, 9, rest
	}
	free = w.cfg.Slots - w.busy
	return free, decile(1 - unused(free, w.cfg.Slots, w.use)), 0
}

func decile(share float64) int { return min(9, int(10*share)) }

// watchConnection interrupts running turns when the broker is out of reach for too long, and says hello when it is
// back.
func (w *Worker) watchConnection() {
	limit := time.NewTimer(breakLimit)
	limit.Stop()
	defer limit.Stop()
	broken := false
	for {
		select {
		case <-w.ctx.Done():
			return
		case s, open := <-w.status:
			switch {
			case !open || s == nats.CLOSED:
				w.cancelTasks(ErrDisconnected)
				return
			case s == nats.CONNECTED:
				broken = false
				limit.Stop()
				w.renewLink()
				w.sayHello()
				w.kickPullers()
			case !broken:
				broken = true
				limit.Reset(breakLimit)
			}
		case <-limit.C:
			w.cancelTasks(ErrDisconnected)
		}
	}
}

// renewLink ends the requests whose answers went down with the former connection, and has the owners say which frames
// did.
func (w *Worker) renewLink() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.relink()
	w.link, w.relink = context.WithCancel(w.ctx)
	select {
	case w.back <- struct{}{}:
	default:
	}
}

func (w *Worker) currentLink() context.Context {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.link
}

func (w *Worker) cancelTasks(cause error) {
	for _, t := range w.snapshot() {
		t.cancel(cause)
	}
}

// Drain stops the intake, tells the owners, and waits until every running task has ended or ctx is over.
func (w *Worker) Drain(ctx context.Context) error {
	w.stopIntake()
	select {
	case <-w.quiet:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *Worker) stopIntake() {
	w.mu.Lock()
	w.draining = true
	w.quietLocked()
	w.loadChangedLocked(true)
	w.mu.Unlock()
	w.kickPullers()
}

// lastWords bounds how long Close waits for owners to take the ends of cancelled tasks.
const lastWords = 2 * time.Second

// Close cancels what still runs with ErrStopping, waits for the handlers, and says bye. It may be called again.
func (w *Worker) Close() {
	w.closing.Do(func() {
		w.stopIntake()
		w.stop()
		w.pulling.Wait()
		w.mu.Lock()
		w.closedAt = time.Now()
		w.mu.Unlock()
		w.cancelTasks(ErrStopping)
		w.running.Wait()

		w.cancel()
		if w.status != nil {
			w.nc.RemoveStatusListener(w.status)
		}
		w.wg.Wait()
		for _, sub := range w.subs {
			_ = sub.Unsubscribe() // fails only when the connection is closed, and then it is gone too
		}
		if w.nc.IsConnected() {
			_ = w.nc.Publish(upSubject(w.id, verbBye), nil)
			_ = w.nc.FlushTimeout(time.Second) // without it the owners notice by themselves
		}
	})
}
