package queue

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// fullPool is an owner whose only worker has its one slot taken.
func fullPool(t *testing.T) (*Broker, *Owner, *gated, *Worker) {
	t.Helper()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{Node: "one", StickyWait: time.Minute})
	g := newGated()
	w := startWorker(t, b, WorkerConfig{Name: "box", Slots: 1}, g.handle)
	awaitWorkers(t, o, 1)
	submit(t, o, named("first", "k_run"))
	receive(t, "the task that fills it", g.started)
	awaitRoster(t, o, func(all []WorkerInfo) bool { return all[0].Busy == 1 })
	return b, o, g, w
}

func named(request, key string) Job {
	j := job("")
	j.Request, j.KeyID = request, key
	return j
}

func TestWhereAJobStands(t *testing.T) {
	t.Parallel()
	_, o, g, _ := fullPool(t)
	o.mu.Lock()
	o.turn = 8 * time.Second
	o.mu.Unlock()
	var hog []*Call
	for i := range 4 {
		hog = append(hog, submit(t, o, named(fmt.Sprint("hog", i), "k_hog")))
	}
	other := submit(t, o, named("other", "k_other"))
	for i, tc := range []struct {
		call     *Call
		position int
	}{
		{hog[0], 2}, // the other key has a turn too, and might be before it
		{hog[1], 3},
		{hog[3], 5},
		{other, 2}, // one turn of the hog at most
	} {
		s, ok := tc.call.Standing()
		if !ok || s.Position != tc.position || s.Estimate != time.Duration(tc.position)*8*time.Second {
			t.Errorf("job %d: %+v %v, want position %d", i, s, ok, tc.position)
		}
	}
	before, _ := hog[3].Standing()
	hog[1].Cancel()
	if s, ok := hog[3].Standing(); !ok || s.Position != before.Position-1 {
		t.Errorf("after one before it left: %+v %v, want position %d", s, ok, before.Position-1)
	}
	close(g.release)
	for _, c := range []*Call{hog[0], hog[2], hog[3], other} {
		read(t, c)
		if s, ok := c.Standing(); ok {
			t.Errorf("a job that is over stands at %+v", s)
		}
	}
}

func TestAnEstimateCountsDownToTheEndOfTheWait(t *testing.T) {
	now := time.Now()
	c := &Call{queueUntil: now.Add(40 * time.Second)}
	for i, step := range []struct {
		at, position int
		turns, want  time.Duration
	}{
		{0, 3, 30 * time.Second, 30 * time.Second},
		{10, 3, 30 * time.Second, 20 * time.Second},
		{15, 2, 20 * time.Second, 20 * time.Second}, // it moved on
		{20, 1, 90 * time.Second, 20 * time.Second}, // it is given up before
		{30, 1, 5 * time.Second, time.Second},       // overdue: at any moment now
		{39, 1, 500 * time.Millisecond, 500 * time.Millisecond},
		{50, 1, 5 * time.Second, 0},
	} {
		if got := c.stoodLocked(step.position, step.turns, now.Add(time.Duration(step.at)*time.Second)); got != step.want {
			t.Errorf("step %d: %v, want %v", i, got, step.want)
		}
	}
}

func TestAJobWithAFreeSlotWaitsForNothing(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	startRawWorker(t, b, o, "w1", 4) // which pulls nothing
	if s, ok := submit(t, o, job("")).Standing(); !ok || s.Position != 1 || s.Estimate != 0 {
		t.Errorf("got %+v %v, want the first place and no wait", s, ok)
	}
}

func TestALookShowsTheQueueOfEveryNode(t *testing.T) {
	t.Parallel()
	b, o, g, w := fullPool(t)
	second := startOwner(t, b, OwnerConfig{Node: "two"})
	awaitWorkers(t, second, 1)
	submit(t, o, named("a", "k_a"))
	submit(t, o, named("b", "k_a"))
	submit(t, second, named("c", "k_c"))
	w.Hold("p", "k_run", keys(1), false)
	holds(t, o, w, "p", keys(1), false)
	sticky := named("s", "k_s")
	sticky.Prefixes = keys(1)
	submit(t, o, sticky)

	looks, err := o.Look(testContext(t))
	if err != nil || len(looks) != 2 || !strings.HasPrefix(looks[0].Node, "one-") || !strings.HasPrefix(looks[1].Node, "two-") {
		t.Fatalf("got %+v, %v", looks, err)
	}
	where := map[string]Place{}
	for _, l := range looks {
		for _, j := range l.Waiting {
			where[j.Request] = j.Place
			if j.Left <= 0 || j.Pool != "std" || j.Model != "m" || j.Waited <= 0 {
				t.Errorf("%s: %+v", j.Request, j)
			}
			if j.Place == PlaceWorker && (j.Worker != w.ID() || j.Until <= 0) {
				t.Errorf("it waits for %s, %v more", j.Worker, j.Until)
			}
		}
	}
	if want := map[string]Place{"a": PlaceBroker, "b": PlaceLine, "c": PlaceBroker, "s": PlaceWorker}; fmt.Sprint(where) != fmt.Sprint(want) {
		t.Errorf("they wait at %v, want %v", where, want)
	}
	if r := looks[0].Running; len(r) != 1 || r[0].Request != "first" || r[0].Worker != w.ID() || r[0].Attempt != 1 || r[0].Content {
		t.Errorf("running: %+v", r)
	}
	if k := looks[0].Keys; k[0].KeyID != "k_a" || k[0].Waiting != 2 {
		t.Errorf("keys: %+v", k)
	}
	if raw, _ := json.Marshal(looks); strings.Contains(string(raw), firstID(o)) {
		t.Error("a job's id is told, which is its worker's secret")
	}
	close(g.release)
}

func firstID(o *Owner) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id := range o.calls {
		return id
	}
	return ""
}

func TestALookIsBounded(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	startRawWorker(t, b, o, "w1", 4)
	const jobs = maxLooked + 100
	for i := range jobs {
		j := named(strings.Repeat("r", 128), fmt.Sprintf("k_%d", i%8))
		j.Model = strings.Repeat("m", maxModel)
		submit(t, o, j)
	}
	looks, err := o.Look(testContext(t))
	if err != nil || len(looks) != 1 || len(looks[0].Waiting) != maxLooked {
		t.Fatalf("%d looks, %v", len(looks), err)
	}
	if size := len(encode(looks[0])); 2*size > 1<<20 { // as much may run
		t.Errorf("%d bytes of waiting jobs alone", size)
	}
	sum := 0
	for _, k := range looks[0].Keys {
		sum += k.Waiting
	}
	if sum != jobs {
		t.Errorf("%d jobs wait by key, want %d", sum, jobs)
	}
}

func TestSessionsAreListed(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	w := startWorker(t, b, WorkerConfig{}, echo)
	awaitWorkers(t, o, 1)
	w.Hold("10", "k_b", keys(1), false)
	w.Hold("2", "k_a", keys(1, 2, 3), true)
	holds(t, o, w, "2", keys(1, 2, 3), true)
	holds(t, o, w, "10", keys(1), false)
	want := []SessionInfo{{w.ID(), "2", "k_a", 3, true}, {w.ID(), "10", "k_b", 1, false}}
	if got := o.Sessions(); !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
