package trust

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
)

// Anchor is by what a client recognises a node.
type Anchor struct {
	Pin  string `json:"pin,omitempty"`  // fingerprint of the authority; "": one that this machine trusts
	Name string `json:"name,omitempty"` // that the certificate must have; "": the host's that is called
}

// Anchor is the one of nodes with certificates of this authority.
func (a *Authority) Anchor() Anchor { return Anchor{Pin: a.Pin(), Name: Name} }

// Client is the TLS of a client that talks to such a node and to no other.
func (a Anchor) Client() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: a.Name}
	if a.Pin != "" {
		c.InsecureSkipVerify = true // of this machine's authorities; instead:
		c.VerifyConnection = func(s tls.ConnectionState) error { return a.verify(s) }
	}
	return c
}

// ClientOf is the TLS of a client on the node's own machine. It reads the authority's certificate at each connection,
// since the node may be started after it.
func ClientOf(file string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, ServerName: Name, InsecureSkipVerify: true, VerifyConnection: func(s tls.ConnectionState) error {
		root, err := readCertificate(file)
		if err != nil {
			return err
		}
		return Anchor{Pin: pinOf(root), Name: Name}.verify(s)
	}}
}

// ErrStranger is what a client says of a node with a certificate of another authority.
var ErrStranger = errors.New("this is not the node that was promised: its certificate is from somebody else")

// verify takes the one certificate with the pin as the authority, and checks the rest as ever.
func (a Anchor) verify(s tls.ConnectionState) error {
	name := a.Name
	if name == "" {
		name = s.ServerName
	}
	if name == "" {
		return errors.New("a certificate of your own needs a host name in the node's address, not a number")
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	found := false
	for _, c := range s.PeerCertificates {
		if pinOf(c) == a.Pin {
			found = true
			roots.AddCert(c)
		} else {
			between.AddCert(c)
		}
	}
	if !found {
		return ErrStranger
	}
	_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: name})
	return err
}

func readCertificate(file string) (*x509.Certificate, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("the authority's certificate: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s holds no certificate", file)
	}
	return x509.ParseCertificate(block.Bytes)
}
