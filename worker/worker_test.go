package worker_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"maxrelay/queue"
	"maxrelay/session"
	"maxrelay/session/chat"
	"maxrelay/session/claudetest"
	"maxrelay/worker"
)

func TestMain(m *testing.M) {
	claudetest.Main()
	goleak.VerifyTestMain(m)
}

// fleet is a broker, an owner and the workers of a test.
type fleet struct {
	t      *testing.T
	broker *queue.Broker
	owner  *queue.Owner
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	dir := t.TempDir()
	b, err := queue.OpenBroker(t.Context(), queue.BrokerConfig{Listen: "127.0.0.1:0", StoreDir: filepath.Join(dir, "nats"), TokenFile: filepath.Join(dir, "token")}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	nc, err := b.Connect("api")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	o, err := queue.NewOwner(t.Context(), nc, b.Disconnects(), queue.OwnerConfig{}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Close(context.Background()) })
	return &fleet{t, b, o}
}

// join opens a worker with the scripted CLI and waits until the owner knows it.
func (f *fleet) join(cfg worker.Config, env ...string) *worker.Worker {
	f.t.Helper()
	nc, err := f.broker.Connect("worker")
	if err != nil {
		f.t.Fatal(err)
	}
	path, own := claudetest.Command()
	cfg.Pools = []string{"default"}
	cfg.Session.Path, cfg.Session.Cwd = cmp.Or(cfg.Session.Path, path), "/"
	cfg.Session.Env = slices.Concat(own, env, []string{"GORACE=atexit_sleep_ms=0"}) // else a child waits a second before it ends
	cfg.Session.StartTimeout = time.Minute
	if cfg.Session.MaxSessions == 0 {
		cfg.Session.MaxSessions = 2
	}
	w, err := worker.Open(f.t.Context(), nc, cfg, zerolog.New(zerolog.NewTestWriter(f.t)))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { w.Close(); nc.Close() })
	f.eventually("the owner to know the worker", func() bool { _, ok := f.entry(w); return ok })
	return w
}

func (f *fleet) entry(w *worker.Worker) (queue.WorkerInfo, bool) {
	all := f.owner.Workers()
	i := slices.IndexFunc(all, func(i queue.WorkerInfo) bool { return i.ID == w.ID() })
	if i < 0 {
		return queue.WorkerInfo{}, false
	}
	return all[i], true
}

func (f *fleet) info(w *worker.Worker) (info worker.Info) {
	entry, _ := f.entry(w)
	json.Unmarshal(entry.Info, &info)
	return info
}

func (f *fleet) eventually(what string, ok func() bool) {
	f.t.Helper()
	for late := time.Now().Add(20 * time.Second); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(late) {
			f.t.Fatal("waited in vain for ", what)
		}
	}
}

// said is what a job gave.
type said struct {
	text    string
	attempt int
	worker  string
	outcome chat.Outcome
	after   time.Duration // when to come back
}

func request(text string) *chat.Request {
	return &chat.Request{Tenant: chat.Tenant{Key: "k", Pool: "default"}, Model: "sonnet", Messages: []chat.Message{chat.Text(chat.RoleUser, text)}}
}

func (f *fleet) job(key, text string) queue.Job {
	f.t.Helper()
	body, err := chat.EncodeRequest(request(text))
	if err != nil {
		f.t.Fatal(err)
	}
	return jobOf(key, body)
}

func jobOf(key string, body []byte) queue.Job {
	return queue.Job{ID: uuid.NewString(), KeyID: key, Pool: "default", Model: "sonnet", Body: body, Deadline: time.Now().Add(time.Minute)}
}

func (f *fleet) submit(job queue.Job) *queue.Call {
	f.t.Helper()
	call, err := f.owner.Submit(f.t.Context(), job)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(call.Close)
	return call
}

func (f *fleet) ask(text string) said {
	f.t.Helper()
	return f.read(f.submit(f.job("k", text)))
}

func (f *fleet) read(call *queue.Call) (s said) {
	f.t.Helper()
	for {
		b, err := call.Next(f.t.Context())
		if errors.Is(err, io.EOF) {
			return s
		}
		if err != nil {
			f.t.Fatal(err)
		}
		if b.Attempt != s.attempt {
			s = said{attempt: b.Attempt, worker: b.Worker}
		}
		for _, payload := range b.Events {
			e, err := chat.DecodeEvent(payload)
			if err != nil {
				f.t.Fatal(err)
			}
			s.text += e.Text
		}
		if b.End != nil {
			if s.outcome, err = chat.DecodeOutcome(b.End.Data); err != nil {
				f.t.Fatal(err)
			}
			s.after = b.End.RetryAfter
		}
	}
}

func TestAJobIsAnswered(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w := f.join(worker.Config{Name: "w"})
	s := f.ask("hello [[echo]]")
	if !strings.Contains(s.text, "hello") || s.outcome.Error != nil || !s.outcome.Counted || s.outcome.Session != chat.SessionNew {
		t.Errorf("got %+v", s)
	}
	if info := f.info(w); info.CLIVersion != claudetest.Version || !info.SignedIn || !slices.Contains(info.Models, "sonnet") || info.Reason != "" {
		t.Errorf("the roster says %+v", info)
	}
}

func TestAJobThatIsNotOfItsKeyIsNotRun(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w := f.join(worker.Config{Name: "w"})
	mine, err := chat.EncodeRequest(request("hello"))
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := request("hello")
	elsewhere.Tenant.Key, elsewhere.Tenant.Pool = "other", "elsewhere"
	other, err := chat.EncodeRequest(elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	for name, body := range map[string][]byte{"another key's": mine, "another pool's": other, "no request": []byte("{")} {
		if s := f.read(f.submit(jobOf("other", body))); s.outcome.Error == nil || s.outcome.Error.Code != chat.CodeInternal || s.text != "" {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if st := w.Stats(); st.Busy+st.Idle != 0 {
		t.Errorf("processes were used: %+v", st)
	}
}

func TestWhatHappensToAFailedTurn(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text     string
		code     chat.Code
		attempts int
	}{
		{"[[crash]]", chat.CodeWorkerFailed, 3}, // each attempt with a process of its own
		{"[[garbage]]", chat.CodeWorkerFailed, 3},
		{"[[status 500]]", chat.CodeUpstream, 3},
		{"[[status 503]]", chat.CodeOverloaded, 3},
		{"[[status 529]]", chat.CodeOverloaded, 3},
		{"[[lost]]", chat.CodeUpstream, 3},
		{"[[lost after 0]]", chat.CodeUpstream, 3},
		{"[[status 400]]", chat.CodeInvalid, 1},
		{"[[status 404]]", chat.CodeModelNotFound, 1},
		{"[[status 413]]", chat.CodeTooLarge, 1},
		{"[[status 429]]", chat.CodeRateLimited, 1},
		{"[[status 401]]", chat.CodeAccount, 1}, // there is no other worker
		{"[[status 403]]", chat.CodeAccount, 1},
		{"[[limit 3600]]", chat.CodeUsageLimit, 1},
		{"[[limit-text]]", chat.CodeUsageLimit, 1},
	} {
		t.Run(tc.text, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t)
			f.join(worker.Config{Name: "w"})
			s := f.ask(tc.text)
			if s.outcome.Error == nil || s.outcome.Error.Code != tc.code || s.attempt != tc.attempts {
				t.Errorf("got %+v (%v), want %s after %d attempts", s, s.outcome.Error, tc.code, tc.attempts)
			}
		})
	}
}

func TestAFailureOfAnAccountIsTriedWithAnother(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.join(worker.Config{Name: "a"})
	f.join(worker.Config{Name: "b"})
	for _, text := range []string{"[[status 401]]", "[[limit 3600]]"} { // which both refuse
		if s := f.ask(text); s.outcome.Error == nil || s.attempt != 2 {
			t.Errorf("%s: %+v, want one attempt on each", text, s)
		}
	}
}

func TestAnAccountAtItsLimitTellsItsReset(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	f.join(worker.Config{Name: "limited"})
	if s := f.ask("[[limit 3600]]"); s.outcome.Error == nil || s.outcome.Error.RetryAfter < time.Minute {
		t.Errorf("alone: %+v, want the true reset", s.outcome.Error)
	}
}

func TestAWorkerThatIsNotSignedInSaysSoUntilItIs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	login, script := filepath.Join(dir, "login"), filepath.Join(dir, "claude")
	path, _ := claudetest.Command()
	text := fmt.Sprintf("#!/bin/sh\n[ -e %q ] && unset %s\nexec %q \"$@\"\n", login, claudetest.EnvLoggedOut, path)
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	f := newFleet(t)
	w := f.join(worker.Config{Name: "w", Recheck: 10 * time.Millisecond, Session: session.Config{Path: script}}, claudetest.EnvLoggedOut+"=1")
	if info := f.info(w); info.SignedIn || info.Reason == "" {
		t.Errorf("before: the roster says %+v", info)
	}
	if err := os.WriteFile(login, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f.eventually("the sign-in to be seen", func() bool { info := f.info(w); return info.SignedIn && info.Reason == "" })
}

func TestACLIThatIsNotThereIsAnErrorAtTheStart(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	nc, err := f.broker.Connect("worker")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	cfg := worker.Config{Name: "w", Pools: []string{"default"}, Session: session.Config{Path: "/nonexistent/claude", MaxSessions: 1}}
	if w, err := worker.Open(t.Context(), nc, cfg, zerolog.Nop()); err == nil {
		w.Close()
		t.Error("a worker without a CLI opened")
	}
	if n := len(f.owner.Workers()); n != 0 {
		t.Errorf("the roster has %d workers", n)
	}
}

func TestADrainingWorkerFinishesItsTurn(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	w := f.join(worker.Config{Name: "w"})
	call := f.submit(f.job("k", "[[tokens 20 delay 10ms]]"))
	if _, err := call.Next(t.Context()); err != nil { // it runs
		t.Fatal(err)
	}
	drained := make(chan error, 1)
	go func() { drained <- w.Drain(context.Background()) }()
	if s := f.read(call); s.outcome.Error != nil || !s.outcome.Counted {
		t.Errorf("the turn ended with %+v", s.outcome)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// An operator waits for that line, and starts the next worker then.
func TestAWorkerTakesJobsOnceTheBrokerIsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	place := queue.BrokerConfig{Listen: "127.0.0.1:0", StoreDir: filepath.Join(dir, "nats"), TokenFile: filepath.Join(dir, "token")}
	b, err := queue.OpenBroker(t.Context(), place, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	url := b.ClientURL()
	place.Listen = b.Addr().String()
	b.Close()
	nc, err := queue.Dial(url, queue.DialOptions{Name: "worker", TokenFile: place.TokenFile, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	path, env := claudetest.Command()
	logged := make(lines, 1000)
	w, err := worker.Open(t.Context(), nc, worker.Config{Name: "w", Pools: []string{"default"},
		Session: session.Config{Path: path, Cwd: "/", Env: append(env, "GORACE=atexit_sleep_ms=0"), MaxSessions: 1, StartTimeout: time.Minute}}, zerolog.New(logged))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for len(logged) > 0 {
		if line := <-logged; strings.Contains(line, "takes jobs") {
			t.Errorf("without a broker it says %s", line)
		}
	}
	if b, err = queue.OpenBroker(t.Context(), place, zerolog.Nop()); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	late := time.After(time.Minute)
	for said := ""; !strings.Contains(said, `"message":"worker takes jobs"`); {
		select {
		case said = <-logged:
		case <-late:
			t.Fatal("it never takes jobs")
		}
	}
}

// lines is a log, line by line.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}
