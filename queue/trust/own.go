package trust

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
	"time"
)

// Own is a certificate that the operator brought, for clients that call a node by its host's name. Its file is read
// again when it has changed: certificates are renewed in place.
type Own struct {
	cert, key string

	mu      sync.Mutex
	current *tls.Certificate
	read    time.Time // of the file that current is from
}

// OpenOwn reads the files.
func OpenOwn(cert, key string) (*Own, error) {
	o := &Own{cert: cert, key: key}
	_, err := o.get()
	return o, err
}

// get keeps the former one while the files are no pair, as in the midst of a renewal.
func (o *Own) get() (*tls.Certificate, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	info, err := os.Stat(o.cert)
	if err == nil && info.ModTime().Equal(o.read) {
		return o.current, nil
	}
	pair, err := tls.LoadX509KeyPair(o.cert, o.key)
	switch {
	case err == nil:
		o.current = &pair
		if info != nil {
			o.read = info.ModTime()
		}
	case o.current == nil:
		return nil, fmt.Errorf("the broker's certificate: %w", err) // its words repeat paths, never what the files hold
	}
	return o.current, nil
}

// Anchor is by what clients recognise it: by its authority if the chain ends in one, else as their machines do.
func (o *Own) Anchor() Anchor {
	pair, err := o.get()
	if err != nil {
		return Anchor{}
	}
	certs, err := parseChain(pair.Certificate)
	if err != nil {
		return Anchor{}
	}
	top := certs[len(certs)-1]
	if !bytes.Equal(top.RawIssuer, top.RawSubject) {
		return Anchor{}
	}
	return Anchor{Pin: pinOf(top)}
}

func parseChain(chain [][]byte) (all []*x509.Certificate, err error) {
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// Listener is the TLS of a node's listener: its own certificate for whoever asks for that, else the operator's, if there
// is one.
func Listener(node tls.Certificate, own *Own) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if own == nil || hello.ServerName == Name {
			return &node, nil
		}
		return own.get()
	}}
}
