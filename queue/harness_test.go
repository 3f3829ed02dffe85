package queue

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"maxrelay/queue/linktest"
)

// hangGuard ends a test that waits for something that never comes.
const hangGuard = 40 * time.Second

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), hangGuard)
	t.Cleanup(cancel)
	return ctx
}

func testLog(t testing.TB) zerolog.Logger {
	if !testing.Verbose() {
		return zerolog.Nop()
	}
	return zerolog.New(zerolog.ConsoleWriter{Out: t.Output(), NoColor: true, TimeFormat: "05.000"}).With().Timestamp().Logger()
}

func startBroker(t testing.TB) *Broker {
	t.Helper()
	dir := t.TempDir()
	b, err := OpenBroker(testContext(t), BrokerConfig{
		Listen: "127.0.0.1:0", StoreDir: filepath.Join(dir, "nats"), TokenFile: filepath.Join(dir, "nats.token"),
	}, testLog(t))
	if err != nil {
		t.Fatalf("OpenBroker: %v", err)
	}
	t.Cleanup(b.Close)
	return b
}

// startOwner makes an owner whose waits suit a busy test machine: nothing in the tests depends on their length.
func startOwner(t testing.TB, b *Broker, cfg OwnerConfig) *Owner {
	t.Helper()
	nc, err := b.Connect(OwnerName)
	if err != nil {
		t.Fatalf("Connect: %v", err)
	}
	t.Cleanup(nc.Close)
	o, err := NewOwner(testContext(t), nc, b.Disconnects(), cfg, testLog(t))
	if err != nil {
		t.Fatalf("NewOwner: %v", err)
	}
	t.Cleanup(func() { o.Close(cancelled()) })
	return o
}

func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// startWorker makes a worker over TCP, as a process of its own would.
func startWorker(t testing.TB, b *Broker, cfg WorkerConfig, handle Handler) *Worker {
	t.Helper()
	return startWorkerAt(t, b, b.ClientURL(), cfg, handle)
}

func startWorkerAt(t testing.TB, b *Broker, url string, cfg WorkerConfig, handle Handler) *Worker {
	t.Helper()
	nc := dialTCP(t, b, url, cfg.Name)
	if cfg.Pools == nil {
		cfg.Pools = []string{"std"}
	}
	if cfg.Slots == 0 {
		cfg.Slots = 4
	}
	w, err := NewWorker(testContext(t), nc, cfg, handle, testLog(t))
	if err != nil {
		t.Fatalf("NewWorker: %v", err)
	}
	t.Cleanup(w.Close)
	return w
}

func dialTCP(t testing.TB, b *Broker, url, name string) *nats.Conn {
	t.Helper()
	nc, err := Dial(url, DialOptions{Name: name, TokenFile: b.cfg.TokenFile, Log: testLog(t)})
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// awaitWorkers waits until the roster satisfies ok.
func awaitRoster(t testing.TB, o *Owner, ok func([]WorkerInfo) bool) {
	t.Helper()
	ctx := testContext(t)
	for {
		o.mu.Lock()
		beats := o.beats
		o.mu.Unlock()
		if ok(o.Workers()) {
			return
		}
		select {
		case <-beats:
		case <-ctx.Done():
			t.Fatalf("the roster stays at %+v", o.Workers())
		}
	}
}

func awaitWorkers(t testing.TB, o *Owner, n int) {
	t.Helper()
	awaitRoster(t, o, func(all []WorkerInfo) bool { return len(all) == n })
}

// eventually waits for a state that nothing announces.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx := testContext(t)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never happened: %s", what)
		}
	}
}

func job(body string) Job {
	return Job{ID: rand.Text(), KeyID: "k_1", Pool: "std", Model: "m", Body: []byte(body)}
}

func submit(t testing.TB, o *Owner, j Job) *Call {
	t.Helper()
	c, err := o.Submit(testContext(t), j)
	if err != nil {
		t.Fatalf("Submit: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

// result is what a reader that keeps the rules of Batch ends up with.
type result struct {
	attempt int
	worker  string
	text    string
	events  int
	end     *End
	err     error // nil after a proper end
}

func read(t testing.TB, c *Call) result {
	t.Helper()
	return readContext(testContext(t), c)
}

func readContext(ctx context.Context, c *Call) result {
	var r result
	var text bytes.Buffer
	for {
		b, err := c.Next(ctx)
		if err != nil {
			r.text = text.String()
			if !errors.Is(err, io.EOF) {
				r.err = err
			}
			return r
		}
		if b.Attempt != r.attempt {
			text.Reset()
			r.events = 0
		}
		r.attempt, r.worker = b.Attempt, b.Worker
		for _, e := range b.Events {
			text.Write(e)
			r.events++
		}
		if b.End != nil {
			r.end = b.End
		}
	}
}

// next returns the next batch, which must come.
func next(t testing.TB, c *Call) Batch {
	t.Helper()
	b, err := c.Next(testContext(t))
	if err != nil {
		t.Fatalf("Next: %v", err)
	}
	return b
}

// nextEvents skips grants until there are events or an end.
func nextEvents(t testing.TB, c *Call) Batch {
	t.Helper()
	for {
		if b := next(t, c); len(b.Events) > 0 || b.End != nil {
			return b
		}
	}
}

func echo(_ context.Context, t *Task) {
	t.Send(t.Body, true)
	t.End(End{OK: true, Data: []byte("usage")})
}

// gated handlers tell that they run and wait for their release.
type gated struct {
	started chan *Task
	release chan struct{}
	causes  chan error
}

func newGated() *gated {
	return &gated{started: make(chan *Task, 100), release: make(chan struct{}), causes: make(chan error, 100)}
}

func (g *gated) handle(ctx context.Context, t *Task) {
	g.started <- t
	select {
	case <-g.release:
		echo(ctx, t)
	case <-ctx.Done():
		g.causes <- context.Cause(ctx)
		t.End(End{Data: []byte("interrupted")})
	}
}

func receive[T any](t testing.TB, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-testContext(t).Done():
		t.Fatalf("never came: %s", what)
		panic("unreachable")
	}
}

// What a network between a worker and the broker can be.
var (
	gone    = linktest.Weather{Cut: true}
	stalled = linktest.Weather{Up: linktest.Held, Down: linktest.Held}
)

// startWorkerBehind starts one whose network the test makes.
func startWorkerBehind(t testing.TB, b *Broker, cfg WorkerConfig, handle Handler) (*Worker, *linktest.Link) {
	t.Helper()
	l := linktest.New(t, b.Addr().String())
	return startWorkerAt(t, b, "nats://"+l.Addr(), cfg, handle), l
}
