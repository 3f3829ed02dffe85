package limit

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

func TestFollowingGoesOnWhereItStopped(t *testing.T) {
	b := startBroker(t)
	writer := startLimiter(t, b, Config{})
	reader := startLimiter(t, b, Config{Tick: 20 * time.Millisecond})
	f := reader.journal.follower
	for i := range 50 {
		settle(t, admit(t, writer, request(life(10000), 1, 1)), 1)
		switch i {
		case 10: // what is sent now is lost
			f.stop()
		case 30: // and here is a gap
			f.mu.Lock()
			f.next += 5
			f.mu.Unlock()
		}
	}
	awaitTotal(t, reader, lifeAccount(), 50)
	reader.journal.ledger.mu.Lock()
	defer reader.journal.ledger.mu.Unlock()
	if n := len(reader.journal.ledger.holds); n != 0 {
		t.Errorf("%d reservations seem open", n)
	}
}

func TestFollowingEndsAtMessagesThatAreGone(t *testing.T) {
	b := startBroker(t)
	l := startLimiter(t, b, Config{Tick: 20 * time.Millisecond})
	settle(t, admit(t, l, request(life(100), 1, 1)), 1)
	last := request(life(100), 1, 1)
	last.Key = "k_2"
	settle(t, admit(t, l, last), 1)
	if err := l.journal.purge(testContext(t), []surplus{{account: account{"k_2", lifetime}}}); err != nil {
		t.Fatal(err)
	}
	fresh := startLimiter(t, b, Config{Tick: time.Hour})
	awaitTotal(t, fresh, lifeAccount(), 1)
	if current, err := fresh.journal.follower.check(testContext(t)); !current || err != nil {
		t.Errorf("current %t, %v", current, err)
	}
}

func TestALostStreamIsMadeAnew(t *testing.T) {
	l := startLimiter(t, startBroker(t), Config{Tick: 20 * time.Millisecond})
	settle(t, admit(t, l, request(life(100), 1, 1)), 70)
	for _, stream := range []string{rateStream, ofOne.stream} {
		if err := l.journal.js.DeleteStream(testContext(t), stream); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the loss is noticed", func() bool { return l.journal.ledger.total(lifeAccount()) == 0 })
	settle(t, admit(t, l, request(life(100), 1, 1)), 30)
	awaitTotal(t, l, lifeAccount(), 30)
	eventually(t, "rates are kept", func() bool {
		_, err := l.journal.js.Stream(testContext(t), rateStream)
		return err == nil
	})
	admit(t, l, request(hourly(1), 1, 1))
}

func TestCompactedStreamTellsTheSame(t *testing.T) {
	b := startBroker(t)
	l := startLimiter(t, b, Config{})
	var open *Ticket
	for i := range compactWorth {
		ticket := admit(t, l, request(life(1e6), 1, 1))
		if i == compactWorth-20 {
			open = ticket
			continue
		}
		settle(t, ticket, 3)
	}
	const used = 3 * (compactWorth - 1)
	before := messages(t, l)
	for range 2 {
		if err := l.journal.follower.reach(testContext(t), before); err != nil {
			t.Fatal(err)
		}
		l.compact(testContext(t))
	}
	if after := messages(t, l); after > 64 {
		t.Errorf("%d messages of %d are left", after, before)
	}
	heir := startLimiter(t, b, Config{})
	if holds := heir.journal.ledger.open(); len(holds) != 1 || holds[0].request != open.ask.Request || holds[0].tokens != 2 {
		t.Errorf("open after compaction: %+v", holds)
	}
	settle(t, open, 5)
	awaitTotal(t, heir, lifeAccount(), used+5)
}

func messages(t *testing.T, l *Limiter) uint64 {
	t.Helper()
	info, err := l.journal.follower.info(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return info.State.Msgs
}

func TestStrangeMessagesAreSkipped(t *testing.T) {
	l := startLimiter(t, startBroker(t), Config{})
	for i, e := range []entry{
		{account: account{"k_1", lifetime}, request: "no step", step: "0", node: "n.1", change: 1},
		{account: account{"k_1", lifetime}, request: "r", step: "0", node: "nobody", change: 1},
	} {
		_, err := l.journal.js.PublishMsg(testContext(t), e.message(ofOne), jetstream.WithMsgID(e.id()+strconv.Itoa(i)+" "))
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.journal.js.Publish(testContext(t), "rate.k_1", []byte("nonsense")); err != nil {
		t.Fatal(err)
	}
	settle(t, admit(t, l, request(life(100), 1, 1)), 1)
	admit(t, l, request(hourly(1), 1, 1))
	awaitTotal(t, l, lifeAccount(), 3)
}

func ExampleRate() {
	fmt.Printf("%s\n", encodeRate(DefaultTiers["basic"]))
	// Output: 100/1m0s
}
