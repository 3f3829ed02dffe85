package stats

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// comingAndGoing is a broker that can be away for a while.
type comingAndGoing struct {
	t    *testing.T
	opts server.Options
	srv  *server.Server
	nc   *nats.Conn
}

func startBroker(t *testing.T) *comingAndGoing {
	b := &comingAndGoing{t: t, opts: server.Options{JetStream: true, StoreDir: t.TempDir(), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true}}
	b.come()
	nc, err := nats.Connect(b.srv.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	b.nc = nc
	t.Cleanup(func() { nc.Close(); b.goAway() })
	return b
}

func (b *comingAndGoing) come() {
	b.t.Helper()
	srv, err := server.NewServer(&b.opts)
	if err != nil {
		b.t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(20 * time.Second) {
		b.t.Fatal("the broker does not start")
	}
	b.srv = srv
}

func (b *comingAndGoing) goAway() {
	b.srv.Shutdown()
	b.srv.WaitForShutdown()
}

// soon is the context of a request that cannot wait long.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestEventsWaitForABrokerThatIsAway(t *testing.T) {
	b := startBroker(t)
	r := open(t, b.nc, RecorderConfig{AckWait: 200 * time.Millisecond})
	b.goAway()
	for i := range 20 {
		if err := r.Record(soon(t), Event{ID: fmt.Sprint("req_", i), KeyID: "local", Model: "m"}); err != nil {
			t.Fatal(err)
		}
	}
	if !r.Ailing() {
		t.Error("nothing is said of it")
	}
	b.come()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r.Close(ctx)
	got := events(t, b.nc)
	ids := make(map[string]bool)
	for _, e := range got {
		ids[e.ID] = true
	}
	if len(got) != 20 || len(ids) != 20 || r.Ailing() {
		t.Errorf("recorded %+v; ailing %v", got, r.Ailing())
	}
}

func TestAnEventWithoutASlotIsLate(t *testing.T) {
	_, nc := connect(t)
	r := open(t, nc, RecorderConfig{Outstanding: 1})
	r.slots <- struct{}{}
	if err := r.Record(soon(t), Event{ID: "req_1"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r.Close(ctx)
	if got := events(t, nc); len(got) != 1 {
		t.Errorf("%d events, want 1", len(got))
	}
}

func TestLateEventsAreLostAtTheEndAndSaid(t *testing.T) {
	b := startBroker(t)
	var log bytes.Buffer
	r, err := OpenRecorder(t.Context(), b.nc, RecorderConfig{AckWait: 50 * time.Millisecond}, zerolog.New(zerolog.SyncWriter(&log)))
	if err != nil {
		t.Fatal(err)
	}
	b.goAway()
	if err := r.Record(soon(t), Event{ID: "req_1"}); err != nil {
		t.Fatal(err)
	}
	r.Close(soon(t))
	if !strings.Contains(log.String(), `"event":{"id":"req_1"`) {
		t.Errorf("the log does not have it:\n%s", &log)
	}
	if err := r.Record(soon(t), Event{ID: "req_2"}); err == nil {
		t.Error("an event after the end is accepted")
	}
}

func TestLateEventsAreBounded(t *testing.T) {
	_, nc := connect(t)
	r, err := OpenRecorder(t.Context(), nc, RecorderConfig{Outstanding: 1}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	r.slots <- struct{}{}
	for i := range maxLate {
		if !r.late.keep(lateEvent{}, func(lateEvent) {}) {
			t.Fatalf("no room for %d events", i)
		}
	}
	if err := r.Record(soon(t), Event{ID: "one too many"}); err == nil {
		t.Error("there is no bound")
	}
	r.Close(soon(t))
}

// The broker forgets ids after some minutes, and an ack may have been lost.
func TestAnOldEventIsLookedUpBeforeItIsSentAgain(t *testing.T) {
	_, nc := connect(t)
	r := open(t, nc, RecorderConfig{})
	cfg := streamConfig(r.cfg)
	cfg.Duplicates = 100 * time.Millisecond
	if _, err := r.js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	e := Event{ID: "req_1", KeyID: "local", Model: "m"}
	if err := r.Record(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	forgotten := func() bool {
		ack, err := r.js.Publish(t.Context(), subject("local", "m"), []byte(`{"id":"req_1"}`), jetstream.WithMsgID("req_1"))
		return err == nil && !ack.Duplicate
	}
	for !forgotten() {
	}
	before := len(events(t, nc))
	if err := r.repeat(lateEvent{e, nil, time.Now().Add(-duplicateWindow)}); err != nil {
		t.Fatal(err)
	}
	if n := len(events(t, nc)); n != before {
		t.Errorf("%d events, want %d", n, before)
	}
}
