package stats

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"maxrelay/session/chat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect starts a broker in this process and returns a connection to it.
func connect(t *testing.T) (*server.Server, *nats.Conn) {
	srv, err := server.NewServer(&server.Options{JetStream: true, StoreDir: t.TempDir(), DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("the broker does not start")
	}
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return srv, nc
}

func open(t *testing.T, nc *nats.Conn, cfg RecorderConfig) *Recorder {
	r, err := OpenRecorder(t.Context(), nc, cfg, zerolog.New(zerolog.NewTestWriter(t)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		r.Close(ctx)
	})
	return r
}

// events reads all that was recorded.
func events(t *testing.T, nc *nats.Conn) (all []Event) {
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), usageStream)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		msg, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		var e Event
		if err := json.Unmarshal(msg.Data, &e); err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func TestRecordedEventsReadBackAsTheyWere(t *testing.T) {
	_, nc := connect(t)
	r := open(t, nc, RecorderConfig{})
	want := Event{
		ID: "req_1", Time: time.Date(2026, 2, 24, 12, 0, 0, 0, time.UTC), KeyID: "k_0123456789", Model: "claude-opus-4[1m] a.b", Upstream: "claude-opus-4-6",
		Method: "POST", Path: "/v1/chat/completions", Status: 200, Stream: true, Session: chat.SessionWarm, Worker: "w-1", Attempts: 2,
		QueueMS: 1, FirstMS: 2, DurationMS: 3, Usage: chat.Usage{InputTokens: 1, OutputTokens: 2, CacheReadTokens: 3, CacheWriteTokens: 4},
		Estimated: true, ErrorCode: "cancelled", RequestBytes: 5, ResponseBytes: 6,
	}
	if err := r.Record(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	if got := events(t, nc); !reflect.DeepEqual(got, []Event{want}) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEventRecordedTwiceIsThereOnce(t *testing.T) {
	_, nc := connect(t)
	r := open(t, nc, RecorderConfig{})
	for range 2 {
		if err := r.Record(t.Context(), Event{ID: "req_1", KeyID: "local", Model: "m"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := events(t, nc); len(got) != 1 {
		t.Errorf("%d events, want 1", len(got))
	}
}

func TestStreamKeepsWhatWasRecordedByAFormerRun(t *testing.T) {
	_, nc := connect(t)
	for i := range 2 {
		if err := open(t, nc, RecorderConfig{}).Record(t.Context(), Event{ID: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := events(t, nc); len(got) != 2 {
		t.Errorf("%d events, want 2", len(got))
	}
}

func TestManyRecordersOfFewSlotsLoseNothing(t *testing.T) {
	_, nc := connect(t)
	r := open(t, nc, RecorderConfig{Outstanding: 2})
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if err := r.Record(t.Context(), Event{ID: fmt.Sprint(i), KeyID: "local", Model: "m"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	seen := make(map[string]bool)
	for _, e := range events(t, nc) {
		seen[e.ID] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d events, want 100", len(seen))
	}
}

func FuzzSubjectIsThreeTokens(f *testing.F) {
	for _, s := range []string{"", "local", "claude-opus-4[1m]", "a.b", "*", ">", " \r\n", "é", strings.Repeat("x", 300), "\xff"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, key, model string) {
		s := subject(key, model)
		if strings.Count(s, ".") != 3 || strings.Contains(s, "..") || strings.HasSuffix(s, ".") || strings.ContainsAny(s, " *>\r\n\t") || len(s) > 300 {
			t.Errorf("subject %q", s)
		}
	})
}
