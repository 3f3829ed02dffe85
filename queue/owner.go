package queue

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// OwnerConfig is the configuration of an API node's end of the queue. Zero fields take the defaults given here.
type OwnerConfig struct {
	Node string // label of this node, made unique at each start; default "api"

	StickyWait   time.Duration // how long a job waits for the worker that is warm for it, 750 ms
	QueueTimeout time.Duration // how long a job waits to be claimed, 120 s
	WorkerWait   time.Duration // how long it waits while its pool has no worker at all, 5 s

	MaxWaiting       int // jobs waiting or starting, over all keys, 2000
	MaxWaitingPerKey int // of one key and pool, 256
	MaxAttempts      int // granted claims of one job, 3

	MaxBytes int64 // bound of the ticket stream, 16 MB
	Replicas int   // of the ticket stream, 1

	Given func(worker string) (pools []string, joined bool) // what joined workers may serve; none has joined
}

func (c OwnerConfig) withDefaults() OwnerConfig {
	setDefault(&c.Node, "api")
	setDefault(&c.StickyWait, 750*time.Millisecond)
	setDefault(&c.QueueTimeout, 120*time.Second)
	setDefault(&c.WorkerWait, 5*time.Second)
	setDefault(&c.MaxWaiting, 2000)
	setDefault(&c.MaxWaitingPerKey, 256)
	setDefault(&c.MaxAttempts, 3)
	setDefault(&c.MaxBytes, 16<<20)
	setDefault(&c.Replicas, 1)
	if c.Given == nil {
		c.Given = func(string) ([]string, bool) { return nil, false }
	}
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (c OwnerConfig) validate() error {
	if c.StickyWait < 0 || c.QueueTimeout < 0 || c.WorkerWait < 0 {
		return errors.New("owner: a wait is negative")
	}
	if c.MaxWaiting < 0 || c.MaxWaitingPerKey < 0 || c.MaxAttempts < 0 {
		return errors.New("owner: a bound is negative")
	}
	return nil
}

// Owner owns the jobs of one API node: it places their tickets, grants claims, gathers frames and decides what happens
// when an attempt fails.
type Owner struct {
	cfg  OwnerConfig
	node string // unique to this start
	nc   *nats.Conn
	js   jetstream.JetStream
	log  zerolog.Logger
	calm zerolog.Logger // for what anybody can cause at will

	disconnects <-chan Disconnect // nil without an embedded broker
	status      chan nats.Status

	ctx    context.Context // ends with Close
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
	subs   []*nats.Subscription

	consumersNow chan struct{} // wakes tendConsumers

	// mu guards everything below and every Call. It is held for map look-ups and appends only, never for a message to
	// the broker: what has to be sent is started by goLocked. One lock is enough: 20,000 frames a second hold it for
	// less than a hundredth of the time.
	mu       sync.Mutex
	stopping bool // no new jobs
	closed   bool // no new goroutines
	calls    map[string]*Call
	lines    map[lineID]*line
	waiting  int // calls in any waiting phase
	workers  map[string]*remote
	pools    map[string]*pool         // never shrinks; pools are configuration
	holders  map[Key]map[*holding]int // how often each chain has the key: once, from an honest worker
	turn     time.Duration            // moving average from grant to end
	idle     chan struct{}            // closed when stopping and the last call is gone
	recheck  bool                     // the stream may have been lost
	rejoined bool                     // the connection was, and workers may have dropped tickets they could not claim
	cut      time.Time                // when the connection broke, zero while it is there
	silent   bool                     // the broker took no ticket when it was last asked
	created  time.Time                // incarnation of the stream
	tending  func()                   // ends what tendConsumers is at
	beats    chan struct{}            // closed and replaced when the roster changes
}

// NewOwner creates the stream of tickets, subscribes, and asks the workers that are there who they are. ctx bounds the
// start. The connection stays the caller's to close, after Close. disconnects may be nil.
func NewOwner(ctx context.Context, nc *nats.Conn, disconnects <-chan Disconnect, cfg OwnerConfig, log zerolog.Logger) (*Owner, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncTimeout(publishWait), jetstream.WithPublishAsyncMaxPending(8*cfg.MaxWaiting))
	if err != nil {
		return nil, fmt.Errorf("owner: %w", err)
	}
	o := &Owner{
		cfg:          cfg,
		node:         newID(cfg.Node),
		nc:           nc,
		js:           js,
		disconnects:  disconnects,
		consumersNow: make(chan struct{}, 1),
		calls:        make(map[string]*Call),
		lines:        make(map[lineID]*line),
		workers:      make(map[string]*remote),
		pools:        make(map[string]*pool),
		holders:      make(map[Key]map[*holding]int),
		turn:         firstTurnGuess,
		beats:        make(chan struct{}),
		tending:      func() {},
	}
	o.log = log.With().Str("node", o.node).Logger()
	o.calm = calm(o.log)
	o.ctx, o.cancel = context.WithCancelCause(context.Background())
	if err := o.open(ctx); err != nil {
		o.shut(err)
		return nil, err
	}
	return o, nil
}

func (o *Owner) open(ctx context.Context) (err error) {
	if o.created, err = o.ensureStream(ctx); err != nil {
		return err
	}
	if _, err := o.ensureMarks(ctx); err != nil {
		return err
	}
	for subject, handler := range map[string]nats.MsgHandler{
		frameSubject(o.node, "*", "*"):         o.onFrame,
		claimSubject(o.node, "*", "*"):         o.onClaim,
		ownerSubject(o.node, verbBody, "*"):    o.onChunk,
		ownerSubject(o.node, verbAlive, "*"):   o.onAlive,
		ownerSubject(o.node, verbHere, "*"):    o.onHere,
		ownerSubject(everyNode, verbLook, "*"): o.onLook,
		upSubject("*", "*"):                    o.onWorker,
	} {
		if err := o.subscribe(subject, handler); err != nil {
			return err
		}
	}
	o.status = o.nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED)
	o.wg.Go(o.tendConsumers)
	o.wg.Go(o.watch)
	return o.greet(ctx)
}

// What may wait for one of an owner's handlers. Honest workers do not fill it: it is for one that floods. What is dropped
// comes again, for frames and updates are numbered, heartbeats repeated, and all else is asked again without an answer.
const (
	maxUnheard      = 1 << 17
	maxUnheardBytes = 64 << 20
)

// subscribe bounds what the handler has not heard yet.
func (o *Owner) subscribe(subject string, handler nats.MsgHandler) error {
	sub, err := o.nc.Subscribe(subject, handler)
	if err != nil {
		return fmt.Errorf("owner: subscribing: %w", err)
	}
	o.subs = append(o.subs, sub)
	return sub.SetPendingLimits(maxUnheard, maxUnheardBytes)
}

// Submit takes a job and places its first ticket. The call must be closed.
func (o *Owner) Submit(ctx context.Context, job Job) (*Call, error) {
	if err := errors.Join(context.Cause(ctx), job.validate()); err != nil {
		return nil, err
	}
	c := newCall(o, job)
	t, err := o.admit(c)
	if err != nil {
		return nil, err
	}
	if t != nil {
		o.publish(*t)
	}
	return c, nil
}

func (o *Owner) admit(c *Call) (*outgoing, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.refuseLocked(c); err != nil {
		return nil, err
	}
	o.calls[c.job.ID] = c
	c.timer = time.AfterFunc(time.Hour, c.onTimer)
	return o.enterLocked(c, 0), nil
}

func (o *Owner) refuseLocked(c *Call) error {
	left, all := o.allRestLocked(c.job.Pool, c.job.Model, time.Now())
	switch l := o.lines[c.line()]; {
	case o.stopping:
		return ErrStopping
	case o.calls[c.job.ID] != nil:
		return errors.New("job: id is in use")
	case passed(o.noBrokerAtLocked(), time.Now()):
		return ErrNoBroker
	case o.pools[c.job.Pool] == nil:
		return ErrNoWorker
	case all:
		return ErrResting{RetryAfter: left}
	case o.waiting >= o.cfg.MaxWaiting, l != nil && l.waiting >= o.cfg.MaxWaitingPerKey:
		return ErrQueueFull{RetryAfter: o.retryAfterLocked(c.job.Pool)}
	}
	return nil
}

// Close refuses new jobs and waits for the open calls until ctx ends; those that are left fail with ErrStopping.
func (o *Owner) Close(ctx context.Context) {
	o.mu.Lock()
	if !o.stopping {
		o.stopping = true
		o.idle = make(chan struct{})
		o.idleLocked()
	}
	idle := o.idle
	o.mu.Unlock()

	select {
	case <-idle:
	case <-ctx.Done():
	}
	o.shut(ErrStopping)
}

// idleLocked tells Close when the last call is gone.
func (o *Owner) idleLocked() {
	if o.stopping && len(o.calls) == 0 {
		select {
		case <-o.idle:
		default:
			close(o.idle)
		}
	}
}

// shut ends what is left and waits for every goroutine of the owner.
func (o *Owner) shut(cause error) {
	o.mu.Lock()
	for _, c := range o.calls {
		o.finishLocked(c, cause)
	}
	o.stopping, o.closed = true, true
	o.mu.Unlock()

	for _, sub := range o.subs {
		_ = sub.Unsubscribe() // fails only when the connection is closed, and then it is gone too
	}
	if o.status != nil {
		o.nc.RemoveStatusListener(o.status)
	}
	o.cancel(cause)
	o.wg.Wait()
	_ = o.nc.FlushTimeout(time.Second) // the orders to cancel; workers notice without them, only later
}

// goLocked runs fn in a goroutine that Close waits for.
func (o *Owner) goLocked(fn func()) {
	if !o.closed {
		o.wg.Go(fn)
	}
}

// sayLocked publishes without an answer, from a goroutine, because a full connection may block the caller.
func (o *Owner) sayLocked(subject string, message any) {
	o.goLocked(func() {
		if err := o.nc.Publish(subject, encode(message)); err != nil {
			o.log.Debug().Err(err).Str("subject", subject).Msg("not sent")
		}
	})
}
