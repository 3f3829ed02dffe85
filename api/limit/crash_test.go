package limit

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// vigilant nodes take others for dead quickly.
func vigilant(node string) Config {
	return Config{Node: node, Tick: 20 * time.Millisecond, Grace: time.Nanosecond}
}

// kill lets a node's connection end as its process would.
func kill(l *Limiter) {
	l.nc.Close()
	l.stop()
	l.done.Wait()
}

func TestReservationsOfADeadNodeAreSettled(t *testing.T) {
	b := startBroker(t)
	dying := startLimiter(t, b, Config{Node: "dying"})
	nothing, known := request(life(1000), 10, 90), request(life(1000), 10, 190)
	admit(t, dying, nothing)
	admit(t, dying, known)
	settle(t, admit(t, dying, request(life(1000), 10, 10)), 15)

	cfg := vigilant("heir")
	var failed atomic.Bool
	cfg.Used = func(_ context.Context, a Abandoned) (int64, bool, error) {
		if a.Key != testKey || a.Node != dying.self || a.Since.IsZero() {
			t.Errorf("asked for %+v", a)
		}
		if !failed.Swap(true) {
			return 0, false, errors.New("not now")
		}
		return 123, a.Request == known.Request, nil
	}
	heir := startLimiter(t, b, cfg)
	mine := admit(t, heir, request(life(1000), 10, 90))
	settle(t, mine, 50)
	if got := counted(t, heir, lifeAccount()); got != 100+200+15+50 {
		t.Errorf("counter is %d while the node lives, want %d", got, 100+200+15+50)
	}
	kill(dying)
	awaitTotal(t, heir, lifeAccount(), 123+15+50)
}

func TestHeirsSettleOnce(t *testing.T) {
	b := startBroker(t)
	dying := startLimiter(t, b, Config{Node: "dying"})
	for range 20 {
		admit(t, dying, request(life(10000), 10, 90))
	}
	heirs := []*Limiter{startLimiter(t, b, vigilant("a")), startLimiter(t, b, vigilant("b")), startLimiter(t, b, vigilant("c"))}
	kill(dying)
	for _, l := range heirs {
		awaitTotal(t, l, lifeAccount(), 0)
	}
}

func TestANodeSettlesItsFormerStart(t *testing.T) {
	b := startBroker(t)
	first := startLimiter(t, b, Config{Node: "n"})
	admit(t, first, request(life(1000), 10, 90))
	twin := startLimiter(t, b, Config{Node: "n"}) // by mistake: the first one lives
	if got := counted(t, twin, lifeAccount()); got != 100 {
		t.Errorf("counter is %d, want 100: the reservation is in use", got)
	}
	kill(first)
	again := startLimiter(t, b, Config{Node: "n"})
	if got := counted(t, again, lifeAccount()); got != 0 {
		t.Errorf("counter is %d after the start, want 0", got)
	}
}

func TestANodeThatWasTakenForDeadCorrectsItsCounts(t *testing.T) {
	b := startBroker(t)
	silent := startLimiter(t, b, Config{Node: "silent", Tick: 20 * time.Millisecond})
	short, grown := admit(t, silent, request(life(1000), 10, 90)), admit(t, silent, request(life(1000), 10, 90))
	if err := silent.here.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	awaitTotal(t, startLimiter(t, b, vigilant("heir")), lifeAccount(), 0)
	awaitTotal(t, silent, lifeAccount(), 0)

	settle(t, short, 40)
	if got, err := grown.Grow(testContext(t), 100); err != nil || got != 100 {
		t.Errorf("grew by %d, %v", got, err)
	}
	settle(t, grown, 150)
	awaitTotal(t, silent, lifeAccount(), 190)
	eventually(t, "all ends are known", func() bool { return pending(silent) == 0 })
	if got := counted(t, silent, lifeAccount()); got != 190 {
		t.Errorf("counter is %d, want 190", got)
	}
}

func pending(l *Limiter) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ended) + len(l.live)
}

func TestSettleAfterAnotherNodeDidUnnoticed(t *testing.T) {
	b := startBroker(t)
	l := startLimiter(t, b, Config{Tick: 20 * time.Millisecond})
	other := startLimiter(t, b, Config{})
	ticket := admit(t, l, request(life(1000), 10, 90))
	l.journal.follower.stop() // it will see it later
	if _, err := other.journal.write(testContext(t), ticket.end(0)); err != nil {
		t.Fatal(err)
	}
	settle(t, ticket, 40)
	awaitTotal(t, l, lifeAccount(), 40)
}

func TestLostAcksCountOnce(t *testing.T) {
	l := startLimiter(t, startBroker(t), Config{Tick: 20 * time.Millisecond})
	ask := request(life(1000), 10, 90)
	lost := entry{account: lifeAccount(), request: ask.Request, step: stepFirst, change: 100}
	if _, err := l.journal.write(testContext(t), lost); err != nil { // its ack never came
		t.Fatal(err)
	}
	ticket := admit(t, l, ask)
	reserved(t, ticket, 100)
	if got := counted(t, l, lifeAccount()); got != 100 {
		t.Errorf("counter is %d, want 100", got)
	}
	if _, err := l.journal.write(testContext(t), ticket.end(60)); err != nil { // nor did this one's
		t.Fatal(err)
	}
	settle(t, ticket, 60)
	awaitTotal(t, l, lifeAccount(), 60)
	eventually(t, "all ends are known", func() bool { return pending(l) == 0 })
	if got := counted(t, l, lifeAccount()); got != 60 {
		t.Errorf("counter is %d, want 60", got)
	}
}

func TestUnsureReservationsAreSettledFromTheLedger(t *testing.T) {
	l := startLimiter(t, startBroker(t), Config{Tick: 20 * time.Millisecond})
	ticket := admit(t, l, request(life(1000), 10, 90))
	grown := entry{account: lifeAccount(), request: ticket.ask.Request, step: "1", change: 50}
	if _, err := l.journal.write(testContext(t), grown); err != nil {
		t.Fatal(err)
	}
	ticket.unsure = true // nobody was told of it
	settle(t, ticket, 70)
	awaitTotal(t, l, lifeAccount(), 70)
}
