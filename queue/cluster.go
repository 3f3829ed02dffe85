package queue

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"maxrelay/queue/trust"
)

// ClusterConfig makes the embedded server one of several that keep the streams together. Its zero value is a server on
// its own.
type ClusterConfig struct {
	Name   string   // the same on all nodes; "" is no cluster
	Listen string   // where the other nodes connect
	Routes []string // host:port where the nodes connect to each other; this one may be among them
	Secret string   // the same on all nodes, from which they know each other

	Advertise string // host:port under which the others hear of this node; "" is Listen
}

// minNodes is the least a cluster works with: one node alone elects no leader, and of two both are needed.
const minNodes = 3

func (c ClusterConfig) validate() error {
	switch {
	case c.Name == "":
		return nil
	case !isToken(c.Name):
		return errors.New("cluster: its name must be made of letters, digits, - and _")
	case len(c.Routes) < minNodes-1:
		return fmt.Errorf("cluster: %d nodes are needed at least, so routes to %d others", minNodes, minNodes-1)
	}
	return nil
}

// joinCluster adds to a server's options what makes it a node. Connections between nodes are encrypted, and both ends
// prove that they have the secret.
func (c ClusterConfig) joinCluster(opts *server.Options) error {
	authority, err := trust.NewAuthority(c.Secret)
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	node, err := authority.Node()
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	host, port, err := splitListen(c.Listen)
	if err != nil {
		return fmt.Errorf("cluster listener: %w", err)
	}
	opts.Cluster = server.ClusterOpts{
		Name: c.Name, Host: host, Port: port, Advertise: c.Advertise,
		TLSConfig: authority.Between(node), TLSTimeout: routeTLSWait.Seconds(), PingInterval: routePing, MaxPingsOut: 2,
	}
	for _, route := range c.Routes {
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats-route", Host: route})
	}
	opts.LameDuckDuration, opts.LameDuckGracePeriod = lameDuck, lameDuckGrace
	return nil
}

const (
	routeTLSWait = 5 * time.Second
	routePing    = 5 * time.Second // a node that went silent is noticed after two of them

	// A node that stops hands its leaderships over first, so that publishers wait 0.2 s instead of an election's 4 to
	// 9 s. The server's own default takes 2 min.
	lameDuck      = 2 * time.Second
	lameDuckGrace = time.Second
)

// splitListen reads the address of a listener.
func splitListen(listen string) (host string, port int, err error) {
	host, service, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, err
	}
	if port, err = strconv.Atoi(service); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("port %q is not a number up to 65535", service)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// form waits until the cluster keeps streams. The nodes of a new one wait for each other here, without a limit: they are
// started by people, one after the other.
func (b *Broker) form(ctx context.Context) error {
	nc, err := b.Connect("form")
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("forming the cluster: %w", err)
	}
	lost := &abandoned{anew: make(map[string]*server.StreamConfig)}
	err = b.patiently(ctx, func(ctx context.Context) error {
		b.giveUp(ctx, js, lost)
		_, err := b.turns(ctx, js)
		return err
	})
	if err != nil {
		return fmt.Errorf("forming the cluster: %w", err)
	}
	return b.catchUp(ctx, func() { b.giveUp(ctx, js, lost) })
}

// peers counts the other nodes this one is connected to.
func (b *Broker) peers() int {
	if b.srv == nil {
		return 0
	}
	routes, err := b.srv.Routez(nil)
	if err != nil {
		return 0
	}
	others := make(map[string]bool)
	for _, r := range routes.Routes {
		others[r.RemoteID] = true
	}
	return len(others)
}

const (
	catchUpWait  = 30 * time.Second
	catchUpPause = 100 * time.Millisecond
)

// catchUp waits until this node has what the others have: after a restart its memory streams are empty, and with one
// such node too many the next leader would be too.
func (b *Broker) catchUp(ctx context.Context, giveUp func()) error {
	late := time.After(catchUpWait)
	pause := time.NewTicker(catchUpPause)
	defer pause.Stop()
	for {
		health := b.srv.Healthz(nil)
		if health.Error == "" {
			return nil
		}
		giveUp()
		select {
		case <-pause.C:
		case <-late:
			b.log.Warn().Str("why", health.Error).Msg("this node is behind the others of the cluster, and serves all the same")
			return nil
		case <-ctx.Done():
			return fmt.Errorf("catching up with the cluster: %w", context.Cause(ctx))
		}
	}
}
