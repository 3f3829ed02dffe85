package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certify writes a certificate of its own authority for a name, and returns a client that
// trusts it.
func (s *site) certify(name string) *http.Client {
	s.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		s.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		s.t.Fatal(err)
	}
	write(s.t, filepath.Join(s.dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(s.t, filepath.Join(s.dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		s.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: name}}}
}

func TestHTTPS(t *testing.T) {
	t.Parallel()
	s, address := newSite(t), freeAddress(t)
	first := s.certify("relay.example.org")
	s.extra = "tls: {cert: " + filepath.Join(s.dir, "cert.pem") + ", key: " + filepath.Join(s.dir, "key.pem") + "}\n"
	_, port, _ := strings.Cut(address, ":")
	p := s.start("api", servesHTTP, scriptedCLI, "api", "--port", port)
	reaches := func(c *http.Client, url string) bool {
		resp, err := c.Get(url + "/v1/models")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
	if !strings.HasPrefix(p.url, "https://") || !reaches(first, p.url) {
		t.Errorf("%s is not reached", p.url)
	}
	if reaches(client, strings.Replace(p.url, "https", "http", 1)) {
		t.Error("plain HTTP is answered")
	}
	if list := s.mustShell("api", "key", "list", "--port", port); !strings.HasPrefix(list, "ID ") {
		t.Errorf("the list of keys is\n%s", list)
	}

	second := s.certify("relay.example.org") // renewed in place
	if _, stderr, err := s.shell("api", nil, "key", "list", "--port", port); err == nil || !strings.Contains(stderr, "the node has another certificate") {
		t.Errorf("another certificate than the file's is trusted: %v, %s", err, stderr)
	}
	p.hangup()
	if reaches(first, p.url) || !reaches(second, p.url) {
		t.Error("the renewed certificate is not in use")
	}
	write(t, filepath.Join(s.dir, "cert.pem"), "nonsense")
	if said := p.hangup(); !strings.Contains(said, "tls.cert and tls.key: ") || !reaches(second, p.url) {
		t.Errorf("a broken certificate was taken: %s", said)
	}
	p.stop()
	if _, stderr, err := s.shell("api", nil, "api", "--port", "0"); err == nil || !strings.Contains(stderr, "tls.cert and tls.key: ") {
		t.Errorf("a broken certificate starts: %v, %s", err, stderr)
	}
}
