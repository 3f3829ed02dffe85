package daybook

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"maxrelay/session/chat"
	"maxrelay/stats"
	"maxrelay/stats/projection"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hangGuard ends a test that waits for something that never comes.
const hangGuard = 60 * time.Second

// desk is a node's projection on a broker of its own, and where the file is to be.
type desk struct {
	t        testing.TB
	recorder *stats.Recorder
	nc       *nats.Conn
	of       *projection.Projection
	folder   string // of the projection
	path     string
}

func newDesk(t testing.TB) *desk {
	srv, err := server.NewServer(&server.Options{JetStream: true, StoreDir: t.TempDir(), DontListen: true, NoSigs: true, NoLog: true})
	must(t, err)
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("the broker does not start")
	}
	d := &desk{t: t, folder: t.TempDir(), path: filepath.Join(t.TempDir(), "log", "stats.json")}
	d.nc, err = nats.Connect("", nats.InProcessServer(srv))
	must(t, err)
	t.Cleanup(d.nc.Close)
	d.recorder, err = stats.OpenRecorder(t.Context(), d.nc, stats.RecorderConfig{}, zerolog.Nop())
	must(t, err)
	d.project()
	return d
}

// project opens a projection, which is made anew if its folder is empty.
func (d *desk) project() {
	d.t.Helper()
	var err error
	d.of, err = projection.Open(d.folder, d.nc, zerolog.Nop())
	must(d.t, err)
	d.t.Cleanup(d.of.Close)
	must(d.t, d.of.Ready(d.within()))
}

func (d *desk) within() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), hangGuard)
	d.t.Cleanup(cancel)
	return ctx
}

// record records events and waits until the projection has them.
func (d *desk) record(events ...stats.Event) {
	d.t.Helper()
	before := d.requests()
	for _, e := range events {
		must(d.t, d.recorder.Record(d.within(), e))
	}
	ctx := d.within()
	for {
		changed := d.of.Changed()
		if d.requests() == before+int64(len(events)) {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			d.t.Fatal("the projection does not get on")
		}
	}
}

func (d *desk) requests() (n int64) {
	d.t.Helper()
	days, err := d.of.Days()
	must(d.t, err)
	for _, day := range days {
		n += day.Requests
	}
	return n
}

func (d *desk) open(cfg Config) *Daybook {
	d.t.Helper()
	cfg.Path = d.path
	book, err := Open(cfg, d.of, zerolog.New(zerolog.NewTestWriter(d.t)))
	must(d.t, err)
	d.t.Cleanup(book.Close)
	return book
}

// awaits waits until the file is as it should be.
func (d *desk) awaits(what string, is func(file) bool) file {
	d.t.Helper()
	ctx := d.within()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(d.path); err == nil {
			if f := d.read(); is(f) {
				return f
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			d.t.Fatalf("never so: %s", what)
		}
	}
}

// file is what a reader of the file sees.
type file struct {
	Total  summary    `json:"total"`
	Cache  cacheStats `json:"cache_stats"`
	Months map[string]struct {
		Summary summary `json:"summary"`
		Days    map[string]struct {
			Summary  summary   `json:"summary"`
			Requests []request `json:"requests"`
		} `json:"days"`
	} `json:"months"`
}

func (d *desk) read() (f file) {
	d.t.Helper()
	data, err := os.ReadFile(d.path)
	must(d.t, err)
	if err := json.Unmarshal(data, &f); err != nil {
		d.t.Fatalf("%v in %q", err, data)
	}
	return f
}

// firstMessages are those of all requests in the file.
func (f file) firstMessages() map[string]string {
	all := make(map[string]string)
	for _, m := range f.Months {
		for _, day := range m.Days {
			for _, r := range day.Requests {
				all[r.ID] = r.FirstMessage
			}
		}
	}
	return all
}

var noon = time.Date(2026, 2, 24, 12, 0, 0, 0, time.UTC)

func event(id string, at time.Time) stats.Event {
	return stats.Event{
		ID: id, Time: at, KeyID: "k", Method: "POST", Path: "/v1/chat/completions", Model: "claude-opus-4", Status: 200, DurationMS: 1500,
		Usage: chat.Usage{InputTokens: 10, OutputTokens: 20, CacheReadTokens: 30, CacheWriteTokens: 40},
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// forget makes the projection's folder as if it had never been.
func (d *desk) forget() {
	d.of.Close()
	must(d.t, os.RemoveAll(d.folder))
	must(d.t, os.Mkdir(d.folder, 0o700))
}
