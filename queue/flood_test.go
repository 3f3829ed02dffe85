package queue

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// A worker that says more than an owner can hear must not fill its memory.
func TestAFloodIsBounded(t *testing.T) {
	t.Parallel()
	b, r := startOpenBroker(t)
	o := startOwner(t, b, OwnerConfig{Given: r.Given})
	id := NewWorkerID("me")
	w := &rawWorker{t: t, o: o, nc: dialMember(t, join(t, r, "me", "std"), id), id: id, pools: []string{"std"}}
	w.join(4)
	heard := subscriptionOf(t, o, upSubject("*", "*"))
	nothing := bytes.Repeat([]byte("x"), 1<<20) // is heard in no time once the owner hears again

	o.mu.Lock() // so that it hears nothing
	w.publish(upSubject(id, verbBye), nil)
	for range maxUnheardBytes>>20 + 16 {
		if err := w.nc.Publish(upSubject(id, verbDirectory), nothing); err != nil {
			t.Error(err)
		}
	}
	eventually(t, "some is dropped", func() bool {
		n, err := heard.Dropped()
		return err == nil && n > 0
	})
	if _, size, err := heard.Pending(); err != nil || size > maxUnheardBytes {
		t.Errorf("%d bytes wait, %v", size, err)
	}
	o.mu.Unlock()

	eventually(t, "it hears again", func() bool {
		w.beat(presence{Slots: 7})
		all := o.Workers()
		return len(all) == 1 && all[0].Slots == 7
	})
}

func subscriptionOf(t testing.TB, o *Owner, subject string) *nats.Subscription {
	t.Helper()
	for _, sub := range o.subs {
		if sub.Subject == subject {
			return sub
		}
	}
	t.Fatalf("no subscription to %s", subject)
	return nil
}

// One that is started again and again, or says so, is forgotten as fast as it is noticed gone.
func TestAMemberHasSoManyStarts(t *testing.T) {
	t.Parallel()
	b, r := startOpenBroker(t)
	o := startOwner(t, b, OwnerConfig{Given: r.Given})
	c := join(t, r, "me", "std")
	for i := range maxStarts + 4 {
		id := fmt.Sprintf("me-%06x", i)
		nc := dialMember(t, c, id)
		eventually(t, "it is in", nc.IsConnected)
		w := &rawWorker{t: t, o: o, nc: nc, id: id}
		w.publish(upSubject(id, verbBeat), encode(presence{V: wireVersion, ID: id, Slots: 1, Hello: true, Client: 1 << 40})) // another's connection
		w.request(ownerSubject(o.node, verbAlive, id), []byte("{}"))
		nc.Close()
	}
	awaitRoster(t, o, func(all []WorkerInfo) bool { return len(all) >= maxStarts })
	startWorkerAtTLS(t, b, WorkerConfig{Name: "local"}, echo)
	awaitRoster(t, o, func(all []WorkerInfo) bool {
		if len(all) > maxStarts+1 {
			t.Fatalf("%d are known", len(all))
		}
		return all[0].Name == "local" || all[len(all)-1].Name == "local"
	})
}

// Names are shown to people and are in headers of answers.
func TestAMemberGoesByItsName(t *testing.T) {
	t.Parallel()
	b, r := startOpenBroker(t)
	o := startOwner(t, b, OwnerConfig{Given: r.Given})
	id := NewWorkerID("box-2")
	nc := dialMember(t, join(t, r, "box-2", "std"), id)
	eventually(t, "it is in", nc.IsConnected)
	w := &rawWorker{t: t, o: o, nc: nc, id: id}
	for _, name := range []string{"box\x1b2", "box 2", "api", ""} {
		w.publish(upSubject(id, verbBeat), encode(presence{V: wireVersion, ID: id, Slots: 1, Name: name, Version: name}))
		awaitRoster(t, o, func(all []WorkerInfo) bool { return len(all) == 1 && all[0].Version == name })
		if got := o.Workers()[0].Name; got != "box-2" {
			t.Errorf("called %q it goes by %q", name, got)
		}
	}
}

// The id that a connection is admitted under is what its permissions are for.
func TestAConnectionProvesItselfOnce(t *testing.T) {
	t.Parallel()
	_, r := startOpenBroker(t)
	c := join(t, r, "me", "std")
	key, err := nkeys.FromSeed([]byte(c.Seed))
	if err != nil {
		t.Fatal(err)
	}
	s := openSpeaker(t, c)
	prove := func(id string) string {
		signature, err := key.Sign([]byte(s.nonce))
		if err != nil {
			t.Fatal(err)
		}
		return s.say("CONNECT " + string(encode(map[string]any{
			"name": id, "nkey": publicKey(t, c), "sig": base64.RawURLEncoding.EncodeToString(signature), "protocol": 1, "verbose": false, "lang": "go", "version": "1",
		})))
	}
	if answer := prove("me-000001"); answer != "PONG" {
		t.Fatalf("the first time: %q", answer)
	}
	if answer := prove("me-000002"); answer == "PONG" {
		t.Error("it took a second id")
	}
}

// speaker is a client that says what no library would.
type speaker struct {
	t     testing.TB
	conn  net.Conn
	lines *bufio.Scanner
	nonce string
}

func openSpeaker(t testing.TB, c Credentials) *speaker {
	t.Helper()
	plain, err := net.Dial("tcp", c.URLs[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { plain.Close() })
	hello := bufio.NewScanner(plain)
	hello.Scan()
	var info struct{ Nonce string }
	if err := json.Unmarshal([]byte(strings.TrimPrefix(hello.Text(), "INFO ")), &info); err != nil {
		t.Fatal(err)
	}
	conn := tls.Client(plain, c.Anchor.Client())
	return &speaker{t: t, conn: conn, lines: bufio.NewScanner(conn), nonce: info.Nonce}
}

// say returns what comes back that is not about the server: PONG where it had nothing against it, "" where it hung up.
func (s *speaker) say(line string) string {
	s.t.Helper()
	if _, err := fmt.Fprint(s.conn, line+"\r\nPING\r\n"); err != nil {
		return err.Error()
	}
	for s.lines.Scan() {
		if answer := s.lines.Text(); !strings.HasPrefix(answer, "INFO") && answer != "PING" {
			return answer
		}
	}
	return ""
}
