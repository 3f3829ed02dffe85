package limit

import (
	"bytes"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"maxrelay/queue"
	"maxrelay/session/chat"
)

// far starts a node that reaches its broker over TCP, so that it can outlive it.
func far(t *testing.T, dir string, b *queue.Broker) *nats.Conn {
	t.Helper()
	nc, err := queue.Dial(b.ClientURL(), queue.DialOptions{Name: "api", TokenFile: filepath.Join(dir, "nats.token"), Log: testLog(t)})
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func TestWithoutTheBroker(t *testing.T) {
	dir := t.TempDir()
	b := openBroker(t, dir, "127.0.0.1:0")
	address := b.Addr().(*net.TCPAddr).String()
	l := startLimiterOn(t, far(t, dir, b), Config{Tick: 20 * time.Millisecond, RateWait: 50 * time.Millisecond, QuotaWait: 100 * time.Millisecond})
	both := Limits{Rate: Rate{3, time.Hour}, Tokens: 1000}
	running := admit(t, l, request(both, 10, 90))
	if w := l.Warning(); w != "" {
		t.Errorf("warns of %q", w)
	}
	b.Close()

	admit(t, l, request(hourly(3), 1, 1)) // counted by this node alone
	admit(t, l, request(hourly(3), 1, 1))
	refused(t, l, request(hourly(3), 1, 1), chat.CodeRateLimited)
	_, err := l.Admit(testContext(t), request(life(1000), 10, 90))
	if e, ok := errors.AsType[*chat.Error](err); !ok || e.Code != chat.CodeNoWorker {
		t.Errorf("a request that needs a reservation: %v", err)
	}
	if w := l.Warning(); !strings.Contains(w, "quotas") {
		t.Errorf("warns of %q, want quotas", w)
	}
	if err := running.Settle(testContext(t), 60); err == nil {
		t.Error("settled without a broker")
	}

	b = openBroker(t, dir, address)
	defer b.Close()
	awaitTotal(t, l, lifeAccount(), 60)
	eventually(t, "the warning ends", func() bool { return l.Warning() == "" })
	refused(t, l, request(hourly(3), 1, 1), chat.CodeRateLimited)
	settle(t, admit(t, l, request(life(1000), 10, 90)), 5)
	awaitTotal(t, l, lifeAccount(), 65)
}

// What is left of a cluster without a majority can still be read, and knows what it had before.
func TestOnlyAChangeThatIsKeptEndsTheWarning(t *testing.T) {
	j := startLimiter(t, startBroker(t), Config{Tick: time.Hour}).journal
	before := entry{account: lifeAccount(), request: "r", step: stepFirst, change: 1}
	if _, err := j.write(testContext(t), before); err != nil {
		t.Fatal(err)
	}
	j.ailing.kept(lifeAccount(), errors.New("no majority"))
	if total, err := j.read(testContext(t), lifeAccount()); total != 1 || err != nil || !j.ailing.is() {
		t.Errorf("after a read: %d, %v, ailing %t", total, err, j.ailing.is())
	}
	if _, err := j.write(testContext(t), before); !errors.Is(err, errRepeated) || !j.ailing.is() {
		t.Errorf("after a change that was there: %v, ailing %t", err, j.ailing.is())
	}
	j.probe(testContext(t))
	if total, err := j.read(testContext(t), lifeAccount()); total != 1 || err != nil || j.ailing.is() {
		t.Errorf("after a change of nothing: %d, %v, ailing %t", total, err, j.ailing.is())
	}
}

func TestAilingIsToldOnce(t *testing.T) {
	var log bytes.Buffer
	a := ailing{log: zerolog.New(&log)}
	lost := errors.New("no majority")
	for range 3 {
		a.kept(lifeAccount(), lost)
		a.heard(nil)
		a.heard(lost)
	}
	a.kept(lifeAccount(), nil)
	a.heard(nil)
	a.heard(lost)
	a.heard(nil)
	if got := log.String(); strings.Count(got, "are not kept") != 2 || strings.Count(got, "kept again") != 2 {
		t.Errorf("logged %s", got)
	}
}
