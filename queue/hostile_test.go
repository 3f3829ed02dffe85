package queue

import (
	"math"
	"strings"
	"testing"
)

// What a holder of the token may send must not crash or stall anybody.

func TestADirectoryUpdateCannotOverflowItsBounds(t *testing.T) {
	key := Key{1}
	u := directoryUpdate{V: wireVersion, Changes: []chainChange{{Ref: "p", Keep: math.MaxInt, Add: key[:]}}}
	if _, err := parseDirectory(encode(u)); err == nil {
		t.Error("a chain of 2^63 keys was taken")
	}
	u.Changes = make([]chainChange, maxHoldings+1)
	for i := range u.Changes {
		u.Changes[i].Ref = "p"
	}
	if _, err := parseDirectory(encode(u)); err == nil {
		t.Error("more changes were taken than there are processes")
	}
}

func TestASignOfLifeIsOfASize(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	w := startRawWorker(t, b, o, "w-123456", 4)
	inbox := w.nc.NewRespInbox()
	answers, err := w.nc.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.nc.PublishRequest(ownerSubject(o.node, verbAlive, w.id), inbox, encode(aliveRequest{Running: make([]attempt, maxRunning+1)})); err != nil {
		t.Fatal(err)
	}
	if reply := w.alive(make([]attempt, maxRunning)...); len(reply.Gone) != maxRunning { // behind it
		t.Errorf("%d are gone", len(reply.Gone))
	}
	if n, _, err := answers.Pending(); n != 0 || err != nil {
		t.Errorf("%d answers to one that is too long, %v", n, err)
	}
}

func TestAHeartbeatIsOfASize(t *testing.T) {
	for name, tc := range map[string]struct {
		p  presence
		ok bool
	}{
		"a common one":   {presence{Slots: 64, Info: encode("Claude Code")}, true},
		"too many slots": {presence{Slots: math.MaxInt}, false},
		"too busy":       {presence{Busy: math.MaxInt}, false},
		"a long story":   {presence{Info: encode(strings.Repeat("x", maxPresence))}, false},
	} {
		tc.p.V, tc.p.ID = wireVersion, "w-123456"
		if _, err := parsePresence(encode(tc.p)); (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARepeatedKeyCostsNoMoreThanAnother(t *testing.T) {
	o := &Owner{workers: make(map[string]*remote), holders: make(map[Key]map[*holding]int), closed: true}
	w := &remote{holdings: make(map[string]*holding)}
	same := make([]Key, maxChain)
	for i := range 64 { // 2^20 keys are offered, all alike
		h := &holding{worker: w}
		w.holdings[string(rune('a'+i))] = h
		o.indexLocked(h, same)
	}
	if w.keys != maxKeys {
		t.Errorf("%d keys are known, the bound is %d", w.keys, maxKeys)
	}
	if o.forgetLocked(w); len(o.holders) != 0 || w.keys != 0 {
		t.Errorf("left: %d entries, %d keys", len(o.holders), w.keys)
	}
}

func TestABodyOfNegativeSizeIsNotTaken(t *testing.T) {
	for _, size := range []int{-1, math.MinInt, maxBody + 1} {
		if err := (&Worker{}).body(&Task{size: size, sum: []byte{1}}); err == nil {
			t.Errorf("a body of %d bytes was taken", size)
		}
	}
}

// A worker serves its pools only, whoever puts a ticket where it pulls them.
func TestATicketOfAPoolThatIsNotServedIsNotClaimed(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	w := startWorker(t, b, WorkerConfig{Name: "w"}, echo)
	startRawWorkerOf(t, b, o, "other", "private")
	awaitWorkers(t, o, 2)
	j := job("secret")
	j.Pool = "private"
	c := submit(t, o, j)
	misled := encode(ticket{V: wireVersion, Job: j.ID, Place: 1, Node: o.node, Key: j.KeyID, Pool: j.Pool})
	before := jobsWaiting(t, o)
	if _, err := o.js.Publish(testContext(t), stickySubject(w.ID()), misled); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the ticket is taken off", func() bool { return jobsWaiting(t, o) == before })
	o.mu.Lock()
	defer o.mu.Unlock()
	if c.phase != phaseTicketed || c.epoch != 0 {
		t.Errorf("the job was claimed: phase %d, epoch %d", c.phase, c.epoch)
	}
}
