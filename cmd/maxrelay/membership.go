package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go"

	"maxrelay/queue"
)

// credentialsFile has what a worker that has joined proves itself with.
func (c Config) credentialsFile() string { return filepath.Join(c.DataDir, "worker.credentials") }

// authorityFile has the certificate by which workers on the broker's own machine know it.
func (c Config) authorityFile() string { return filepath.Join(c.DataDir, "nats.ca") }

// openRegistry lets workers join, if the broker is the built-in one.
func (p *program) openRegistry(ctx context.Context) error {
	if p.cfg.NATS.URL != "" {
		return nil
	}
	err := p.patiently(ctx, func(ctx context.Context) (err error) {
		p.members, err = p.broker.OpenRegistry(ctx)
		return err
	})
	if err != nil {
		return err
	}
	p.opened("registry", func(context.Context) { p.members.Close() })
	return nil
}

// given is what the queue asks about joined workers; nil where none can join.
func (p *program) given() func(string) ([]string, bool) {
	if p.members == nil {
		return nil
	}
	return p.members.Given
}

// membership is a worker's that has joined; empty for any other.
type membership struct {
	id          string // of this start
	credentials queue.Credentials
}

// applied is the configuration with what the worker was given: its name and its pools are the node's to say.
func (m membership) applied(c Config) Config {
	if m.id != "" {
		c.Worker.Name, c.Worker.Pools = m.credentials.Name, m.credentials.Pools
	}
	return c
}

// loadMembership finds none where nobody has joined, or where nats.url says to use another broker.
func loadMembership(c Config) (membership, error) {
	if c.NATS.URL != "" {
		return membership{}, nil
	}
	credentials, err := queue.LoadCredentials(c.credentialsFile())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return membership{}, nil
	case err != nil:
		return membership{}, err
	}
	return membership{queue.NewWorkerID(credentials.Name), credentials}, nil
}

// dialBroker connects a worker that is a process of its own.
func (p *program) dialBroker() (nc *nats.Conn, err error) {
	if p.joined, err = loadMembership(p.cfg); err != nil {
		return nil, err
	}
	if c := p.joined.credentials; p.joined.id != "" {
		unlock, err := lockFolder(p.cfg.DataDir, workerLock)
		if err != nil {
			return nil, fmt.Errorf("data_dir: %w", err)
		}
		p.opened("worker's folder", func(context.Context) { unlock() })
		p.log.Info().Str("name", c.Name).Strs("pools", c.Pools).Strs("nodes", c.URLs).Msg("this worker has joined")
		return queue.DialMember(c, p.joined.id, p.log)
	}
	url, opts, err := p.brokerAddress()
	if err != nil {
		return nil, err
	}
	nc, err = queue.Dial(url, opts)
	return nc, bySetting(err)
}

// addressOf is where a connection looks for the broker, without a credential.
func addressOf(nc *nats.Conn) string { return strings.Join(nc.Opts.Servers, ",") }

// brokerAddress is where the server at nats.url is, or the broker of the node on this machine.
func (p *program) brokerAddress() (url string, opts queue.DialOptions, err error) {
	n := p.cfg.NATS
	opts = queue.DialOptions{Name: "worker-" + p.cfg.Worker.Name, Credentials: n.Credentials, Log: p.log}
	if opts.Credentials == "" && wantsToken(n) {
		opts.TokenFile = n.TokenFile
	}
	if n.URL != "" {
		return n.URL, opts, nil
	}
	url, open, err := localBroker(n.Listen)
	if open {
		opts.CAFile = p.cfg.authorityFile()
	}
	return url, opts, err
}

// localBroker is where a listener is reached from its own machine. One that is open to others speaks TLS only.
func localBroker(listen string) (url string, open bool, err error) {
	if listen == "" {
		return "", false, errors.New("a worker needs a broker: join one with `maxrelay worker join`, or set nats.url, or nats.listen as the API node on this machine has it")
	}
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", false, err
	}
	switch ip := net.ParseIP(host); {
	case host == "localhost" || ip != nil && ip.IsLoopback():
		return "nats://" + listen, false, nil
	case ip != nil && ip.IsUnspecified():
		return "tls://" + net.JoinHostPort("localhost", port), true, nil
	}
	return "", false, errors.New("from its own machine the broker takes workers by loopback, where this nats.listen is not: `maxrelay worker join`, or have it listen at 0.0.0.0")
}

// wantsToken reports whether a worker proves itself with the token file. The broker on
// this machine asks for it, even if it has yet to be started and to write it; a server
// elsewhere does so when the operator brought its token here.
func wantsToken(n NATSConfig) bool {
	if n.URL == "" {
		return true
	}
	if strings.Contains(n.URL, "@") {
		return false
	}
	_, err := os.Stat(n.TokenFile)
	return err == nil
}
