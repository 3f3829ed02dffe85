package queue

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const testSecret = "the secret of the nodes of a test"

// freeAddress is one that nobody listens at: the nodes of a cluster must know where the others will be.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// clusterConfigs are those of three nodes that do not run yet. They have one token, as if they were one machine.
func clusterConfigs(t testing.TB) []BrokerConfig {
	t.Helper()
	token := filepath.Join(t.TempDir(), "nats.token")
	routes := []string{freeAddress(t), freeAddress(t), freeAddress(t)}
	var all []BrokerConfig
	for _, route := range routes {
		all = append(all, BrokerConfig{
			Listen: "127.0.0.1:0", StoreDir: filepath.Join(t.TempDir(), "nats"), TokenFile: token,
			Cluster: ClusterConfig{Name: "test", Listen: route, Routes: routes, Secret: testSecret},
		})
	}
	if _, err := loadSecret(token, "a token of the tests own, long enough"); err != nil {
		t.Fatal(err)
	}
	return all
}

// startCluster starts nodes together: none opens without the others.
func startCluster(t testing.TB, configs []BrokerConfig) []*Broker {
	t.Helper()
	brokers, errs := make([]*Broker, len(configs)), make([]error, len(configs))
	var all sync.WaitGroup
	for i, cfg := range configs {
		all.Go(func() { brokers[i], errs[i] = OpenBroker(testContext(t), cfg, testLog(t)) })
	}
	all.Wait()
	t.Cleanup(func() {
		for _, b := range brokers {
			if b != nil {
				b.kill()
			}
		}
	})
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return brokers
}

// kill ends a node without handing anything over.
func (b *Broker) kill() {
	b.sys.Close()
	b.srv.Shutdown()
	b.srv.WaitForShutdown()
}

func TestAClusterIsOneQueue(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, clusterConfigs(t))
	var owners []*Owner
	for _, b := range nodes {
		owners = append(owners, startOwner(t, b, OwnerConfig{Replicas: 3}))
	}
	warm := startWorker(t, nodes[1], WorkerConfig{Name: "warm"}, echo)
	startWorker(t, nodes[2], WorkerConfig{Name: "cold"}, echo)
	warm.Hold("process", "k_1", []Key{{1}, {2}}, false)

	t.Run("every node keeps every stream", func(t *testing.T) {
		for _, name := range []string{jobsStream, "KV_" + marksBucket} {
			stream, err := owners[0].js.Stream(testContext(t), name)
			if err != nil {
				t.Fatal(err)
			}
			if c := stream.CachedInfo().Cluster; c == nil || len(c.Replicas) != 2 {
				t.Errorf("%s is kept by %+v", name, c)
			}
		}
	})
	t.Run("every node leads a conversation to the process that holds it", func(t *testing.T) {
		for _, o := range owners {
			awaitWorkers(t, o, 2)
			eventually(t, "the directory", func() bool { return holders(o, Key{2}) == 1 })
			eventually(t, "the workers' consumers", func() bool { return welcomed(o) == 2 })
			j := job("hello")
			j.Prefixes = []Key{{1}, {2}}
			if r := read(t, submit(t, o, j)); r.text != "hello" || r.worker != "warm" || r.err != nil {
				t.Errorf("got %+v", r)
			}
		}
	})
	t.Run("a mark holds on every node", func(t *testing.T) {
		if err := owners[0].Mark(testContext(t), "m"); err != nil {
			t.Fatal(err)
		}
		if err := owners[2].Mark(testContext(t), "m"); !errors.Is(err, ErrMarked) {
			t.Errorf("marked twice: %v", err)
		}
	})
}

// welcomed counts the workers that were told that their consumers exist.
func welcomed(o *Owner) (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range o.workers {
		if w.greeted {
			n++
		}
	}
	return n
}

func holders(o *Owner, key Key) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.holders[key])
}

// Of the streams in memory the two nodes know nothing, and the third, which may, does not come back.
func TestTwoOfThreeNodesStartWithoutTheThird(t *testing.T) {
	t.Parallel()
	configs := clusterConfigs(t)
	nodes := startCluster(t, configs)
	o := startOwner(t, nodes[0], OwnerConfig{Replicas: 3})
	if err := o.Mark(testContext(t), "m"); err != nil {
		t.Fatal(err)
	}
	for _, b := range nodes {
		b.kill()
	}

	nodes = startCluster(t, configs[:2])
	o = startOwner(t, nodes[0], OwnerConfig{Replicas: 3})
	startWorker(t, nodes[1], WorkerConfig{Name: "w"}, echo)
	awaitWorkers(t, o, 1)
	if r := read(t, submit(t, o, job("hello"))); r.text != "hello" || r.err != nil {
		t.Errorf("got %+v", r)
	}

	takeTurn(t, nodes[0]) // which cannot spread them yet
	takeTurn(t, startCluster(t, configs[2:])[0])
	eventually(t, "all streams to be on three nodes", func() bool {
		return copies(t, o, jobsStream) == 3 && copies(t, o, "KV_"+marksBucket) == 3 && copies(t, o, "KV_"+turnBucket) == 3
	})
	if r := read(t, submit(t, o, job("again"))); r.text != "again" || r.err != nil {
		t.Errorf("got %+v", r)
	}
}

func takeTurn(t *testing.T, b *Broker) {
	t.Helper()
	done, err := b.Turn(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	done()
}

// copies is how many nodes keep a stream, 0 while nobody says.
func copies(t *testing.T, o *Owner, name string) int {
	t.Helper()
	stream, err := o.js.Stream(testContext(t), name)
	if err != nil || stream.CachedInfo().Cluster == nil {
		return 0
	}
	return 1 + len(stream.CachedInfo().Cluster.Replicas)
}

// The worker and the leaders of the streams are on the node that stops.
func TestANodeThatStopsInterruptsNothing(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, clusterConfigs(t))
	leaving := nodes[0]
	owners := []*Owner{startOwner(t, leaving, OwnerConfig{Replicas: 3}), startOwner(t, nodes[1], OwnerConfig{Replicas: 3})}
	g := newGated()
	startWorker(t, leaving, WorkerConfig{Slots: 10}, g.handle)
	awaitWorkers(t, owners[1], 1)
	running := submit(t, owners[1], job("still here"))
	receive(t, "the task", g.started)

	owners[0].Close(t.Context())
	leaving.Close()
	waiting := submit(t, owners[1], job("later"))
	receive(t, "the next task", g.started)
	close(g.release)
	for _, c := range []*Call{running, waiting} {
		if r := read(t, c); r.err != nil || r.attempt != 1 || !strings.Contains("still here later", r.text) {
			t.Errorf("got %+v", r)
		}
	}
}

func TestAStrangerDoesNotGetIntoTheCluster(t *testing.T) {
	t.Parallel()
	configs := clusterConfigs(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	var nodes []*Broker
	configs[0].Cluster.Secret = "another secret, as long as it has to be"
	for _, cfg := range configs[:2] {
		b := &Broker{cfg: cfg.withDefaults(), log: testLog(t)}
		if err := b.embed(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("embed: %v", err)
		}
		defer b.Close()
		nodes = append(nodes, b)
	}
	if nodes[0].peers() != 0 || nodes[1].peers() != 0 {
		t.Error("the two have a route")
	}
}

func TestAClusterNeedsItsSettings(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*BrokerConfig){
		"a secret":           func(c *BrokerConfig) { c.Cluster.Secret = "short" },
		"three nodes":        func(c *BrokerConfig) { c.Cluster.Routes = c.Cluster.Routes[:1] },
		"a listener":         func(c *BrokerConfig) { c.Listen = "" },
		"a cluster listener": func(c *BrokerConfig) { c.Cluster.Listen = "" },
		"a usable name":      func(c *BrokerConfig) { c.Cluster.Name = "a b" },
	} {
		cfg := clusterConfigs(t)[0]
		spoil(&cfg)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		b, err := OpenBroker(ctx, cfg, testLog(t))
		cancel()
		if err == nil {
			b.Close()
		}
		if err == nil || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

// What servers say of their addresses is used by whoever knows one of them only.
func TestAWorkerGoesWhereItIsTold(t *testing.T) {
	t.Parallel()
	nodes := startCluster(t, clusterConfigs(t))
	one := dialTCP(t, nodes[0], nodes[0].ClientURL(), "one")
	two := dialTCP(t, nodes[0], nodes[0].ClientURL()+","+nodes[1].ClientURL(), "two")
	eventually(t, "the third address", func() bool { return len(one.Servers()) == 3 })
	eventually(t, "the connection", two.IsConnected)
	if err := two.Flush(); err != nil { // what a server says of the others comes before
		t.Fatal(err)
	}
	if got := two.Servers(); len(got) != 2 {
		t.Errorf("goes to %v", got)
	}
}
