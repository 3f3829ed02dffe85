package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"maxrelay/queue"
	"maxrelay/session"
	"maxrelay/session/selftest"
)

func doctorCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "doctor", Short: "Check this machine: CLI, sign-in, isolation, ports, folders", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := LoadConfig(c.Flags(), os.Environ())
			if err != nil {
				return err
			}
			api, _ := c.Flags().GetBool("api") // of a flag that is there
			return doctor(c.Context(), cfg, api, c.OutOrStdout())
		},
	}
	c.Flags().Bool("api", false, "this machine runs `maxrelay api`, no worker: it need not be signed in")
	return c
}

// errUnwell is the doctor's exit: what is wrong has been said line by line.
var errUnwell = errors.New("something has to be mended first")

// findings are a doctor's lines.
type findings struct {
	out  io.Writer
	api  bool // the machine has no worker
	sick bool
}

func (f *findings) ok(format string, args ...any) { fmt.Fprintf(f.out, "ok    "+format+"\n", args...) }
func (f *findings) note(format string, args ...any) {
	fmt.Fprintf(f.out, "note  "+format+"\n", args...)
}
func (f *findings) bad(format string, args ...any) {
	f.sick = true
	fmt.Fprintf(f.out, "FAIL  "+format+"\n", args...)
}

// badWorker is no fault of a machine without one.
func (f *findings) badWorker(format string, args ...any) {
	if f.api {
		f.note(format+" (only a worker needs it)", args...)
		return
	}
	f.bad(format, args...)
}

func (f *findings) check(name string, err error) {
	if err != nil {
		f.bad("%s: %v", name, err)
		return
	}
	f.ok("%s", name)
}

// doctor says what is well and what is not, and fails if anything is not.
func doctor(ctx context.Context, cfg Config, api bool, out io.Writer) error {
	f := &findings{out: out, api: api}
	f.check("data folder "+cfg.DataDir+" is writable", writable(cfg.DataDir))
	if file := cfg.Stats.File; file != "" {
		f.check("folder of usage file "+file+" is writable", writable(filepath.Dir(file)))
	}
	f.check("HTTP address is free", free(net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port))))
	if cfg.Admin.Address != "" {
		f.check("management's address is free", free(cfg.Admin.Address))
	}
	if cfg.TLS.Cert != "" {
		_, err := loadCertificate(cfg.TLS)
		f.check("certificate "+cfg.TLS.Cert, err)
	}
	if cfg.NATS.URL == "" && cfg.NATS.Listen != "" {
		f.check("broker address is free", free(cfg.NATS.Listen))
	}
	if c := cfg.NATS.Cluster; c.on() {
		f.check("cluster address is free", free(c.Listen))
	}
	f.examineCLI(ctx, f.examineMembership(cfg))
	if f.sick {
		return errUnwell
	}
	return nil
}

// examineMembership returns the configuration as a worker has it that has joined.
func (f *findings) examineMembership(cfg Config) Config {
	m, err := loadMembership(cfg)
	switch c := m.credentials; {
	case err != nil:
		f.bad("%v", err)
	case m.id != "":
		f.ok("joined %s as %s, for pool %s", strings.Join(c.URLs, ", "), c.Name, strings.Join(c.Pools, " and "))
		f.check("the node admits this worker", queue.TryMember(c))
	}
	return m.applied(cfg)
}

func (f *findings) examineCLI(ctx context.Context, cfg Config) {
	wc, err := workerConfig(cfg)
	if err != nil {
		f.bad("worker: %v", err)
		return
	}
	path, err := exec.LookPath(wc.Session.Path)
	if err != nil {
		f.badWorker("claude CLI: %v; install it with `npm install -g @anthropic-ai/claude-code`, or set worker.cli.path", err)
		return
	}
	id, err := session.Probe(ctx, wc.Session)
	if err != nil {
		f.badWorker("claude CLI %s: %v", path, err)
		return
	}
	f.ok("claude CLI %s, version %s", path, id.Version)
	if id.Version != session.TestedCLI {
		f.note("maxrelay is tested with version %s; another one serves if it passes what follows, see docs/cli-versions.md", session.TestedCLI)
	}
	if id.Account.SignedIn() {
		f.ok("signed in (%s)", id.Account)
		f.examineAccount(cfg, id.Account)
	} else {
		f.badWorker("not signed in: run `claude` here and log in, or give the worker an API key; see README, \"Terms\"")
	}
	f.note("%d turns at a time, at most %d sessions", wc.Slots, wc.Session.MaxSessions)
	f.examineFiles(mostFiles(), wc.Session.MaxSessions)
	f.examineIsolation(ctx, cfg, wc.Session)
}

// Open files that a session takes, three pipes, on Linux a handle on the process, and the
// connection of the client that it answers; and what the rest of the program takes.
const (
	filesOfSession = 5
	filesBesides   = 256
)

// examineFiles looks whether all sessions may be open at a time.
func (f *findings) examineFiles(limit uint64, sessions int) {
	if need := uint64(filesBesides + filesOfSession*sessions); limit < need {
		f.bad("open files: at most %d are allowed, and %d sessions take up to %d: raise the hard limit (`ulimit -Hn`, systemd's LimitNOFILE)", limit, sessions, need)
	}
}

// mostFiles is the hard limit, to which a Go program raises its own.
func mostFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0 // getrlimit(2) knows no such error
	}
	return limit.Max
}

// examineAccount says the rule about personal subscriptions where others may be served by
// one. Whose keys they are only the operator knows.
func (f *findings) examineAccount(cfg Config, account session.Account) {
	if account != session.AccountSubscription || !cfg.Auth.Enabled {
		return
	}
	keys := 0
	for _, pool := range cfg.Worker.Pools {
		keys += len(cfg.Auth.keysOf(pool))
	}
	f.note("the subscription answers for every API key of pool %s: %d in the configuration, and any made with `maxrelay key create`. "+
		"A personal subscription is for its owner's own use. If any of these keys is somebody else's, move it to another pool "+
		"(auth.pools, `maxrelay key update --pool`), or sign this worker in with an API key, Bedrock or Vertex; see README, \"Terms\"",
		strings.Join(cfg.Worker.Pools, " and "), keys)
}

func (f *findings) examineIsolation(ctx context.Context, cfg Config, sc session.Config) {
	checks, err := selftest.Run(ctx, sc, cfg.DataDir)
	if err != nil {
		f.bad("isolation: %v", err)
		return
	}
	for _, c := range checks {
		f.check("isolation: "+c.Name, c.Err)
	}
}

// writable makes the folder if it is not there and a file in it.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, "doctor-")
	if err != nil {
		return err
	}
	file.Close()
	return os.Remove(file.Name())
}

func free(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}
