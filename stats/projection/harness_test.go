package projection

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"maxrelay/session/chat"
	"maxrelay/stats"
	"maxrelay/stats/totals"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(nodeDir); dir != "" {
		runNode(dir)
	}
	// A check opens many files, each slow under the race detector. The command line has the last word.
	_ = flag.Set("rapid.checks", "25")
	goleak.VerifyTestMain(m)
}

// hangGuard ends a test that waits for something that never comes.
const hangGuard = 60 * time.Second

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), hangGuard)
	t.Cleanup(cancel)
	return ctx
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// broker is a server in this process whose store outlives it.
type broker struct {
	*server.Server
	nc *nats.Conn
}

func startBroker(t testing.TB, store string) broker {
	t.Helper()
	return restartBroker(t, store, server.RANDOM_PORT)
}

func restartBroker(t testing.TB, store string, port int) broker {
	t.Helper()
	srv, err := server.NewServer(&server.Options{JetStream: true, StoreDir: store, Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true})
	must(t, err)
	srv.Start()
	if !srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("the broker does not start")
	}
	nc, err := nats.Connect(srv.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	must(t, err)
	b := broker{srv, nc}
	t.Cleanup(b.stop)
	b.openRecord(t)
	return b
}

func (b broker) stop() {
	b.nc.Close()
	b.Shutdown()
	b.WaitForShutdown()
}

func (b broker) openRecord(t testing.TB) {
	t.Helper()
	_, err := stats.OpenRecorder(within(t), b.nc, stats.RecorderConfig{}, zerolog.Nop())
	must(t, err)
}

// record adds events as they come, without the ids that let the broker drop duplicates.
// That the last one is kept says that all are: they are of one connection.
func (b broker) record(t testing.TB, events ...stats.Event) {
	t.Helper()
	for i, e := range events {
		data, err := json.Marshal(e)
		must(t, err)
		if i < len(events)-1 {
			must(t, b.nc.Publish("usage.ev.k.m", data))
			continue
		}
		_, err = b.nc.RequestWithContext(within(t), "usage.ev.k.m", data)
		must(t, err)
	}
}

// extent is how far the record goes.
func (b broker) extent(t testing.TB) stats.Extent {
	t.Helper()
	r, err := stats.NewReader(b.nc, 1, zerolog.Nop())
	must(t, err)
	extent, err := r.Extent(within(t))
	must(t, err)
	return extent
}

func open(t testing.TB, dir string, nc *nats.Conn) *Projection {
	t.Helper()
	p, err := Open(dir, nc, zerolog.New(zerolog.NewTestWriter(t)))
	must(t, err)
	t.Cleanup(p.Close)
	return p
}

// caughtUp waits until the projection has read up to a place.
func (p *Projection) caughtUpTo(t testing.TB, upto uint64) {
	t.Helper()
	ctx := within(t)
	for {
		changed := p.Changed()
		var at uint64
		err := p.ask(func(b *book) error { return b.log.db.QueryRow("SELECT upto FROM place").Scan(&at) })
		if err == nil && at >= upto {
			return
		}
		if err != nil && !errors.Is(err, ErrNotReady) {
			t.Fatal(err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("at %d of %d: %v", at, upto, err)
		}
	}
}

var noon = time.Date(2026, 2, 24, 12, 0, 0, 0, time.UTC)

// event is the i-th of a test.
func event(i int) stats.Event {
	return stats.Event{
		ID: fmt.Sprintf("req_%05d", i), Time: noon.Add(time.Duration(i) * time.Minute), KeyID: fmt.Sprintf("k_%d", i%3), Method: "POST", Path: "/v1/chat/completions",
		Model: []string{"opus", "sonnet"}[i%2], Stream: i%2 == 0, Status: 200, DurationMS: int64(i),
		Usage: chat.Usage{InputTokens: i, OutputTokens: 2 * i, CacheReadTokens: 3 * (i % 2), CacheWriteTokens: 1}, RequestBytes: 10, ResponseBytes: 20,
	}
}

func events(from, to int) (all []stats.Event) {
	for i := from; i < to; i++ {
		all = append(all, event(i))
	}
	return all
}

// sums are what totals are to be: each event once, by its id.
type sums map[totals.Cell]totals.Sum

func sumsOf(events []stats.Event) sums {
	all, seen := sums{}, map[string]bool{}
	for _, e := range events {
		if !seen[e.ID] {
			c := totals.Cell{Day: totals.DayOf(e.Time), Key: e.KeyID, Model: e.Model, Code: e.ErrorCode}
			all[c] = all[c].Plus(totals.Of(e))
		}
		seen[e.ID] = true
	}
	return all
}

func (b *book) sums() sums {
	all := sums{}
	for c, s := range b.totals.OfAll(totals.Earliest, totals.Latest) {
		all[c] = s
	}
	return all
}

func (p *Projection) mustHave(t testing.TB, want []stats.Event) {
	t.Helper()
	var got sums
	err := p.ask(func(b *book) error {
		got = b.sums()
		return nil
	})
	must(t, err)
	if want := sumsOf(want); !reflect.DeepEqual(got, want) {
		t.Errorf("totals %v, want %v", got, want)
	}
}

func newBook(t testing.TB) *book {
	t.Helper()
	path := filepath.Join(t.TempDir(), fileName)
	must(t, create(path))
	b, err := openBook(path)
	must(t, err)
	t.Cleanup(func() { must(t, b.close()) })
	must(t, b.begin(stats.Extent{Created: noon, First: 1}))
	return b
}

// batch is events as a reader has them, from a place on.
func batch(from uint64, events ...stats.Event) (b stats.Batch) {
	for i, e := range events {
		b.Last = from + uint64(i)
		b.Events = append(b.Events, stats.Recorded{Event: e, Seq: b.Last})
	}
	return b
}
