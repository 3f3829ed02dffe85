package usage

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"maxrelay/api/key"
	"maxrelay/session/chat"
	"maxrelay/stats"
	"maxrelay/stats/daybook"
	"maxrelay/stats/projection"
)

// million is how many events the figures are for: 90 days of 100 keys, the first of which
// made a tenth of the requests.
const (
	million  = 1_000_000
	benchDay = 90
	benchKey = "k_0"
)

var benchModels = []string{"claude-opus-4", "claude-sonnet-4", "claude-haiku-4"}

func benchEvent(i int, now time.Time) stats.Event {
	at := now.Add(-time.Duration(million-i) * (benchDay * 24 * time.Hour / million))
	e := stats.Event{
		ID: fmt.Sprintf("req_%011x%s", at.UnixMilli(), rand.Text()[:15]), Time: at, KeyID: benchKey,
		Method: "POST", Path: "/v1/chat/completions", Model: benchModels[i%3], Upstream: "claude-opus-4-6", Stream: i%2 == 0,
		Status: 200, Session: chat.SessionWarm, Worker: "bench-a1b2c3", Attempts: 1, FirstMS: 600, DurationMS: int64(1000 + i%5000),
		Usage:        chat.Usage{InputTokens: i % 50, OutputTokens: i % 900, CacheReadTokens: i % 20000, CacheWriteTokens: i % 300},
		RequestBytes: 4000, ResponseBytes: 2000, CacheReadShare: 0.98,
	}
	if i%10 != 0 {
		e.KeyID = fmt.Sprintf("k_%d", i%100)
	}
	if i%50 == 0 {
		e.Status, e.ErrorCode = 502, string(chat.CodeWorkerFailed)
	}
	return e
}

// load fills the record without waiting for each event.
func load(b *testing.B, nc *nats.Conn, now time.Time) {
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4000))
	must(b, err)
	for i := range million {
		e := benchEvent(i, now)
		data, err := json.Marshal(e)
		must(b, err)
		_, err = js.PublishAsync("usage.ev."+e.KeyID+"."+e.Model, data)
		must(b, err)
	}
	<-js.PublishAsyncComplete()
}

func ready(b *testing.B, dir string, nc *nats.Conn) *projection.Projection {
	p, err := projection.Open(dir, nc, zerolog.Nop())
	must(b, err)
	must(b, p.Ready(b.Context()))
	return p
}

// BenchmarkMillion gives the figures of a node with a million events. It loads them once,
// which takes longer than the rest.
func BenchmarkMillion(b *testing.B) {
	nc, dir, now := connect(b), b.TempDir(), time.Now()
	began := time.Now()
	load(b, nc, now)
	b.Logf("loading: %.0f events/s", million/time.Since(began).Seconds())

	b.Run("rebuild", func(b *testing.B) {
		for b.Loop() {
			must(b, os.RemoveAll(filepath.Join(dir, "usage.db")))
			ready(b, dir, nc).Close()
		}
		b.ReportMetric(float64(b.N)*million/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("start", func(b *testing.B) {
		for b.Loop() {
			ready(b, dir, nc).Close()
		}
	})
	if info, err := os.Stat(filepath.Join(dir, "usage.db")); err == nil {
		b.Logf("usage.db: %.0f bytes an event", float64(info.Size())/million)
	}
	p := ready(b, dir, nc)
	defer p.Close()
	benchRoutes(b, p)
	benchFile(b, p)
}

func benchRoutes(b *testing.B, p *projection.Projection) {
	u, err := New(Config{Records: p, Prices: func() stats.Prices { return stats.Prices{"claude-opus-4": {Input: 5, Output: 25}} }})
	must(b, err)
	for _, route := range []struct {
		name, query string
		handler     Handler
	}{
		{"usage", "", u.Summary},
		{"usage, by the minute", "?start_date=" + time.Now().UTC().Add(-1000*time.Hour).Format("2006-01-02T15:04"), u.Summary},
		{"daily", "?days=365", u.Daily},
		{"quota", "", u.Quota},
		{"logs", "?limit=100", u.Logs},
		{"logs, skip 50000", "?limit=100&skip=50000", u.Logs},
		{"logs, limit 1000", "?limit=1000", u.Logs},
	} {
		b.Run(route.name, func(b *testing.B) {
			for b.Loop() {
				w := httptest.NewRecorder()
				must(b, route.handler(w, httptest.NewRequest("GET", "/"+route.query, nil), key.Identity{ID: benchKey}))
			}
		})
	}
	b.Run("admin usage by day, key and model", func(b *testing.B) {
		for b.Loop() {
			must(b, u.Overview(httptest.NewRecorder(), httptest.NewRequest("GET", "/?group_by=day,key,model", nil)))
		}
	})
}

func benchFile(b *testing.B, p *projection.Projection) {
	d, err := daybook.Open(daybook.Config{Path: filepath.Join(b.TempDir(), "stats.json")}, p, zerolog.Nop())
	must(b, err)
	d.Close()
	b.Run("stats.json", func(b *testing.B) {
		for b.Loop() {
			must(b, d.Render(context.Background(), io.Discard))
		}
	})
}
