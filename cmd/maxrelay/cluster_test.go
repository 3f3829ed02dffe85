package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"maxrelay/queue"
)

// cluster is three installations whose brokers are one.
type cluster struct {
	t      testing.TB
	base   *site // whose folder the others' are in
	nodes  []*site
	routes []string // where they listen for each other
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	base := newSite(t)
	c := &cluster{t: t, base: base, routes: []string{freeAddress(t), freeAddress(t), freeAddress(t)}}
	for i := range c.routes {
		c.nodes = append(c.nodes, c.newSite(fmt.Sprint("node", i)))
	}
	c.lead(c.routes)
	return c
}

// lead has the nodes reach each other there.
func (c *cluster) lead(to []string) {
	for i, s := range c.nodes {
		s.nodes = fmt.Sprintf("cluster: {listen: %q, advertise: %q, routes: [%s], secret: %q}",
			c.routes[i], to[i], strings.Join(to, ", "), "a secret of the test's own, not too short")
	}
}

// newSite is a machine of the cluster. All have one token, so that workers may go from
// node to node.
func (c *cluster) newSite(name string) *site {
	c.t.Helper()
	s := &site{t: c.t, dir: filepath.Join(c.base.dir, name), model: c.base.model, nats: freeAddress(c.t)}
	c.t.Cleanup(s.killAll)
	if err := os.MkdirAll(filepath.Join(s.dir, "data"), 0o700); err != nil {
		c.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "data", "nats.token"), []byte("a token of the test's own"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return s
}

// startAll starts a process on each node, and waits for them together.
func (c *cluster) startAll(ready, command string) (all []*proc) {
	c.t.Helper()
	for i, s := range c.nodes {
		all = append(all, s.launch(fmt.Sprint(command, i), scriptedCLI, command))
	}
	for i, s := range c.nodes {
		s.ready(all[i], ready)
	}
	return all
}

// mustKnow waits until every node has heard of the worker.
func (c *cluster) mustKnow(worker string) {
	c.t.Helper()
	for _, s := range c.nodes {
		s.mustKnow(worker)
	}
}

// leadAll makes a node the leader of every stream: the worst one to lose.
func (c *cluster) leadAll(node int) {
	c.t.Helper()
	js, server := c.nodes[node].js(), c.nodes[node].server()
	order := fmt.Sprintf(`{"placement": {"preferred": %q}}`, server)
	for name := range js.StreamNames(c.t.Context()).Name() {
		eventually(c.t, "the node to lead "+name, func() bool {
			stream, err := js.Stream(c.t.Context(), name)
			if err != nil {
				return false
			}
			if stream.CachedInfo().Cluster.Leader == server {
				return true
			}
			_, _ = js.Conn().Request("$JS.API.STREAM.LEADER.STEPDOWN."+name, []byte(order), time.Second) // tried again
			return false
		})
	}
}

// server is the name of the site's broker.
func (s *site) server() string {
	s.t.Helper()
	raw, err := os.ReadFile(filepath.Join(s.dir, "data", "nats", "mode"))
	if err != nil {
		s.t.Fatal(err)
	}
	var mode struct{ Server string }
	if err := json.Unmarshal(raw, &mode); err != nil {
		s.t.Fatal(err)
	}
	return mode.Server
}

// messages counts what a stream keeps.
func (s *site) messages(stream string) int {
	s.t.Helper()
	info, err := s.js().Stream(s.t.Context(), stream)
	if err != nil {
		s.t.Fatal(err)
	}
	return int(info.CachedInfo().State.Msgs)
}

// js is the broker's streams as an operator has them.
func (s *site) js() jetstream.JetStream {
	s.t.Helper()
	js, err := jetstream.New(s.dial())
	if err != nil {
		s.t.Fatal(err)
	}
	return js
}

// dial is a connection to the broker as an operator has it.
func (s *site) dial() *nats.Conn {
	s.t.Helper()
	nc, err := queue.Dial("nats://"+s.nats, queue.DialOptions{Name: "operator", TokenFile: filepath.Join(s.dir, "data", "nats.token"), Log: zerolog.Nop()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(nc.Close)
	eventually(s.t, "the connection", nc.IsConnected)
	return nc
}
