package key

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

// guard is how long a test waits for anything before it calls it hung.
const guard = 30 * time.Second

// startBroker runs one over TCP, so that it can go away and come back: port 0 picks one.
func startBroker(t *testing.T, dir string, port int) *server.Server {
	t.Helper()
	if port == 0 {
		port = server.RANDOM_PORT
	}
	srv, err := server.NewServer(&server.Options{JetStream: true, StoreDir: dir, Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { stopBroker(srv) })
	if !srv.ReadyForConnections(guard) {
		t.Fatal("the broker does not start")
	}
	return srv
}

func stopBroker(srv *server.Server) {
	srv.Shutdown()
	srv.WaitForShutdown()
}

func connect(t *testing.T, srv *server.Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(srv.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// node is a store as an API node has it, with its log and a clock that the test sets.
type node struct {
	*Store
	nc    *nats.Conn
	log   *safeBuffer
	clock *clock
}

func openNode(t *testing.T, srv *server.Server) node {
	t.Helper()
	n := node{nc: connect(t, srv), log: &safeBuffer{}, clock: &clock{now: time.Now().Truncate(time.Second)}}
	var err error
	if n.Store, err = OpenStore(t.Context(), n.nc, StoreConfig{Now: n.clock.Now}, zerolog.New(n.log)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Store.Close)
	return n
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// eventually waits for what another goroutine does on an event that a test cannot see.
func eventually(t *testing.T, what string, true func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	hung := time.After(guard)
	for !true() {
		select {
		case <-tick.C:
		case <-hung:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
