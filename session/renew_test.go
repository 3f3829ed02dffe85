package session_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"maxrelay/session"
	"maxrelay/session/chat"
	"maxrelay/session/claudetest"
)

// installation is a CLI that its operator replaces: path is a link to one of several.
type installation struct {
	t    *testing.T
	path string
	dir  string

	mu    sync.Mutex
	asked []string        // versions, as Vet was asked
	bad   map[string]bool // files that Vet is to find wanting
}

func install(t *testing.T) *installation {
	in := &installation{t: t, dir: t.TempDir(), bad: make(map[string]bool)}
	in.path = filepath.Join(in.dir, "claude")
	in.use("first")
	return in
}

// use makes name the CLI at the path. Each notes its starts.
func (in *installation) use(name string) {
	in.t.Helper()
	file := in.file(name)
	if _, err := os.Stat(file); err != nil {
		cli, _ := claudetest.Command()
		text := fmt.Sprintf("#!/bin/sh\necho x >>%s\nexec %s \"$@\"\n", file+".starts", cli)
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			in.t.Fatal(err)
		}
	}
	link := in.path + ".new"
	if err := errors.Join(os.Symlink(file, link), os.Rename(link, in.path)); err != nil {
		in.t.Fatal(err)
	}
}

func (in *installation) file(name string) string { return filepath.Join(in.dir, name) }

func (in *installation) remove(name string) {
	in.t.Helper()
	if err := os.Remove(in.file(name)); err != nil {
		in.t.Fatal(err)
	}
}

func (in *installation) starts(name string) int {
	raw, _ := os.ReadFile(in.file(name) + ".starts")
	return strings.Count(string(raw), "x")
}

var errUnsafe = errors.New("caller text is not literal")

func (in *installation) vet(_ context.Context, version string) error {
	at, err := os.Readlink(in.path)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.asked = append(in.asked, version)
	if err == nil && in.bad[filepath.Base(at)] {
		return errUnsafe
	}
	return err
}

func (in *installation) vetted() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return len(in.asked)
}

func (in *installation) config() session.Config {
	cfg := fakeConfig()
	cfg.Path, cfg.Vet = in.path, in.vet
	cfg.MaxSessions, cfg.MaxSessionsPerKey = 8, 8
	cfg.Hurry(time.Hour)
	return cfg
}

func TestAReplacedCLIRenewsThePoolStepByStep(t *testing.T) {
	in := install(t)
	cfg := in.config()
	cfg.Spares = 1
	f := openFakes(t, cfg)
	a, b, c := f.dialog("k", "a"), f.dialog("k", "b"), f.dialog("k", "c")
	for _, d := range []*dialog{a, b, c} {
		d.mustSay("1", chat.SessionNew)
	}
	h := f.hold(1, "k")
	eventually(t, "a spare", func() bool { return f.Stats().Spares == 1 })
	before := in.starts("first")

	in.use("second")
	eventually(t, "a spare of the new CLI, and one session to go", func() bool {
		st := f.Stats()
		return st.Spares == 1 && st.Idle == 2 && st.Starting+st.Stopping == 0 && in.starts("second") == 1
	})
	if st := f.Stats(); st.Busy != 1 || st.Ended[session.EndOutdated] != 2 {
		t.Errorf("%+v, want the turn undisturbed, one spare and one session ended", st)
	}
	h.finish()
	if st := f.Stats(); st.Idle != 2 || st.Ended[session.EndOutdated] != 3 {
		t.Errorf("%+v, want the busy one ended with its turn", st)
	}
	b.mustSay("2", chat.SessionWarm) // what is left of the old goes on for one more turn
	a.mustSay("2", chat.SessionReplayed)
	b.mustSay("3", chat.SessionReplayed)
	if n := in.starts("first"); n != before {
		t.Errorf("%d processes of the old CLI were started after it was replaced", n-before)
	}
	if n := in.vetted(); n != 2 {
		t.Errorf("vetted %d times, want once each", n)
	}
}

func TestIdleSessionsOfAReplacedCLIAllGo(t *testing.T) {
	in := install(t)
	cfg := in.config()
	cfg.Hurry(time.Millisecond)
	f := openFakes(t, cfg)
	for i := range 4 {
		f.dialog("k", fmt.Sprint(i)).mustSay("1", chat.SessionNew)
	}
	in.use("second")
	eventually(t, "the old sessions to go", func() bool { return f.Stats().Idle == 0 })
	if n := in.starts("second"); n != 1 {
		t.Errorf("%d processes were started to find out about the new CLI", n)
	}
}

func TestAFullPoolMakesRoomToTryANewCLI(t *testing.T) {
	in := install(t)
	cfg := in.config()
	cfg.MaxSessions, cfg.MaxSessionsPerKey = 2, 2
	f := openFakes(t, cfg)
	f.dialog("k", "a").mustSay("1", chat.SessionNew)
	f.dialog("k", "b").mustSay("1", chat.SessionNew)
	in.use("second")
	eventually(t, "the new CLI to be in use", func() bool { return in.starts("second") > 0 && f.Stats().Spares == 1 })
}

func TestACLIThatFailsItsTestIsNotUsed(t *testing.T) {
	in := install(t)
	in.bad["second"] = true
	cfg := in.config()
	cfg.Spares = 1
	f := openFakes(t, cfg)
	d := f.dialog("k", "a")
	d.mustSay("1", chat.SessionNew)
	eventually(t, "a spare", func() bool { return f.Stats().Spares == 1 })

	in.use("second")
	eventually(t, "the refusal", func() bool { return f.Stats().Refused != "" })
	if st := f.Stats(); st.Refused != errUnsafe.Error() || st.Version != claudetest.Version {
		t.Errorf("%+v, want the reason", st)
	}
	d.mustSay("2", chat.SessionWarm)
	for i := range 3 { // the former is still there
		f.dialog("k", fmt.Sprint("new ", i)).mustSay("1", chat.SessionNew)
	}
	if n := in.starts("second"); n != 1 {
		t.Errorf("%d processes of a CLI that is not used", n)
	}
	if n := in.vetted(); n != 2 {
		t.Errorf("vetted %d times, want once each", n)
	}
	if n := f.log.count("is not used"); n != 1 {
		t.Errorf("the reason was logged %d times:\n%s", n, f.log)
	}
}

func TestWithoutAGoodCLIWhatRunsGoesOn(t *testing.T) {
	in := install(t)
	in.bad["second"] = true
	f := openFakes(t, in.config())
	d := f.dialog("k", "a")
	d.mustSay("1", chat.SessionNew)
	in.use("second")
	in.remove("first")
	for range 3 {
		if a := f.ask(t.Context(), f.dialog("k", "b").with("hello")); codeOf(a) != chat.CodeWorkerFailed {
			t.Errorf("%+v, want worker_failed", a.Outcome)
		}
	}
	d.mustSay("2", chat.SessionWarm)
	if n := in.starts("second"); n != 1 {
		t.Errorf("%d processes of a CLI that is not used", n)
	}
	in.use("third")
	eventually(t, "the third to be in use", func() bool { return f.Stats().Refused == "" && in.starts("third") > 0 })
	f.dialog("k", "b").mustSay("1", chat.SessionNew)
}

func TestTheFirstCLIIsVettedToo(t *testing.T) {
	in := install(t)
	in.bad["first"] = true
	cfg := in.config()
	cfg.Spares = 1
	f := openFakes(t, cfg)
	eventually(t, "the refusal", func() bool { return f.Stats().Refused != "" })
	if a := f.ask(t.Context(), f.dialog("k", "a").with("hello")); codeOf(a) != chat.CodeWorkerFailed {
		t.Errorf("%+v, want worker_failed", a.Outcome)
	}
	if in.vetted() != 1 || in.starts("first") != 1 {
		t.Errorf("vetted %d times, started %d times, want once", in.vetted(), in.starts("first"))
	}
}

func TestStartsWaitForOneVerdict(t *testing.T) {
	in := install(t)
	cfg := in.config()
	verdict := make(chan struct{})
	cfg.Vet = func(ctx context.Context, version string) error {
		in.vet(ctx, version)
		select {
		case <-verdict:
		case <-ctx.Done():
		}
		return nil
	}
	f := openFakes(t, cfg)
	var turns sync.WaitGroup
	for i := range 4 {
		turns.Go(func() { f.dialog("k", fmt.Sprint(i)).say("1") })
	}
	eventually(t, "two processes to be ready but for the verdict", func() bool { return in.starts("first") == 2 && in.vetted() == 1 })
	if st := f.Stats(); st.Busy+st.Idle+st.Spares != 0 || st.Waiting != 4 {
		t.Errorf("%+v, want nobody served before the verdict", st)
	}
	close(verdict)
	turns.Wait()
	if n := in.vetted(); n != 1 {
		t.Errorf("vetted %d times", n)
	}
}

func TestCloseEndsAVerdict(t *testing.T) {
	in := install(t)
	cfg := in.config()
	cfg.Spares = 1
	asked := make(chan struct{})
	cfg.Vet = func(ctx context.Context, _ string) error {
		close(asked)
		<-ctx.Done()
		return context.Cause(ctx)
	}
	f := openFakes(t, cfg)
	<-asked
	within(t, "Close", f.Close)
	if f.log.count("is not used") != 0 {
		t.Error("a verdict cut short was logged: ", f.log)
	}
}
