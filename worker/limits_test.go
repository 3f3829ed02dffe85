package worker_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"maxrelay/queue"
	"maxrelay/session/chat"
	"maxrelay/session/claudetest"
	"maxrelay/worker"
)

// plan is a subscription that the CLIs of a worker share.
type plan struct {
	t    *testing.T
	file string
}

func newPlan(t *testing.T) plan { return plan{t, filepath.Join(t.TempDir(), "plan")} }

func (p plan) env() string { return claudetest.EnvSubscription + "=" + p.file }

// usedUp makes the plan refuse every turn until then, to the second.
func (p plan) usedUp(until time.Time) {
	p.t.Helper()
	if err := os.WriteFile(p.file, []byte(strconv.FormatInt(until.Unix(), 10)), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

func TestAnAccountRestsUntilItsResetAndItsJobsMove(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	limited := newPlan(t)
	w := f.join(worker.Config{Name: "limited"}, limited.env())
	if info := f.info(w); info.Account != "subscription" || info.Limits != nil {
		t.Errorf("at first the roster says %+v", info)
	}
	resets := time.Now().Add(4 * time.Second).Truncate(time.Second)
	limited.usedUp(resets)
	f.join(worker.Config{Name: "other"}, newPlan(t).env())
	moved := 0
	for time.Now().Before(resets.Add(-time.Second)) {
		s := f.ask("hello")
		if s.outcome.Error != nil || s.worker != "other" {
			t.Fatalf("while it rests: %+v (%v)", s, s.outcome.Error)
		}
		if s.attempt > 1 {
			moved++
		}
	}
	if moved != 1 {
		t.Errorf("%d jobs were moved, want the one that met the limit", moved)
	}
	if info := f.info(w); len(info.Limits) != 1 || !info.Limits[0].Reached || !info.Limits[0].ResetsAt.Equal(resets) {
		t.Errorf("the roster says %+v, want the limit that is reached", info.Limits)
	}
	f.eventually("the worker to answer again", func() bool { return f.ask("hello").worker == "limited" })
	if now := time.Now(); now.Before(resets) {
		t.Errorf("it was asked %v before the reset", resets.Sub(now))
	}
}

func TestWhenEveryAccountIsUsedUpTheFirstResetIsTold(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	for _, reset := range []time.Duration{3 * time.Hour, time.Hour, 2 * time.Hour} {
		p := newPlan(t)
		p.usedUp(time.Now().Add(reset))
		f.join(worker.Config{Name: "w"}, p.env())
	}
	s := f.ask("hello")
	if e := s.outcome.Error; e == nil || e.Code != chat.CodeUsageLimit || s.attempt != 3 || s.after.Round(time.Minute) != time.Hour {
		t.Errorf("got %+v (%v), want it refused for an hour after all were asked", s, e)
	}
	_, err := f.owner.Submit(t.Context(), f.job("k", "hello"))
	if rest, ok := errors.AsType[queue.ErrResting](err); !ok || rest.RetryAfter.Round(time.Minute) != time.Hour {
		t.Errorf("the next one: %v, want it refused for an hour at once", err)
	}
}

func TestAModelsWindowLeavesTheOthers(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w := f.join(worker.Config{Name: "w"})
	if s := f.ask("[[limit 3600 seven_day_opus]]"); s.outcome.Error == nil || s.outcome.Error.Code != chat.CodeUsageLimit {
		t.Fatalf("got %+v", s)
	}
	if info := f.info(w); len(info.Limits) != 1 || info.Limits[0].Models != "opus" {
		t.Errorf("the roster says %+v", info.Limits)
	}
	if s := f.ask("hello"); s.outcome.Error != nil {
		t.Errorf("another model: %+v", s.outcome.Error)
	}
	job := f.job("k", "hello")
	job.Model = "claude-opus-5-5"
	if _, err := f.owner.Submit(t.Context(), job); err == nil {
		t.Error("the used-up model is asked")
	}
}

func TestTheLeastUsedAccountIsAskedFirst(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.join(worker.Config{Name: "used"}, newPlan(t).env())
	if s := f.ask("[[used 70]]"); s.outcome.Error != nil {
		t.Fatal(s.outcome.Error)
	}
	f.eventually("the use to be known", func() bool { return f.owner.Workers()[0].Use == 0.7 })
	f.join(worker.Config{Name: "fresh"}, newPlan(t).env())
	f.eventually("it to be asked", func() bool { return f.ask("hello").worker == "fresh" })
	late := 0
	for range 12 {
		s := f.ask("hello")
		if s.outcome.Error != nil {
			t.Fatal(s.outcome.Error)
		}
		if s.worker != "fresh" {
			late++
		}
	}
	if late > 1 { // by the pull that was parked before its use was known
		t.Errorf("%d of 12 jobs went to the account that is used more", late)
	}
}

func TestAWorkerThatIsNotSignedInTakesNoJobs(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.join(worker.Config{Name: "out"}, claudetest.EnvLoggedOut+"=1")
	f.eventually("the worker to rest", func() bool { return len(f.owner.Workers()[0].Rests) == 1 })
	if _, err := f.owner.Submit(t.Context(), f.job("k", "hello")); !errors.Is(err, queue.ErrResting{}) {
		t.Errorf("alone: %v, want it refused without a time", err)
	}
	f.join(worker.Config{Name: "in"})
	for range 3 {
		if s := f.ask("hello"); s.worker != "in" || s.attempt != 1 || s.outcome.Error != nil {
			t.Errorf("beside another: %+v", s)
		}
	}
}
