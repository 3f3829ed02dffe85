package main

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"maxrelay/queue"
)

var (
	fleetSeed     = flag.Uint64("seed", 0, "of the randomized fleet; 0 for a new one")
	conversations = flag.Int("conversations", 1000, "that the randomized fleet has")
)

// Whatever clients do and whatever dies, every request has its answer or is told why
// not, an answer comes from a process that held exactly its client's conversation, no
// process serves two tenants, each request is counted once, and nothing is left behind.
func TestAThousandConversationsOverAFleetThatLosesProcesses(t *testing.T) {
	seed := *fleetSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed=%d -conversations=%d", seed, *conversations)
	f := openFleet(t, seed)
	f.live(*conversations)
	f.mustBeAsQuietAsBefore()
	f.mustHaveCountedEachRequestOnce()
	f.mustEndWithoutATrace()
	f.mustHaveFewErrors()
	f.report()
}

const (
	fleetWorkers = 4
	fleetSlots   = 16 // of a worker; fewer than clients, so that requests wait and processes change hands
	fleetClients = 48
)

// tenantKeys times tenantUsers are the tenants. Their conversations begin with the same
// words, so that nothing but the tenant keeps their processes apart.
var (
	tenantKeys  = []string{"key-one", "key-two", "key-three"}
	tenantUsers = []string{"", "ann", "bob", "key-one"}
)

// fleet is an API node and its workers, each a process of its own.
type fleet struct {
	*site
	seed    uint64
	cli     string
	node    *proc
	workers []*proc // by number; the test's goroutine alone kills and replaces them
	broker  *nats.Conn
	quiet   int // goroutines of the node before the first request

	struck atomic.Int64 // processes killed so far, counted before each is
	orders chan order
	tally  tally
}

func openFleet(t *testing.T, seed uint64) *fleet {
	f := &fleet{site: newSite(t), seed: seed, cli: buildCLI(t), workers: make([]*proc, fleetWorkers),
		orders: make(chan order, 64), tally: newTally()}
	f.extra = fmt.Sprintf("auth: {enabled: true, api_keys: [%q, %q, %q]}", tenantKeys[0], tenantKeys[1], tenantKeys[2])
	f.node = f.start("api", servesHTTP, f.smallCLI, "api", "--log-level", "info")
	for i := range f.workers {
		f.startWorker(i)
	}
	nc, err := queue.Dial("nats://"+f.nats, queue.DialOptions{TokenFile: filepath.Join(f.dir, "data", "nats.token"), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	f.broker = nc
	f.quiet, _ = f.node.ownGoroutines()
	return f
}

func (f *fleet) startWorker(i int) {
	f.workers[i] = f.start(fmt.Sprint("w", i), takesJobs, f.smallCLI, "worker", "--log-level", "info",
		"--set", fmt.Sprint("worker.max_sessions=", fleetSlots), "--set", fmt.Sprint("worker.max_sessions_per_key=", fleetSlots))
}

// live leads n conversations, and kills what they order meanwhile.
func (f *fleet) live(n int) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range fleetClients {
		all.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				newLife(f, uint64(i)).lead()
			}
		})
	}
	over := make(chan struct{})
	go func() { all.Wait(); close(over) }()
	f.killUntil(over)
}
