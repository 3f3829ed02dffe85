package trust

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

const (
	oneSecret   = "one secret of thirty-two letters."
	otherSecret = "another secret that is long enough"
)

func mustAuthority(t *testing.T, secret string) *Authority {
	t.Helper()
	a, err := NewAuthority(secret)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func mustNode(t *testing.T, a *Authority, hosts ...string) tls.Certificate {
	t.Helper()
	c, err := a.Node(hosts...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// shake connects two ends over a socket and returns why either of them refused.
func shake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	served := make(chan error, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			served <- err
			return
		}
		defer conn.Close()
		_, err = tls.Server(conn, server).Write([]byte("hello"))
		served <- err
	}()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = io.ReadFull(tls.Client(conn, client), make([]byte, 5))
	return errors.Join(err, <-served)
}

func TestNodesWithOneSecretKnowEachOther(t *testing.T) {
	one, again, other := mustAuthority(t, oneSecret), mustAuthority(t, oneSecret), mustAuthority(t, otherSecret)
	if one.Pin() != again.Pin() || one.Pin() == other.Pin() {
		t.Errorf("pins %q, %q and %q", one.Pin(), again.Pin(), other.Pin())
	}
	here := one.Between(mustNode(t, one))
	if err := shake(t, here, again.Between(mustNode(t, again))); err != nil {
		t.Errorf("two nodes: %v", err)
	}
	stranger := other.Between(mustNode(t, other))
	if shake(t, here, stranger) == nil || shake(t, stranger, here) == nil {
		t.Error("a node with another secret was let in")
	}
	nobody := here.Clone()
	nobody.Certificates = nil
	if shake(t, here, nobody) == nil {
		t.Error("a caller without a certificate was let in")
	}
}

func TestAShortSecretIsRefused(t *testing.T) {
	short := strings.Repeat("x", MinSecret-1)
	if _, err := NewAuthority(short); err == nil || strings.Contains(err.Error(), short) {
		t.Errorf("err = %v", err)
	}
}
