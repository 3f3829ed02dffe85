package queue

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"maxrelay/queue/trust"
)

// BrokerConfig says which NATS server is used, or how the embedded one is run.
type BrokerConfig struct {
	URL         string // use this server and embed none; user info in it is the credential
	Credentials string // path of a NATS credentials file for URL, or ""

	Listen    string // TCP listener for workers, port 0 picks one; "" = in-process connections only
	Advertise string // host:port under which workers elsewhere reach it; "" is Listen
	TLS       TLSConfig
	StoreDir  string // JetStream's files, created 0700
	TokenFile string // created 0600 with a random token at the first start

	Cluster  ClusterConfig
	Replicas int // how many nodes keep each stream: 3 in a cluster, else 1

	// Bounds of JetStream, because unset ones take three quarters of the machine.
	MaxMemory int64 // bytes of memory streams, default 256 MB
	MaxStore  int64 // bytes of file streams, default 8 GB
}

func (c BrokerConfig) withDefaults() BrokerConfig {
	if c.MaxMemory == 0 {
		c.MaxMemory = 256 << 20
	}
	if c.MaxStore == 0 {
		c.MaxStore = 8 << 30
	}
	if c.Cluster.Name != "" {
		setDefault(&c.Replicas, minNodes)
	}
	setDefault(&c.Replicas, 1)
	return c
}

func (c BrokerConfig) validate() error {
	switch {
	case c.URL != "":
		return nil
	case c.StoreDir == "":
		return errors.New("broker needs a store directory")
	case c.Listen != "" && c.TokenFile == "":
		return errors.New("broker with a listener needs a token file")
	case c.Cluster.Name != "" && c.Listen == "":
		return errors.New("broker in a cluster needs a listener: workers move to it when another node stops")
	}
	return errors.Join(c.Cluster.validate(), c.TLS.validate())
}

// Broker is the NATS server that jobs go through: embedded in this process, or an existing one.
type Broker struct {
	cfg BrokerConfig
	log zerolog.Logger

	// Nil and empty with an existing server.
	srv    *server.Server
	secret string // admits connections of this process, never leaves it
	sys    *nats.Conn
	gate   *gate
	anchor trust.Anchor // by which workers elsewhere recognise the node

	mu        sync.Mutex
	listeners []chan Disconnect
}

// readyWait bounds a start. Recovery of ten million stored messages took 16 s with its index lost (nats-server 2.15.2).
const readyWait = time.Minute

// OpenBroker starts the embedded server, or checks that the existing one can be reached.
func OpenBroker(ctx context.Context, cfg BrokerConfig, log zerolog.Logger) (*Broker, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	b := &Broker{cfg: cfg, log: log}
	if cfg.URL != "" {
		return b, b.reach(ctx)
	}
	if err := b.embed(ctx); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

func (b *Broker) embed(ctx context.Context) error {
	if err := os.MkdirAll(b.cfg.StoreDir, 0o700); err != nil {
		return ofSetting("store", fmt.Errorf("creating the broker's store: %w", err))
	}
	opts, err := b.options()
	if err != nil {
		return err
	}
	var token string
	if b.cfg.TokenFile != "" {
		if token, err = loadSecret(b.cfg.TokenFile, rand.Text()); err != nil {
			return ofSetting("token_file", err)
		}
	}
	b.secret = rand.Text()
	b.gate = newGate(token, b.secret)
	opts.CustomClientAuthentication, opts.AlwaysEnableNonce = b.gate, true
	if b.srv, err = server.NewServer(opts); err != nil {
		return fmt.Errorf("configuring the broker: %w", err)
	}
	if err := b.gate.open(b.srv); err != nil {
		return err
	}
	if err := b.start(ctx, token); err != nil {
		return err
	}
	if b.clustered() {
		if err := b.form(ctx); err != nil {
			return err
		}
	}
	return b.watchDisconnects()
}

// Bounds of what clients may open. A worker has some ten subscriptions and one for each of its pools.
const (
	maxConns = 4096
	maxSubs  = 1024 // of one connection
)

// pingEvery is between the server's questions whether a client is there; one that leaves two without an answer is gone.
// The server's own pace of 2 minutes would let the dead connections of a worker with a bad network pile up.
const pingEvery = 20 * time.Second

func (b *Broker) clustered() bool { return b.cfg.Cluster.Name != "" }

// options is how the embedded server is run.
//
// Everything is synced to disk before it is acknowledged. A server on its own has no replica to lose a write to. The
// nodes of a cluster have, but a node that forgets after a power cut what it had agreed to can take the others' writes
// with it; and what is written is money. It costs a millisecond a write.
func (b *Broker) options() (*server.Options, error) {
	host, port, open, err := b.listen()
	if err != nil {
		return nil, err
	}
	machine, _ := os.Hostname() // a machine without a name still gets one for its server
	name, err := claimStore(b.cfg.StoreDir, b.cfg.Cluster.Name, machine)
	if err != nil {
		return nil, ofSetting("store", err)
	}
	opts := &server.Options{
		ServerName:            name,
		Host:                  host,
		Port:                  port,
		DontListen:            b.cfg.Listen == "",
		NoSigs:                true,
		JetStream:             true,
		StoreDir:              b.cfg.StoreDir,
		JetStreamMaxMemory:    b.cfg.MaxMemory,
		JetStreamMaxStore:     b.cfg.MaxStore,
		SyncAlways:            true,
		DisableShortFirstPing: true,
		PingInterval:          pingEvery,
		MaxConn:               maxConns,
		MaxSubs:               maxSubs,
	}
	if err := opts.ProcessConfigString(accounts); err != nil {
		return nil, fmt.Errorf("configuring the broker's accounts: %w", err)
	}
	opts.ClientAdvertise, opts.AuthTimeout = b.cfg.Advertise, authWait.Seconds()
	if err := b.secure(opts, open); err != nil {
		return nil, err
	}
	if b.clustered() {
		err = b.cfg.Cluster.joinCluster(opts)
	}
	return opts, err
}

// start returns when the server takes connections, or with the reason why it never will.
func (b *Broker) start(ctx context.Context, token string) error {
	log := newServerLog(b.log, token, b.secret)
	b.srv.SetLoggerV2(log, false, false, false)
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()

	up := make(chan struct{})
	go func() {
		defer close(up)
		b.srv.Start()
		// It is asked once even when nobody wants it any more: a server that is stopped before it listens for other
		// nodes goes on listening (nats-server 2.15.2).
		for !b.srv.ReadyForConnections(100*time.Millisecond) && ctx.Err() == nil && log.fatal() == nil {
		}
	}()
	<-up
	if err := log.fatal(); err != nil {
		return fmt.Errorf("starting the broker: %w", err)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("starting the broker: %w", context.Cause(ctx))
	}
	return nil
}

// Connect makes a connection for one part of this process, in memory when the server is embedded.
func (b *Broker) Connect(name string) (*nats.Conn, error) {
	if b.srv == nil {
		return Dial(b.cfg.URL, DialOptions{Name: name, Credentials: b.cfg.Credentials})
	}
	opts := append(connOptions(name, b.log), nats.InProcessServer(b.srv), nats.Token(b.secret))
	nc, err := nats.Connect("", opts...)
	if err != nil {
		return nil, fmt.Errorf("connecting %s in process: %w", name, err)
	}
	return nc, nil
}

// ClientURL is where a worker process connects, without credentials; "" without a listener.
func (b *Broker) ClientURL() string {
	if b.srv == nil {
		return cleanURL(b.cfg.URL)
	}
	if addr := b.Addr(); addr != nil {
		return "nats://" + addr.String()
	}
	return ""
}

// Addr is the listener's address, nil without one.
func (b *Broker) Addr() net.Addr {
	if b.srv == nil {
		return nil
	}
	return b.srv.Addr()
}

// Warning says what an operator should know of an embedded server, "" if nothing. One that could not write, as on a full
// disk, gives its streams up until it is started again (nats-server 2.15.2).
func (b *Broker) Warning() string {
	if b.srv == nil || b.srv.JetStreamEnabled() {
		return ""
	}
	return "the broker could not write and keeps nothing any more: make room on its disk, then restart"
}

// Close stops an embedded server and waits until it is gone. Connections made by Connect are the callers' to close.
func (b *Broker) Close() {
	if b.sys != nil {
		b.sys.Close()
	}
	if b.srv == nil {
		return
	}
	if b.clustered() {
		b.srv.LameDuckShutdown()
	}
	b.srv.Shutdown()
	b.srv.WaitForShutdown()
}
