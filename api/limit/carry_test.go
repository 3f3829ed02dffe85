package limit

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

func TestCountersGoAlongWhenTheNumberOfReplicasChanges(t *testing.T) {
	b := startBroker(t)
	nc := connect(t, b)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	several := newJournal(nc, js, ofSeveral, "gone.1", Config{Replicas: 1, QuotaWait: hangGuard}, testLog(t))
	if err := several.follower.open(ctx); err != nil {
		t.Fatal(err)
	}
	defer several.follower.stop()
	today := account{"k_2", "20260331"}
	for _, e := range []entry{
		{account: lifeAccount(), request: "r1", step: stepFirst, change: 100},
		{account: lifeAccount(), request: "r1", step: stepEnd, change: -70},
		{account: today, request: "r2", step: stepFirst, change: 7},
		{account: today, request: "r2", step: stepEnd},
		{account: lifeAccount(), request: "counted", step: stepFirst, change: 50}, // and never settled
		{account: lifeAccount(), request: "lost", step: stepFirst, change: 500},
	} {
		if _, err := several.write(ctx, e); err != nil {
			t.Fatal(err)
		}
	}

	cfg := Config{Node: "n"}.withDefaults()
	cfg.Used = func(context.Context, Abandoned) (int64, bool, error) { return 0, false, errors.New("not now") }
	if _, err := Open(ctx, nc, cfg, testLog(t)); err == nil {
		t.Error("opened without knowing what was used")
	}
	cfg.Used = func(_ context.Context, a Abandoned) (int64, bool, error) { return 40, a.Request == "counted", nil }
	l := startLimiterOn(t, nc, cfg)
	awaitTotal(t, l, lifeAccount(), 30+40)
	awaitTotal(t, l, today, 7)
	settle(t, admit(t, l, request(life(100), 10, 20)), 25)
	awaitTotal(t, l, lifeAccount(), 30+40+25)
	if _, err := js.Stream(ctx, ofSeveral.stream); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("the other stream: %v, want it gone", err)
	}
}
