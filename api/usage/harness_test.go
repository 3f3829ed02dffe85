package usage

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"maxrelay/stats"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect starts a broker in this process and returns a connection to it.
func connect(t testing.TB) *nats.Conn {
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
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	must(t, err)
	t.Cleanup(nc.Close)
	_, err = stats.OpenRecorder(t.Context(), nc, stats.RecorderConfig{}, zerolog.Nop())
	must(t, err)
	return nc
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
