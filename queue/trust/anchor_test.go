package trust

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// write makes the files of a certificate as an operator would.
func write(t *testing.T, c tls.Certificate) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	var chain []byte
	for _, der := range c.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string][]byte{cert: chain, key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestAClientTakesTheNodeItWasPromised(t *testing.T) {
	one, other := mustAuthority(t, oneSecret), mustAuthority(t, otherSecret)
	file := filepath.Join(t.TempDir(), "ca")
	if err := os.WriteFile(file, one.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	own, err := OpenOwn(write(t, mustNode(t, other, "api.example.org")))
	if err != nil {
		t.Fatal(err)
	}
	byHost := own.Anchor().Client()
	byHost.ServerName = "api.example.org"
	wrongHost := own.Anchor().Client()
	wrongHost.ServerName = "elsewhere.example.org"
	noHost := own.Anchor().Client()

	ours, theirs := Listener(mustNode(t, one), nil), Listener(mustNode(t, other), nil)
	both := Listener(mustNode(t, one), own)
	for name, tc := range map[string]struct {
		node, client *tls.Config
		ok           bool
	}{
		"the node":                     {ours, one.Anchor().Client(), true},
		"another node":                 {theirs, one.Anchor().Client(), false},
		"the node, by its file":        {ours, ClientOf(file), true},
		"another node, by its file":    {theirs, ClientOf(file), false},
		"the node, no file yet":        {ours, ClientOf(file + "-to-be"), false},
		"by this machine's trust":      {ours, Anchor{Name: Name}.Client(), false},
		"a certificate of their own":   {both, byHost, true},
		"… under another host's name":  {both, wrongHost, false},
		"… under a number":             {both, noHost, false},
		"… and ours for those who ask": {both, one.Anchor().Client(), true},
	} {
		if err := shake(t, tc.node, tc.client); (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARenewedCertificateIsTakenIntoUse(t *testing.T) {
	a := mustAuthority(t, oneSecret)
	cert, key := write(t, mustNode(t, a, "old.example.org"))
	own, err := OpenOwn(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	shown := func() string {
		c, err := own.get()
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(c.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.DNSNames[1]
	}
	later := func(file string) {
		if err := os.Chtimes(file, time.Time{}, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	newCert, newKey := write(t, mustNode(t, a, "new.example.org"))
	move := func(from, to string) {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	move(newCert, cert)
	later(cert)
	if got := shown(); got != "old.example.org" {
		t.Errorf("in the midst of the renewal: %s", got)
	}
	move(newKey, key)
	if got := shown(); got != "new.example.org" {
		t.Errorf("afterwards: %s", got)
	}
}

func TestACertificateThatIsNotThereIsAnError(t *testing.T) {
	if _, err := OpenOwn("gone.pem", "gone.key"); err == nil {
		t.Error("it was opened")
	}
}
