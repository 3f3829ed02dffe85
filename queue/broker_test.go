package queue

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

func TestTheListenerAsksForTheToken(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	token, err := readToken(b.cfg.TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	addr := b.Addr().String()
	for name, tc := range map[string]struct {
		url  string
		opts []nats.Option
		ok   bool
	}{
		"nothing":                     {"nats://" + addr, nil, false},
		"a wrong token":               {"nats://wrong@" + addr, nil, false},
		"the token in the URL":        {"nats://" + token + "@" + addr, nil, true},
		"the token as a password":     {"nats://" + addr, []nats.Option{nats.UserInfo("me", token)}, true},
		"the process's secret":        {"nats://" + addr, []nats.Option{nats.Token(b.secret)}, false},
		"the secret as a system user": {"nats://" + addr, []nats.Option{nats.UserInfo(systemUser, b.secret)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			nc, err := nats.Connect(tc.url, tc.opts...)
			if (err == nil) != tc.ok {
				t.Errorf("Connect = %v", err)
			}
			if nc != nil {
				nc.Close()
			}
		})
	}
}

func TestTheTokenDoesNotOpenTheSystemAccount(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	token, _ := readToken(b.cfg.TokenFile)
	nc, err := nats.Connect("nats://"+b.Addr().String(), nats.UserInfo(systemUser, token))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Request("$SYS.REQ.SERVER.PING", nil, 200*time.Millisecond); err == nil {
		t.Error("the server answered a system request")
	}
}

func TestTheTokenIsKeptAndPrivate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "data", "nats.token")
	first, err := loadSecret(path, "a token of the test's own")
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if again, err := loadSecret(path, "a token of the test's own"); err != nil || again != first {
		t.Errorf("loaded again: same %v, %v", again == first, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := loadSecret(path, "a token of the test's own"); err == nil || strings.Contains(err.Error(), first) {
		t.Errorf("a token open to others: %v", err)
	}
}

func TestListenersOtherMachinesCanReachNeedCertificates(t *testing.T) {
	t.Parallel()
	for listen, ok := range map[string]bool{
		"":               true,
		"127.0.0.1:4222": true,
		":4222":          true, // loopback, unlike in package net
		"localhost:0":    true,
		"[::1]:0":        true,
		"0.0.0.0:4222":   false,
		"10.0.0.1:4222":  false,
		"[::]:4222":      false,
		"example.com:1":  false,
		"127.0.0.1":      false,
		"127.0.0.1:x":    false,
		"127.0.0.1:-1":   false,
	} {
		b := &Broker{cfg: BrokerConfig{Listen: listen, StoreDir: t.TempDir()}.withDefaults()}
		if _, err := b.options(); (err == nil) != ok {
			t.Errorf("%q: %v", listen, err)
		}
	}
}

func TestATakenPortIsAnError(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := t.TempDir()
	b, err := OpenBroker(testContext(t), BrokerConfig{
		Listen: l.Addr().String(), StoreDir: filepath.Join(dir, "nats"), TokenFile: filepath.Join(dir, "nats.token"),
	}, zerolog.Nop())
	if err == nil {
		b.Close()
		t.Fatal("the broker opened")
	}
	if !strings.Contains(err.Error(), "in use") {
		t.Errorf("err = %v", err)
	}
}

func TestABrokerWithoutAListener(t *testing.T) {
	t.Parallel()
	b, err := OpenBroker(testContext(t), BrokerConfig{StoreDir: filepath.Join(t.TempDir(), "nats")}, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if b.Addr() != nil || b.ClientURL() != "" {
		t.Errorf("it listens at %v, %q", b.Addr(), b.ClientURL())
	}
	o := startOwner(t, b, OwnerConfig{})
	nc, err := b.Connect("worker")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	w, err := NewWorker(t.Context(), nc, WorkerConfig{Pools: []string{"std"}, Slots: 1}, echo, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	awaitWorkers(t, o, 1)
	if r := read(t, submit(t, o, job("in process"))); r.text != "in process" {
		t.Errorf("got %+v", r)
	}
}

func TestFileStreamsOutliveTheBroker(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg := BrokerConfig{StoreDir: filepath.Join(dir, "nats")}
	for round := range 2 {
		b, err := OpenBroker(testContext(t), cfg, testLog(t))
		if err != nil {
			t.Fatal(err)
		}
		nc, err := b.Connect("test")
		if err != nil {
			t.Fatal(err)
		}
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		kv, err := js.CreateOrUpdateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "KEYS"})
		if err != nil {
			t.Fatal(err)
		}
		if round == 0 {
			if _, err := kv.PutString(t.Context(), "a", "kept"); err != nil {
				t.Fatal(err)
			}
		} else if e, err := kv.Get(t.Context(), "a"); err != nil || string(e.Value()) != "kept" {
			t.Errorf("Get = %v, %v", e, err)
		}
		nc.Close()
		b.Close()
	}
}

func TestAWorkerMayStartBeforeTheBroker(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	cfg := BrokerConfig{Listen: addr, StoreDir: filepath.Join(dir, "nats"), TokenFile: filepath.Join(dir, "nats.token")}
	nc, err := Dial("nats://"+addr, DialOptions{Name: "early", TokenFile: cfg.TokenFile, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	w, err := NewWorker(t.Context(), nc, WorkerConfig{Pools: []string{"std"}, Slots: 1}, echo, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	b, err := OpenBroker(testContext(t), cfg, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	o := startOwner(t, b, OwnerConfig{})
	defer o.Close(cancelled())
	awaitWorkers(t, o, 1)
	if r := read(t, submit(t, o, job("x"))); r.text != "x" {
		t.Errorf("got %+v", r)
	}
}

func TestErrorsAndLogsHoldNoCredentials(t *testing.T) {
	t.Parallel()
	const secret = "SECRET0123456789ABCDEF"
	var out bytes.Buffer
	log := zerolog.New(zerolog.SyncWriter(&out))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := OpenBroker(ctx, BrokerConfig{URL: "nats://" + secret + "@127.0.0.1:1"}, log)
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("an address where nobody listens: %v", err)
	}
	_, err = Dial("nats://"+secret+"@127.0.0.1:port", DialOptions{Name: "w"})
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("an address that is none: %v", err)
	}
	line := newServerLog(log, secret)
	line.Errorf("authentication error for %s", secret)
	if strings.Contains(out.String(), secret) {
		t.Errorf("log: %s", out.String())
	}
}

func TestCredentialsLeaveTheURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"nats://t@h:1":                 "nats://h:1",
		"nats://u:p@h:1,tls://u:p@g:2": "nats://h:1,tls://g:2",
		"h:1, t@g:2":                   "h:1,g:2",
		"nats://u:p@ss@h:1":            "nats://h:1",
		"nats://h:1":                   "nats://h:1",
	} {
		if got := cleanURL(url); got != want {
			t.Errorf("%q became %q", url, got)
		}
	}
}

func TestABrokerTellsOfDisconnects(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	gone := b.Disconnects()
	nc := dialTCP(t, b, b.ClientURL(), "short-lived")
	eventually(t, "it is connected", nc.IsConnected)
	id, err := nc.GetClientID()
	if err != nil {
		t.Fatal(err)
	}
	want := Disconnect{Server: nc.ConnectedServerId(), Client: id}
	nc.Close()
	for receive(t, "the disconnect", gone) != want {
	}
}
