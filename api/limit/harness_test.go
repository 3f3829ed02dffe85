package limit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"maxrelay/queue"
	"maxrelay/session/chat"
)

// hangGuard ends a test that waits for something that never comes.
const hangGuard = 90 * time.Second

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), hangGuard)
	t.Cleanup(cancel)
	return ctx
}

func testLog(t testing.TB) zerolog.Logger {
	if !testing.Verbose() {
		return zerolog.Nop()
	}
	return zerolog.New(zerolog.ConsoleWriter{Out: t.Output(), NoColor: true, TimeFormat: "05.000"}).With().Timestamp().Logger()
}

func startBroker(t testing.TB) *queue.Broker {
	t.Helper()
	b := openBroker(t, t.TempDir(), "")
	t.Cleanup(b.Close)
	return b
}

func openBroker(t testing.TB, dir, listen string) *queue.Broker {
	t.Helper()
	b, err := queue.OpenBroker(testContext(t), queue.BrokerConfig{
		Listen: listen, StoreDir: filepath.Join(dir, "nats"), TokenFile: filepath.Join(dir, "nats.token"),
	}, testLog(t))
	if err != nil {
		t.Fatalf("OpenBroker: %v", err)
	}
	return b
}

func connect(t testing.TB, b *queue.Broker) *nats.Conn {
	t.Helper()
	nc, err := b.Connect("api")
	if err != nil {
		t.Fatalf("Connect: %v", err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// startLimiter makes a limiter whose waits suit a busy test machine.
func startLimiter(t testing.TB, b *queue.Broker, cfg Config) *Limiter {
	t.Helper()
	return startLimiterOn(t, connect(t, b), cfg)
}

func startLimiterOn(t testing.TB, nc *nats.Conn, cfg Config) *Limiter {
	t.Helper()
	if cfg.Node == "" {
		cfg.Node = rand.Text()
	}
	if cfg.RateWait == 0 {
		cfg.RateWait = hangGuard
	}
	if cfg.QuotaWait == 0 {
		cfg.QuotaWait = hangGuard
	}
	l, err := Open(testContext(t), nc, cfg, testLog(t))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		l.Close(ctx)
	})
	return l
}

// startLimiters makes one for each of n nodes.
func startLimiters(t testing.TB, b *queue.Broker, n int) []*Limiter {
	t.Helper()
	all := make([]*Limiter, n)
	for i := range all {
		all[i] = startLimiter(t, b, Config{Node: fmt.Sprintf("n%d", i)})
	}
	return all
}

const testKey = "k_1"

// request asks for a prompt of input tokens and an answer of at most output.
func request(limits Limits, input, output int64) Ask {
	return Ask{Key: testKey, Request: "req_" + rand.Text(), Limits: limits, Input: input, MaxTokens: output}
}

func admit(t testing.TB, l *Limiter, a Ask) *Ticket {
	t.Helper()
	ticket, err := l.Admit(testContext(t), a)
	if err != nil {
		t.Fatalf("Admit: %v", err)
	}
	return ticket
}

func settle(t testing.TB, ticket *Ticket, used int64) {
	t.Helper()
	if err := ticket.Settle(testContext(t), used); err != nil {
		t.Fatalf("Settle: %v", err)
	}
}

func reserved(t testing.TB, ticket *Ticket, want int64) {
	t.Helper()
	if got, limited := ticket.Reserved(); got != want || !limited {
		t.Errorf("reserved %d (limited %t), want %d", got, limited, want)
	}
}

// refused expects a request to be over a limit.
func refused(t testing.TB, l *Limiter, a Ask, code chat.Code) *Refusal {
	t.Helper()
	_, err := l.Admit(testContext(t), a)
	e, ok := errors.AsType[*chat.Error](err)
	r, refused := errors.AsType[*Refusal](err)
	if !ok || !refused || e.Code != code {
		t.Fatalf("Admit: %v, want a refusal with %s", err, code)
	}
	return r
}

// awaitTotal waits until the node has read that the account's total is want and that
// nothing of it is reserved any more.
func awaitTotal(t testing.TB, l *Limiter, a account, want int64) {
	t.Helper()
	ctx := testContext(t)
	for {
		f := l.journal.follower
		f.mu.Lock()
		moved := f.moved
		f.mu.Unlock()
		if l.journal.ledger.total(a) == want && holds(l, a) == 0 {
			return
		}
		select {
		case <-moved:
		case <-ctx.Done():
			t.Fatalf("the total of %v stays at %d with %d open reservations, want %d", a, l.journal.ledger.total(a), holds(l, a), want)
		}
	}
}

func holds(l *Limiter, a account) (n int) {
	for _, h := range l.journal.ledger.open() {
		if h.account == a {
			n++
		}
	}
	return n
}

// counted is what the broker says of an account.
func counted(t testing.TB, l *Limiter, a account) int64 {
	t.Helper()
	total, err := l.journal.read(testContext(t), a)
	if err != nil {
		t.Fatalf("reading the counter: %v", err)
	}
	return total
}

func life(tokens int64) Limits { return Limits{Tokens: tokens} }

func lifeAccount() account { return account{testKey, lifetime} }

// eventually waits for a state that nothing announces.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx := testContext(t)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never happened: %s", what)
		}
	}
}
