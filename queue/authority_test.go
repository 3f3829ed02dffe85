package queue

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"maxrelay/queue/trust"
)

// The way from one node to three, in docs/operations.md: its workers stay where the cluster gets the node's own secret.
func TestWorkersKnowANodeAgainInACluster(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nats.secret")
	anchor := func(cluster ClusterConfig) (trust.Anchor, string) {
		var log strings.Builder
		b := &Broker{cfg: BrokerConfig{Listen: "0.0.0.0:0", Cluster: cluster, TLS: TLSConfig{SecretFile: file}}, log: zerolog.New(&log)}
		if err := b.secure(&server.Options{}, true); err != nil {
			t.Fatal(err)
		}
		return b.anchor, log.String()
	}
	alone, _ := anchor(ClusterConfig{})
	own, err := readToken(file)
	if err != nil {
		t.Fatal(err)
	}
	if among, log := anchor(ClusterConfig{Name: "c", Secret: own}); among != alone || log != "" {
		t.Errorf("with the node's secret its anchor was %v and is %v, and it says %q", alone, among, log)
	}
	if among, log := anchor(ClusterConfig{Name: "c", Secret: testSecret}); among == alone || !strings.Contains(log, "workers that joined this node before") || strings.Contains(log, own) {
		t.Errorf("with another secret its anchor is %v, and it says %q", among, log)
	}
}

func TestANodeSaysOnceAMinuteThatItIsNotKnown(t *testing.T) {
	var said strings.Builder
	log := newServerLog(zerolog.New(&said))
	for range 50 {
		log.Errorf("%s - cid:%d - TLS handshake error: remote error: tls: bad certificate", "192.0.2.7:40000", 5)
	}
	log.Errorf("something else")
	if lines := strings.Count(said.String(), "\n"); lines != 2 || !strings.Contains(said.String(), "192.0.2.7") || !strings.Contains(said.String(), "has to join again") {
		t.Errorf("said %d lines:\n%s", lines, said.String())
	}
}

// The words of the server and of TLS are not ours.
func TestANodeHearsThatItIsNotKnown(t *testing.T) {
	dir := t.TempDir()
	said := make(lines, 100)
	b, err := OpenBroker(testContext(t), BrokerConfig{
		Listen: "0.0.0.0:0", StoreDir: filepath.Join(dir, "nats"), TokenFile: filepath.Join(dir, "nats.token"), TLS: TLSConfig{SecretFile: filepath.Join(dir, "nats.secret")},
	}, zerolog.New(said).Level(zerolog.WarnLevel))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	_, port, err := splitListen(b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if nc, err := nats.Connect(fmt.Sprint("tls://127.0.0.1:", port), nats.Secure(trust.Anchor{Pin: "another", Name: trust.Name}.Client()), nats.NoReconnect()); err == nil {
		nc.Close()
		t.Fatal("it was taken for another node")
	}
	for line := range said {
		if strings.Contains(line, "has to join again") {
			return
		}
	}
}

// lines is a log whose lines can be waited for.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

func TestAWorkerDoesNotPressANodeThatIsNotItsOwn(t *testing.T) {
	r := &refusals{log: testLog(t)}
	if r.pause(1) >= refusedPause {
		t.Error("it waits long for a node that is not there")
	}
	r.say(trust.ErrStranger)
	if r.pause(1) != refusedPause {
		t.Error("it tries a node of another authority again at once")
	}
}
