package queue

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"maxrelay/queue/trust"
)

// TLSConfig is how a listener proves whose it is.
type TLSConfig struct {
	SecretFile string // what the node's certificates come from; created 0600 at the first start; a cluster has its own secret
	CAFile     string // written: the authority's certificate, for clients on this machine
	Cert, Key  string // the operator's own certificate instead, for workers elsewhere; or ""
}

func (t TLSConfig) validate() error {
	if (t.Cert == "") != (t.Key == "") {
		return errors.New("broker: a certificate and its key go together")
	}
	return nil
}

// blamed is the setting of the file that could not be read. Two files that are no pair are the certificate's.
func (t TLSConfig) blamed(err error) string {
	if file, ok := errors.AsType[*fs.PathError](err); ok && file.Path == t.Key {
		return "tls.key"
	}
	return "tls.cert"
}

const (
	handshakeWait = 5 * time.Second
	authWait      = handshakeWait + time.Second // to the end of the proof
)

// listen tells where the server listens, and whether other machines can reach that.
func (b *Broker) listen() (host string, port int, open bool, err error) {
	if b.cfg.Listen == "" {
		return "127.0.0.1", server.RANDOM_PORT, false, nil
	}
	if host, port, err = splitListen(b.cfg.Listen); err != nil {
		return "", 0, false, fmt.Errorf("broker listener: %w", err)
	}
	if host == "" || host == "localhost" {
		host = "127.0.0.1"
	}
	ip := net.ParseIP(host)
	return host, port, ip == nil || !ip.IsLoopback(), nil
}

// secure gives the listener its certificates. One that other machines reach speaks TLS only; one that they do not leaves
// it to the client.
func (b *Broker) secure(opts *server.Options, open bool) error {
	secret, err := b.clusterSecret()
	if err != nil {
		return err
	}
	if secret == "" {
		if open {
			return fmt.Errorf("broker listener: %q is not a loopback address, and there is no secret to make a certificate from", b.cfg.Listen)
		}
		return nil
	}
	authority, err := trust.NewAuthority(secret)
	if err != nil {
		return fmt.Errorf("broker listener: %w", err)
	}
	machine, _ := os.Hostname() // one without a name is reached by its address
	node, err := authority.Node(machine, "localhost", "127.0.0.1", "::1", opts.Host, hostOf(b.cfg.Advertise))
	if err != nil {
		return fmt.Errorf("broker listener: %w", err)
	}
	var own *trust.Own
	b.anchor = authority.Anchor()
	if b.cfg.TLS.Cert != "" {
		if own, err = trust.OpenOwn(b.cfg.TLS.Cert, b.cfg.TLS.Key); err != nil {
			return ofSetting(b.cfg.TLS.blamed(err), err)
		}
		b.anchor = own.Anchor()
	}
	opts.TLSConfig, opts.TLSTimeout, opts.AllowNonTLS = trust.Listener(node, own), handshakeWait.Seconds(), !open
	if b.cfg.TLS.CAFile == "" {
		return nil
	}
	if err := writePrivate(b.cfg.TLS.CAFile, authority.PEM()); err != nil {
		return fmt.Errorf("writing the broker's certificate: %w", err)
	}
	return nil
}

// clusterSecret is that of the nodes, or the node's own. Where both are the same, the workers that joined this node
// before it was one of several know all of them.
func (b *Broker) clusterSecret() (string, error) {
	if b.clustered() {
		b.compareSecrets()
		return b.cfg.Cluster.Secret, nil
	}
	if b.cfg.TLS.SecretFile == "" {
		return "", nil
	}
	return loadSecret(b.cfg.TLS.SecretFile, rand.Text()+rand.Text())
}

// compareSecrets warns of workers that joined this node on its own and will not know it in its cluster.
func (b *Broker) compareSecrets() {
	own, err := readToken(b.cfg.TLS.SecretFile)
	if err == nil && own != b.cfg.Cluster.Secret {
		b.log.Warn().Str("file", b.cfg.TLS.SecretFile).Msg("workers that joined this node before it was in a cluster do not know it now: " +
			"they join again, or all nodes take what this file has as the cluster's secret; without such workers, remove the file")
	}
}

// reachable tells whether a worker elsewhere has an address to come to.
func (b *Broker) reachable() bool {
	_, _, open, err := b.listen()
	return err == nil && (open || b.cfg.Advertise != "")
}

// advertised is where workers reach this node.
func (b *Broker) advertised() string {
	if b.cfg.Advertise != "" {
		return b.cfg.Advertise
	}
	addr, ok := b.Addr().(*net.TCPAddr)
	if !ok {
		return ""
	}
	host := addr.IP.String()
	if machine, err := os.Hostname(); err == nil && addr.IP.IsUnspecified() {
		host = machine
	}
	return net.JoinHostPort(host, strconv.Itoa(addr.Port))
}

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	return host
}
