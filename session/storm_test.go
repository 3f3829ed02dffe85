package session_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"maxrelay/session/chat"
	"maxrelay/session/claudetest"
)

func itoa(n int) string { return strconv.Itoa(n) }

// sampling calls look again and again until the returned function is called.
func sampling(look func()) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case <-time.After(2 * time.Millisecond):
				look()
			}
		}
	}()
	return func() { close(done); <-ended }
}

func TestABurstOnAnEmptyPoolStartsTwoAtATime(t *testing.T) {
	const burst = 8
	cfg := fakeConfig(claudetest.EnvStartDelay + "=100ms")
	cfg.MaxSessions, cfg.MaxSessionsPerKey = burst, burst
	f := openFakes(t, cfg)
	most := 0
	stop := sampling(func() {
		st := f.Stats()
		if living := len(children(t)); living-st.Busy-st.Idle-st.Spares > 2+1 { // one may have become ready in between
			t.Errorf("%d processes alive: %+v", living, st)
		}
		most = max(most, st.Starting)
	})
	var turns sync.WaitGroup
	for i := range burst {
		d := f.dialog("k", fmt.Sprint(i))
		turns.Go(func() { d.say("hello") })
	}
	turns.Wait()
	stop()
	if most != 2 {
		t.Errorf("%d processes started at a time, want 2", most)
	}
	if st := f.Stats(); st.Starts > burst {
		t.Errorf("%d processes were started for %d turns", st.Starts, burst)
	}
}

// gate holds up the starts of a CLI while it is closed.
type gate struct {
	t    *testing.T
	file string // there while it is open
}

func gated(t *testing.T) (path string, g gate) {
	g = gate{t, filepath.Join(t.TempDir(), "open")}
	cli, _ := claudetest.Command()
	return script(t, "until [ -e "+g.file+" ]; do sleep 0.01; done\nexec "+cli+` "$@"`), g
}

func (g gate) open() {
	g.t.Helper()
	if err := os.WriteFile(g.file, nil, 0o600); err != nil {
		g.t.Fatal(err)
	}
}

func (g gate) close() {
	g.t.Helper()
	if err := os.Remove(g.file); err != nil {
		g.t.Fatal(err)
	}
}

func TestAWaitingTurnTakesWhatComesFreeFirst(t *testing.T) {
	cfg := fakeConfig()
	path, gate := gated(t)
	cfg.Path = path
	f := openFakes(t, cfg)
	gate.open()
	d := f.dialog("k", "")
	d.mustSay("1", chat.SessionNew)
	gate.close()

	// The process is taken by a turn; a branch of the same conversation waits for another.
	ctx, cancel := context.WithCancel(t.Context())
	streaming := make(chan struct{}, 1)
	held := make(chan chat.Outcome)
	go func() {
		held <- f.Turn(ctx, d.with("[[tokens 2]] [[hang after 1]]"), func(e chat.Event) {
			if e.Text != "" {
				streaming <- struct{}{}
			}
		})
	}()
	<-streaming
	got := make(chan answer)
	branch := d.with("[[echo]] 2")
	go func() { got <- f.ask(t.Context(), branch) }()
	eventually(t, "the branch to wait", func() bool { st := f.Stats(); return st.Waiting == 1 && st.Starting == 1 })

	cancel()
	<-held
	a := <-got
	if a.Error != nil || a.Session != chat.SessionWarm {
		t.Errorf("%+v, want the process that came free", a.Outcome)
	}
	d.mustHaveHeld(a, branch)
	eventually(t, "the start that nobody needs to be given up", func() bool {
		st := f.Stats()
		return st.Starting == 0 && st.Spares == 0 && len(children(t)) == 1
	})
	if st := f.Stats(); st.FailedStarts != 0 {
		t.Errorf("%+v: a start given up is no failure", st)
	}
}

func TestAFailedStartFailsOneTurn(t *testing.T) {
	cfg := fakeConfig(claudetest.EnvCrashAtStart + "=1")
	f := openFakes(t, cfg)
	var turns sync.WaitGroup
	for i := range 3 {
		d := f.dialog("k", fmt.Sprint(i))
		turns.Go(func() {
			if a := f.ask(t.Context(), d.with("hello")); codeOf(a) != chat.CodeWorkerFailed {
				t.Errorf("%+v, want worker_failed", a.Outcome)
			}
		})
	}
	turns.Wait()
	if st := f.Stats(); st.FailedStarts != 3 || st.Waiting != 0 {
		t.Errorf("%+v, want three failed starts", st)
	}
}

// Whatever is asked, given up or killed, no more processes live than may, the ones
// being stopped included.
func TestNeverMoreProcessesThanMayBe(t *testing.T) {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed=%d", s)
	const most, clients, turns = 4, 4, 25
	cfg := fakeConfig()
	cfg.MaxSessions, cfg.MaxSessionsPerKey, cfg.Spares, cfg.MaxConversations = most, 2, 1, 3
	cfg.Hurry(time.Millisecond)
	cfg.Weigh(func(pid int) (total, private int64) { return int64(pid%7) * 20 * mb, int64(pid%5) * 60 * mb })
	cfg.MemoryLimit = 300 * mb
	f := openFakes(t, cfg)
	stop := sampling(func() {
		st := f.Stats()
		if n := len(children(t)); n > most {
			t.Errorf("%d processes live: %+v", n, st)
		}
		if n := st.Spares + st.Idle + st.Busy + st.Starting + st.Stopping; n > most || st.Busy+st.Waiting > most || st.Starting > 2 {
			t.Errorf("%+v", st)
		}
	})
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(s, uint64(c)))
			for range turns {
				d := f.dialog(fmt.Sprint("key ", rng.IntN(3)), fmt.Sprint("user ", rng.IntN(3)))
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rng.IntN(100))*time.Millisecond)
				switch rng.IntN(4) {
				case 0:
					f.ask(ctx, d.with("[[hang]]"))
				case 1:
					f.ask(t.Context(), d.with("[[tokens 2]] [[crash after 1]]"))
				default:
					f.ask(t.Context(), d.with("[[tokens 2]]"))
				}
				cancel()
			}
		})
	}
	all.Wait()
	stop()
	t.Logf("%+v", f.Stats())
	if st := f.Stats(); st.Waiting != 0 || st.Busy != 0 {
		t.Errorf("%+v, want nobody waiting", st)
	}
}
