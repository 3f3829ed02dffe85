// Package trust makes and checks the certificates by which the nodes of one installation know each other.
//
// Whoever has the installation's secret has its authority, and nobody else can make a certificate of it. So nodes that
// share the secret recognise each other without any file being copied between them, and everybody else recognises them
// by a fingerprint that never changes.
package trust

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"time"
)

// Name is what every node's certificate says, whatever the machine is called.
const Name = "broker.maxrelay.internal"

// MinSecret is the least length of a secret. Who can reach a node can try secrets without asking it, so they have to be
// random, not words.
const MinSecret = 32

// Certificates have no end of their own (RFC 5280 section 4.1.2.5) and no beginning that a wrong clock could miss: what
// ends them is a change of the secret.
var (
	always  = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	forever = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
)

// Authority makes certificates for nodes.
type Authority struct {
	key  ed25519.PrivateKey
	cert *x509.Certificate
}

// NewAuthority returns the authority of a secret, always the same for the same one.
func NewAuthority(secret string) (*Authority, error) {
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("a secret needs %d characters at least", MinSecret)
	}
	seed, err := hkdf.Key(sha256.New, []byte(secret), nil, "maxrelay authority 1", ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	a := &Authority{key: ed25519.NewKeyFromSeed(seed)}
	a.cert, err = a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "maxrelay authority"},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, a.key.Public().(ed25519.PublicKey))
	return a, err
}

// sign makes a certificate. The authority's own is the one that is made while there is none.
func (a *Authority) sign(c *x509.Certificate, public ed25519.PublicKey) (*x509.Certificate, error) {
	c.NotBefore, c.NotAfter = always, forever
	parent := a.cert
	if parent == nil {
		parent = c
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// Node makes a certificate for a node that is also reached under these host names and addresses. Its key is nowhere but
// in what is returned.
func (a *Authority) Node(hosts ...string) (tls.Certificate, error) {
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("making a key: %w", err)
	}
	c := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "maxrelay node"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{Name},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			c.IPAddresses = append(c.IPAddresses, ip)
		} else if host != "" {
			c.DNSNames = append(c.DNSNames, host)
		}
	}
	leaf, err := a.sign(c, public)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw, a.cert.Raw}, PrivateKey: key, Leaf: leaf}, nil
}

// Between is the TLS of connections among nodes: both ends prove that they have the secret.
func (a *Authority) Between(node tls.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, ServerName: Name, Certificates: []tls.Certificate{node},
		RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}
}

// PEM is the authority's certificate, for programs that want a file. It is no secret.
func (a *Authority) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// Pin is the authority's fingerprint.
func (a *Authority) Pin() string { return pinOf(a.cert) }

// pinOf is taken over the key, so that it outlives the certificate around it (as in RFC 7469).
func pinOf(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}
