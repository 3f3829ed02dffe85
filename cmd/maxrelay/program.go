package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"maxrelay/api"
	"maxrelay/api/admin"
	"maxrelay/api/key"
	"maxrelay/api/limit"
	"maxrelay/api/usage"
	"maxrelay/queue"
	"maxrelay/session"
	"maxrelay/stats"
	"maxrelay/stats/daybook"
	"maxrelay/stats/projection"
	"maxrelay/worker"
)

// program is the parts that run, closed in the reverse of the order they were opened
// in: first the intake, last the broker.
type program struct {
	cfg   Config
	log   zerolog.Logger
	parts []part

	reloadings []reloading

	broker  *queue.Broker
	members *queue.Registry // nil: nobody joins a broker that is not ours
	endTurn func()          // other API nodes may open now
	owner   *queue.Owner
	store   *key.Store
	limits  *limit.Limiter
	admin   *admin.Admin
	worker  *worker.Worker
	joined  membership // of the worker
	used    *projection.Projection
	daybook *daybook.Daybook // nil: no usage file
	usage   *usage.Usage
	prices  atomic.Pointer[stats.Prices]
	http    *api.Server

	metrics *prometheus.Registry

	checking atomic.Bool // the worker has yet to join
}

// part is something open. close may take until its context ends to let work finish;
// then it gives the work up.
type part struct {
	name  string
	close func(context.Context)
}

func newProgram(cfg Config, log zerolog.Logger) *program {
	return &program{cfg: cfg, log: log, metrics: newRegistry()}
}

func (p *program) opened(name string, close func(context.Context)) {
	p.log.Debug().Str("part", name).Msg("open")
	p.parts = append(p.parts, part{name, close})
}

// close lets running turns finish within the drain timeout.
func (p *program) close() {
	ctx, cancel := context.WithTimeout(context.Background(), p.cfg.Worker.DrainTimeout)
	defer cancel()
	for i := len(p.parts) - 1; i >= 0; i-- {
		p.log.Debug().Str("part", p.parts[i].name).Msg("close")
		p.parts[i].close(ctx)
	}
	p.parts = nil
}

// serve is everything on one machine.
func serve(ctx context.Context, p *program) error {
	if err := p.openNode(ctx); err != nil {
		return err
	}
	nc, err := p.connect("worker-" + p.cfg.Worker.Name)
	if err != nil {
		return err
	}
	p.opened("worker", p.closeWorker) // it closes after the intake, which need not wait for it to open
	p.checking.Store(true)
	if err := p.openAPI(ctx); err != nil {
		return err
	}
	if err := p.openWorker(ctx, nc); err != nil {
		return err
	}
	p.checking.Store(false)
	p.awaitWorker(ctx)
	p.serves()
	return nil
}

// openNode opens what an API node has before its listener.
func (p *program) openNode(ctx context.Context) error {
	if err := p.openMetrics(); err != nil {
		return err
	}
	if err := p.openBroker(ctx); err != nil {
		return err
	}
	if err := p.openOwner(ctx); err != nil {
		return err
	}
	return p.openKeys(ctx)
}

// awaitWorker returns when the API knows the worker, whose first word may still be on its
// way; a request that comes before it would be refused.
func (p *program) awaitWorker(ctx context.Context) {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	late := time.After(5 * time.Second)
	for len(p.owner.Workers()) == 0 {
		select {
		case <-look.C:
		case <-late:
			return
		case <-ctx.Done():
			return
		}
	}
}

// apiNode is the API with its broker; workers come over the network.
func apiNode(ctx context.Context, p *program) error {
	if p.cfg.NATS.URL == "" && p.cfg.NATS.Listen == "" {
		return errors.New("no worker could join: set nats.listen or nats.url, or use `maxrelay serve`")
	}
	if err := p.openNode(ctx); err != nil {
		return err
	}
	if err := p.openAPI(ctx); err != nil {
		return err
	}
	p.serves()
	return nil
}

// brokerAlone lets an operator back up or restore the streams while nothing else uses them.
func brokerAlone(ctx context.Context, p *program) error {
	if p.cfg.NATS.URL != "" || p.cfg.NATS.Listen == "" {
		return errors.New("there is no broker of ours to run: nats.url is set, or nats.listen is empty")
	}
	if err := p.openBroker(ctx); err != nil {
		return err
	}
	p.log.Info().Msg("broker is ready")
	return nil
}

// workerNode serves the node it has joined, or the one on this machine, or whoever uses the server at nats.url.
func workerNode(ctx context.Context, p *program) error {
	if err := p.openMetrics(); err != nil {
		return err
	}
	nc, err := p.dialBroker()
	if err != nil {
		return err
	}
	p.opened("connection", func(context.Context) { nc.Close() })
	if !nc.IsConnected() {
		p.log.Warn().Str("address", addressOf(nc)).Msg("the broker cannot be reached, trying again until it can")
	}
	p.opened("worker", p.closeWorker)
	return p.openWorker(ctx, nc)
}

func (p *program) openBroker(ctx context.Context) (err error) {
	if err := os.MkdirAll(p.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	n := p.cfg.NATS
	if n.URL == "" {
		unlock, err := lockFolder(p.cfg.DataDir, nodeLock)
		if err != nil {
			return fmt.Errorf("data_dir: %w", err)
		}
		p.opened("data folder", func(context.Context) { unlock() })
	}
	cfg := queue.BrokerConfig{URL: n.URL, Credentials: n.Credentials, Listen: n.Listen, Advertise: n.Advertise, StoreDir: n.Store, TokenFile: n.TokenFile, Replicas: n.Cluster.Replicas,
		TLS: queue.TLSConfig{SecretFile: filepath.Join(p.cfg.DataDir, "nats.secret"), CAFile: p.cfg.authorityFile(), Cert: n.TLS.Cert, Key: n.TLS.Key}}
	if c := n.Cluster; c.on() {
		cfg.Cluster = queue.ClusterConfig{Name: c.Name, Listen: c.Listen, Advertise: c.Advertise, Routes: c.Routes, Secret: c.Secret}
	}
	p.broker, err = queue.OpenBroker(ctx, cfg, p.log)
	if err != nil {
		return bySetting(err)
	}
	p.opened("broker", func(context.Context) { p.broker.Close() })
	if addr := p.broker.Addr(); addr != nil {
		p.log.Info().Stringer("address", addr).Msg("broker listens for workers")
	}
	return nil
}

// bySetting names the setting that an error of the broker is about.
func bySetting(err error) error {
	if s, ok := errors.AsType[*queue.SettingError](err); ok {
		return fmt.Errorf("nats.%s: %w", s.Setting, err)
	}
	return err
}

func (p *program) connect(name string) (*nats.Conn, error) {
	nc, err := p.broker.Connect(name)
	if err != nil {
		return nil, err
	}
	p.opened("connection "+name, func(context.Context) { nc.Close() })
	return nc, nil
}

// openOwner begins this node's turn to create its streams, which openAPI ends.
func (p *program) openOwner(ctx context.Context) error {
	done, err := p.broker.Turn(ctx)
	if err != nil {
		return err
	}
	p.endTurn = sync.OnceFunc(done)
	p.opened("turn", func(context.Context) { p.endTurn() })
	if err := p.openRegistry(ctx); err != nil {
		return err
	}
	nc, err := p.connect(queue.OwnerName)
	if err != nil {
		return err
	}
	q := p.cfg.Queue
	cfg := queue.OwnerConfig{Given: p.given(),
		StickyWait: q.StickyWait, QueueTimeout: q.Timeout, MaxWaiting: q.MaxWaiting,
		MaxWaitingPerKey: q.MaxWaitingPerKey, MaxAttempts: q.MaxAttempts, Replicas: p.cfg.NATS.Cluster.Replicas}
	err = p.patiently(ctx, func(ctx context.Context) (err error) {
		p.owner, err = queue.NewOwner(ctx, nc, p.broker.Disconnects(), cfg, p.log)
		return err
	})
	if err != nil {
		return err
	}
	p.opened("owner", p.owner.Close)
	return nil
}

func (p *program) openWorker(ctx context.Context, nc *nats.Conn) error {
	cfg, err := workerConfig(p.joined.applied(p.cfg))
	if err != nil {
		return err
	}
	cfg.ID, cfg.Joined = p.joined.id, p.joined.id != ""
	cfg.Session.Vet = (&vetting{cfg: cfg.Session, dir: p.cfg.DataDir, log: p.log}).vet
	p.worker, err = worker.Open(ctx, nc, cfg, p.log)
	if err != nil {
		return fmt.Errorf("worker: %w (`maxrelay doctor` tells what is missing)", err)
	}
	if err := p.metrics.Register(p.worker.Metrics()); err != nil {
		return fmt.Errorf("worker: %w", err)
	}
	return nil
}

// closeWorker may find that none was opened.
func (p *program) closeWorker(ctx context.Context) {
	if p.worker == nil {
		return
	}
	if err := p.worker.Drain(ctx); err != nil {
		p.log.Warn().Err(err).Msg("turns were interrupted")
	}
	p.worker.Close()
}

func (p *program) openAPI(ctx context.Context) error {
	nc, err := p.connect("stats")
	if err != nil {
		return err
	}
	var recorder *stats.Recorder
	err = p.patiently(ctx, func(ctx context.Context) (err error) {
		recorder, err = stats.OpenRecorder(ctx, nc, stats.RecorderConfig{MaxBytes: usageBytes, Replicas: p.cfg.NATS.Cluster.Replicas}, p.log)
		return err
	})
	if err != nil {
		return err
	}
	p.opened("recorder", recorder.Close)
	if err := p.openLimits(ctx, recorder); err != nil {
		return err
	}
	if err := p.openUsage(nc); err != nil {
		return err
	}
	cfg, err := p.apiConfig(p.cfg)
	if err != nil {
		return err
	}
	if cfg.TLS, err = p.openTLS(); err != nil {
		return err
	}
	if p.http, err = api.New(cfg, p.owner, p.limits, recorder, p.log); err != nil {
		return err
	}
	if err := p.metrics.Register(p.http.Metrics()); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	p.opened("http", func(ctx context.Context) {
		if err := p.http.Close(ctx); err != nil {
			p.log.Warn().Err(err).Msg("requests were cut off")
		}
	})
	p.onReload(p.reloadAPI)
	if err := p.listen(); err != nil {
		return err
	}
	p.endTurn()
	return nil
}

func (p *program) listen() error {
	if address := p.cfg.Admin.Address; address != "" {
		if err := p.http.OpenAdmin(address); err != nil {
			return fmt.Errorf("admin.address: %w", err)
		}
		p.log.Info().Str("url", p.http.AdminURL()).Msg("management is served")
	}
	if err := p.http.Open(net.JoinHostPort(p.cfg.Host, strconv.Itoa(p.cfg.Port))); err != nil {
		return fmt.Errorf("host and port: %w", err)
	}
	return nil
}

// cliPrompt is how many tokens the CLI's own parts of a prompt have: who it is, where and
// when. Some 300 with Claude Code 2.1.330.
const cliPrompt = 320

// apiConfig turns the configuration file's words into the server's.
func (p *program) apiConfig(cfg Config) (api.Config, error) {
	keys, err := p.clientKeys(cfg)
	if err != nil {
		return api.Config{}, err
	}
	proxies, err := trustedProxies(cfg)
	if err != nil {
		return api.Config{}, err
	}
	return api.Config{Version: version, Keys: keys, Proxies: proxies, Admin: p.admin, AdminApart: cfg.Admin.Address != "",
		Usage: p.usage, Noted: p.noted(), OwnPrompt: cliPrompt,
		Host: cfg.Host, Origins: cfg.CORS.Origins, Models: cfg.Models, Upstreams: cfg.upstreams(),
		Pending: p.pending, Broker: p.broker.Warning, Metrics: p.sharedMetrics(), TurnTimeout: cfg.Worker.CLI.TurnTimeout}, nil
}

func (p *program) reloadAPI(cfg Config) (apply func(), err error) {
	changed, err := p.apiConfig(cfg)
	if err != nil {
		return nil, err
	}
	return func() { p.http.Change(changed) }, nil
}

// pending is why there may be no worker yet.
func (p *program) pending() string {
	if p.checking.Load() {
		return checkingCLI
	}
	return ""
}

func (p *program) serves() {
	p.log.Info().Str("url", p.http.URL()).Str("version", version).Msg("maxrelay serves")
}

// workerConfig turns the configuration file's words into the worker's.
func workerConfig(cfg Config) (worker.Config, error) {
	w := cfg.Worker
	cwd, err := childDir(cfg)
	if err != nil {
		return worker.Config{}, err
	}
	configDir := w.CLI.ConfigDir
	if configDir != "" {
		if configDir, err = filepath.Abs(configDir); err != nil { // the CLI runs in another folder
			return worker.Config{}, err
		}
	}
	memory := w.MemoryLimit.Of(totalMemory())
	slots := cmp.Or(w.Slots, slotsFor(memory))
	sessions := cmp.Or(w.MaxSessions, slots)
	return worker.Config{
		Name: w.Name, Version: version, Pools: w.Pools, Slots: min(slots, sessions),
		Session: session.Config{
			Path: executable(w.CLI.Path), Env: session.Environ(os.Environ(), configDir, w.CLI.Env), Cwd: cwd,
			MaxSessions: sessions, MaxSessionsPerKey: w.MaxSessionsPerKey, Spares: min(w.Spares, sessions), MemoryLimit: memory,
			IdleTTL: w.IdleTTL, StartTimeout: w.CLI.StartTimeout, FirstByteTimeout: w.CLI.FirstByteTimeout,
			IdleTimeout: w.CLI.IdleTimeout, TurnTimeout: w.CLI.TurnTimeout,
			CacheTTL: cfg.Cache.TTL, MinCacheTokens: max(cfg.Cache.MinTokens, 1), // no prompt is shorter than 1
		},
	}, nil
}

// executable makes the CLI's path absolute, because children run in another folder. A
// path that leads nowhere stays as it is: starting it will say so.
func executable(path string) string {
	found, err := exec.LookPath(path)
	if err != nil {
		return path
	}
	abs, err := filepath.Abs(found)
	if err != nil {
		return path
	}
	return abs
}

// usageBytes is what the usage events may take on disk, half of what the broker may;
// then the oldest go. An event is some 300 bytes.
const usageBytes = 4 << 30

// sessionMemory is what one used CLI process takes: 120–180 MB, Claude Code 2.1.330.
const sessionMemory = 150 << 20

func slotsFor(memory int64) int {
	return int(min(64, max(1, memory/sessionMemory)))
}

// childDir is where CLI processes run: a folder that is empty and whose name tells
// nothing, because the model is told its path.
func childDir(cfg Config) (string, error) {
	if dir := cfg.Worker.CLI.Cwd; dir != "" {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return "", fmt.Errorf("worker.cli.cwd: %s is no folder", dir)
		}
		return filepath.Abs(dir)
	}
	if entries, err := os.ReadDir("/var/empty"); err == nil && len(entries) == 0 {
		return "/var/empty", nil
	}
	dir, err := filepath.Abs(filepath.Join(cfg.DataDir, "empty"))
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("working folder of the CLI: %w", err)
	}
	return dir, os.Chmod(dir, 0o555)
}

// elapsed rounds for people.
func elapsed(since time.Time) time.Duration { return time.Since(since).Round(100 * time.Microsecond) }
