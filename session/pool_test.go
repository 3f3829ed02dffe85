package session_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"maxrelay/session"
	"maxrelay/session/chat"
	"maxrelay/session/claudetest"
)

func TestSparesAreRefilledOneAtATimeAndUsedFirst(t *testing.T) {
	cfg := fakeConfig()
	cfg.Spares = 2
	f := openFakes(t, cfg)
	ready := func() bool {
		st := f.Stats()
		if st.Starting > 1 {
			t.Error("two spares are started at a time")
		}
		return st.Spares == 2
	}
	eventually(t, "two spares", ready)
	spares := children(t)
	d := f.dialog("k", "")
	if pid := d.pid(); pid != spares[0] && pid != spares[1] {
		t.Errorf("process %d answered, though %v were ready", pid, spares)
	}
	eventually(t, "another spare", ready)
	if n := len(children(t)); n != 3 {
		t.Errorf("%d processes, want the session and two spares", n)
	}
	f.news.mustHold(session.Stats{Idle: 1})
}

func TestDeadSpareIsReplaced(t *testing.T) {
	cfg := fakeConfig()
	cfg.Spares = 1
	f := openFakes(t, cfg)
	eventually(t, "a spare", func() bool { return f.Stats().Spares == 1 })
	pids := kill(t, f.bench, 9)
	eventually(t, "another spare", func() bool {
		now := children(t)
		return len(now) == 1 && now[0] != pids[0] && f.Stats().Spares == 1
	})
	f.dialog("k", "").mustSay("hello", chat.SessionNew)
}

func TestUnusedSessionsExpire(t *testing.T) {
	cfg := fakeConfig()
	cfg.IdleTTL = 50 * time.Millisecond
	f := openFakes(t, cfg)
	f.dialog("k", "a").mustSay("one", chat.SessionNew)
	f.dialog("k", "b").mustSay("two", chat.SessionNew)
	eventually(t, "the sessions to expire", func() bool { return f.Stats().Idle == 0 && len(children(t)) == 0 })
	f.news.mustHold(session.Stats{})
}

func TestFullPoolGivesUpTheLongestIdle(t *testing.T) {
	cfg := fakeConfig()
	cfg.MaxSessions, cfg.MaxSessionsPerKey = 2, 2
	f := openFakes(t, cfg)
	a, b, c := f.dialog("k", "a"), f.dialog("k", "b"), f.dialog("other", "c")
	a.mustSay("1", chat.SessionNew)
	b.mustSay("1", chat.SessionNew)
	a.mustSay("2", chat.SessionWarm)
	c.mustSay("1", chat.SessionNew)
	f.news.mustHold(session.Stats{Idle: 2})
	a.mustSay("3", chat.SessionWarm)
	b.mustSay("2", chat.SessionReplayed)
	f.news.mustKnow(b.req)
}

func TestOneKeyGivesUpItsOwnSessionsFirst(t *testing.T) {
	cfg := fakeConfig()
	cfg.MaxSessions, cfg.MaxSessionsPerKey = 4, 2
	f := openFakes(t, cfg)
	other := f.dialog("other", "")
	other.mustSay("1", chat.SessionNew)
	for i := range 4 {
		f.dialog("greedy", fmt.Sprint(i)).mustSay("1", chat.SessionNew)
		if st := f.Stats(); st.Idle > 3 {
			t.Errorf("after %d conversations of one key: %+v", i+1, st)
		}
	}
	other.mustSay("2", chat.SessionWarm)
}

func TestOneKeyMayRunEverywhereButKeepsItsShareOnly(t *testing.T) {
	cfg := fakeConfig()
	cfg.MaxSessions, cfg.MaxSessionsPerKey = 4, 2
	f := openFakes(t, cfg)
	f.hold(4, "greedy").finish()
	if st := f.Stats(); st.Idle != 2 || st.Ended[session.EndKey] != 2 {
		t.Errorf("%+v, want two sessions of the key and two that ended for it", st)
	}
	f.news.mustHold(session.Stats{Idle: 2})
}

// holding is turns that wait in the middle of their answers.
type holding struct {
	cancel context.CancelFunc
	turns  sync.WaitGroup
	mu     sync.Mutex
	ended  []chat.Outcome
}

// hold starts n turns of as many users and returns when all of them stream.
func (f *fakes) hold(n int, key string) *holding {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	h := &holding{cancel: cancel}
	streaming := make(chan struct{}, n)
	for i := range n {
		req := f.dialog(key, fmt.Sprint("held ", i)).with("[[tokens 2]] [[hang after 1]]")
		h.turns.Go(func() {
			out := f.Turn(ctx, req, func(e chat.Event) {
				if e.Text != "" {
					streaming <- struct{}{}
				}
			})
			h.mu.Lock()
			defer h.mu.Unlock()
			h.ended = append(h.ended, out)
		})
	}
	for range n {
		select {
		case <-streaming:
		case <-time.After(20 * time.Second):
			f.t.Fatal("the turns do not begin: ", f.log)
		}
	}
	return h
}

// finish cancels the turns and returns how they ended.
func (h *holding) finish() []chat.Outcome {
	h.cancel()
	h.turns.Wait()
	return h.ended
}

func TestFullPoolWithOnlyBusySessionsSaysSo(t *testing.T) {
	cfg := fakeConfig()
	cfg.MaxSessions, cfg.MaxSessionsPerKey = 2, 2
	f := openFakes(t, cfg)
	h := f.hold(2, "k")
	f.news.mustHold(session.Stats{Busy: 2})
	d := f.dialog("k", "one more")
	if a := f.ask(t.Context(), d.with("hello")); a.Error == nil || a.Error.Code != chat.CodeQueueFull {
		t.Errorf("outcome %+v, want worker_failed", a.Outcome)
	}
	for _, out := range h.finish() {
		if out.Error == nil || out.Error.Code != chat.CodeCancelled {
			t.Errorf("held turn: %+v, want cancelled", out)
		}
	}
	d.mustSay("hello", chat.SessionNew)
}

func TestTurnWaitsForTheSpareThatTakesTheLastPlace(t *testing.T) {
	cfg := fakeConfig(claudetest.EnvStartDelay + "=200ms")
	cfg.MaxSessions, cfg.MaxSessionsPerKey, cfg.Spares = 1, 1, 1
	f := openFakes(t, cfg)
	eventually(t, "the spare to be started", func() bool { return f.Stats().Starting == 1 })
	f.dialog("k", "").mustSay("hello", chat.SessionNew)
	if n := len(children(t)); n != 1 {
		t.Errorf("%d processes, want 1", n)
	}
}

func TestProcessIsReplacedAfterManyConversations(t *testing.T) {
	cfg := fakeConfig()
	cfg.MaxSessions, cfg.MaxSessionsPerKey, cfg.MaxConversations = 1, 1, 2
	f := openFakes(t, cfg)
	var pids []int
	for range 4 {
		pids = append(pids, f.dialog("k", "").pid())
	}
	if pids[0] != pids[1] || pids[1] != pids[2] || pids[2] == pids[3] {
		t.Errorf("processes %v, want a new one after two cuts to empty", pids)
	}
}

func TestAProcessGoesOnWithItsLastConversation(t *testing.T) {
	cfg := fakeConfig()
	cfg.MaxSessions, cfg.MaxSessionsPerKey, cfg.MaxConversations = 1, 1, 1
	f := openFakes(t, cfg)
	f.dialog("k", "").pid()
	last := f.dialog("k", "")
	pid := last.pid()
	last.mustSay("and on", chat.SessionWarm)
	if again := last.pid(); again != pid {
		t.Errorf("process %d went on with the conversation of process %d", again, pid)
	}
	if other := f.dialog("k", "").pid(); other == pid {
		t.Error("a process began more conversations than it may")
	}
	if st := f.Stats(); st.Ended[session.EndUses] != 1 {
		t.Errorf("ended: %v, want one by its uses", st.Ended)
	}
}

func TestFailedFirstTurnsCountAsConversations(t *testing.T) {
	cfg := fakeConfig()
	cfg.MaxSessions, cfg.MaxSessionsPerKey, cfg.MaxConversations = 1, 1, 2
	f := openFakes(t, cfg)
	for range 2 {
		f.ask(t.Context(), f.dialog("k", "").with("[[status 500]]"))
	}
	eventually(t, "the process to be recycled", func() bool { return len(children(t)) == 0 })
}

func TestCloseWhileTurnsRun(t *testing.T) {
	f := openFakes(t, fakeConfig())
	h := f.hold(4, "k")
	f.Close()
	if left := children(t); len(left) != 0 {
		t.Errorf("processes %v outlived Close", left)
	}
	for _, out := range h.finish() {
		if out.Error == nil || out.Error.Code != chat.CodeWorkerFailed {
			t.Errorf("%+v, want worker_failed", out)
		}
	}
	if a := f.ask(t.Context(), f.dialog("k", "").with("late")); a.Error == nil {
		t.Error("a closed pool answered")
	}
}

func TestCloseDoesNotWaitForAProcessThatStarts(t *testing.T) {
	f := openFakes(t, fakeConfig(claudetest.EnvStartDelay+"=10m"))
	done := make(chan answer)
	go func() { done <- f.ask(t.Context(), f.dialog("k", "").with("hello")) }()
	eventually(t, "a process to be started", func() bool { return len(children(t)) == 1 })
	within(t, "Close", f.Close)
	if a := <-done; a.Error == nil || a.Error.Code != chat.CodeWorkerFailed {
		t.Errorf("%+v, want worker_failed", a.Outcome)
	}
}

func TestSecondCloseWaitsForTheFirst(t *testing.T) {
	cfg := fakeConfig()
	cfg.Spares = 2
	f := openFakes(t, cfg)
	eventually(t, "spares", func() bool { return f.Stats().Spares == 2 })
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(func() {
			f.Close()
			if left := children(t); len(left) != 0 {
				t.Errorf("Close returned before %v ended", left)
			}
		})
	}
	closers.Wait()
}

// within is a guard against hanging.
func within(t testing.TB, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal(what, " hangs")
	}
}

// A process that dies the moment it is claimed must not stay in the directory.
func TestProcessThatDiesAtItsClaimIsGone(t *testing.T) {
	cfg := fakeConfig()
	cfg.Path = script(t, greeting)
	f := openFakes(t, cfg)
	for range 10 {
		if a := f.ask(t.Context(), f.dialog("k", "").with("hello")); a.Error == nil || a.Error.Code != chat.CodeWorkerFailed {
			t.Errorf("%+v, want worker_failed", a.Outcome)
		}
	}
	eventually(t, "the directory to forget", func() bool { return f.news.count() == session.Stats{} })
}

// greeting answers the first control request as the CLI does.
const greeting = `
read -r line
id=$(printf %s "$line" | sed 's/.*"request_id":"\([^"]*\)".*/\1/')
printf '{"type":"control_response","response":{"subtype":"success","request_id":"%s","response":{"version":"1"}}}\n' "$id"
`

func script(t testing.TB, body string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "claude")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nPATH=/usr/bin:/bin\n"+body), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFailingStartsAreSpacedOut(t *testing.T) {
	t.Parallel()
	starts := filepath.Join(t.TempDir(), "starts")
	cfg := fakeConfig()
	cfg.Path, cfg.Spares = script(t, "echo x >>"+starts), 1
	begun := time.Now()
	f := openFakes(t, cfg)
	eventually(t, "three failures", func() bool { return f.log.count("no spare process") >= 3 })
	if took := time.Since(begun); took < time.Second { // the pauses are 0.5 s and 1 s
		t.Errorf("three failed starts in %v", took)
	}
}

func TestSessionsExpireWhileStartsFail(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken")
	path, _ := claudetest.Command()
	cfg := fakeConfig()
	cfg.Path = script(t, "[ -e "+broken+" ] && exit 1\nexec "+path+` "$@"`)
	cfg.Spares, cfg.IdleTTL = 1, 700*time.Millisecond
	f := openFakes(t, cfg)
	eventually(t, "a spare", func() bool { return f.Stats().Spares == 1 })
	if err := os.WriteFile(broken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.dialog("k", "").mustSay("hello", chat.SessionNew)
	eventually(t, "the session to expire", func() bool { return f.Stats().Idle == 0 })
	if f.log.count("no spare process") == 0 {
		t.Error("no start has failed")
	}
}
