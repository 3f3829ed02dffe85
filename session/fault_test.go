package session_test

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"maxrelay/session/chat"
	"maxrelay/session/claudetest"
)

func TestNothingIsLostOrLeftByAFailedTurn(t *testing.T) {
	cfg := fakeConfig()
	cfg.FirstByteTimeout, cfg.IdleTimeout = 1500*time.Millisecond, 1500*time.Millisecond
	f := openFakes(t, cfg)
	d := f.dialog("k", "")
	d.mustSay("one", chat.SessionNew)
	for _, tc := range []struct {
		order string
		code  chat.Code    // "" for no error
		next  chat.Session // how the next turn is had
	}{
		{"[[crash]]", chat.CodeWorkerFailed, chat.SessionReplayed},
		{"[[crash after 0]]", chat.CodeWorkerFailed, chat.SessionReplayed},
		{"[[tokens 3]] [[crash after 1]]", chat.CodeWorkerFailed, chat.SessionReplayed},
		{"[[tokens 3]] [[crash after 3]]", chat.CodeWorkerFailed, chat.SessionReplayed},
		{"[[tokens 3]] [[exit 0 after 2]]", chat.CodeWorkerFailed, chat.SessionReplayed},
		{"[[mute]]", chat.CodeWorkerFailed, chat.SessionReplayed},
		{"[[tokens 3]] [[mute after 1]]", chat.CodeWorkerFailed, chat.SessionReplayed},
		{"[[garbage]]", chat.CodeWorkerFailed, chat.SessionReplayed},
		{"[[tokens 3]] [[garbage after 1]]", chat.CodeWorkerFailed, chat.SessionReplayed},
		{"[[hang]]", chat.CodeUpstream, chat.SessionWarm},
		{"[[tokens 3]] [[hang after 1]]", chat.CodeUpstream, chat.SessionWarm},
		{"[[hang]] [[ignore-interrupt]]", chat.CodeUpstream, chat.SessionReplayed},
		{"[[lost]]", chat.CodeUpstream, chat.SessionWarm},
		{"[[tokens 3]] [[lost after 2]]", chat.CodeUpstream, chat.SessionWarm},
		{"[[status 400]]", chat.CodeInvalid, chat.SessionWarm},
		{"[[status 529]]", chat.CodeOverloaded, chat.SessionWarm},
		{"[[status 429]]", chat.CodeRateLimited, chat.SessionWarm},
		{"[[limit 60]]", chat.CodeUsageLimit, chat.SessionWarm},
		{"[[limit-text]]", chat.CodeUsageLimit, chat.SessionWarm},
		{"[[tokens 3]] [[max_tokens]]", "", chat.SessionWarm},
		{"[[tokens 3]] [[refuse]]", "", chat.SessionWarm},
		{"[[tokens 1]] [[tool Bash {}]]", "", chat.SessionWarm},
		{"[[tool Bash {}]]", "", chat.SessionWarm},
		{"[[think 2]] [[huge 0]]", "", chat.SessionWarm},
		{"[[tokens 2]] [[max_tokens]] [[ignore-interrupt]]", "", chat.SessionWarm},
	} {
		t.Run(tc.order, func(t *testing.T) {
			d.fakes = &fakes{&bench{Pool: f.Pool, t: t}, f.news, f.log}
			a := d.ask(t.Context(), d.with(tc.order))
			if code := codeOf(a); code != tc.code {
				t.Fatalf("%+v (%v), want %q", a.Outcome, a.Error, tc.code)
			}
			if a.text == "ok" || strings.HasSuffix(a.text, " ok") {
				t.Errorf("a hidden message reached the client: %q", a.text)
			}
			d.mustSay("and on", tc.next)
			f.news.mustKnow(d.req)
		})
	}
}

func codeOf(a answer) chat.Code {
	if a.Error == nil {
		return ""
	}
	return a.Error.Code
}

func TestFailureInTheFirstTurnLeavesNothing(t *testing.T) {
	f := openFakes(t, fakeConfig())
	for _, order := range []string{"[[status 500]]", "[[tokens 2]] [[lost after 1]]", "[[max_tokens]]", "[[tool Bash {}]]"} {
		d := f.dialog("k", "")
		f.ask(t.Context(), d.with(order))
		d.say("and on")
	}
}

func TestFailedTurnWithToolResultsLeavesNothing(t *testing.T) {
	f := openFakes(t, fakeConfig())
	d := f.dialog("k", "")
	d.say("one")
	d.req.Messages = append(d.req.Messages, chat.Text(chat.RoleUser, "what is it?"),
		chat.Message{Role: chat.RoleAssistant, Content: []chat.Block{{Type: chat.BlockToolUse, ID: "toolu_1", Name: "f", Input: []byte(`{}`)}}})
	result := func(order string) *chat.Request {
		req := d.with(order)
		last := &req.Messages[len(req.Messages)-1]
		last.Content = append([]chat.Block{{Type: chat.BlockToolResult, ToolUseID: "toolu_1",
			Content: []chat.Block{{Type: chat.BlockText, Text: "42"}}}}, last.Content...)
		return req
	}
	for _, order := range []string{"[[status 500]]", "[[tokens 2]] [[lost after 1]]", "[[tokens 2]] [[max_tokens]]"} {
		f.ask(t.Context(), result(order))
		req := result("[[echo]]")
		a := f.mustAsk(req)
		d.mustHaveHeld(a, req)
	}
	d.req.Messages = d.req.Messages[:2]
	d.say("two")
}

// The moments of a turn at which a client may leave.
func TestCancelAtEveryMoment(t *testing.T) {
	f := openFakes(t, fakeConfig())
	d := f.dialog("k", "")
	d.mustSay("one", chat.SessionNew)
	for _, tc := range []struct {
		name, order string
		at          chat.EventType // "" is before the turn
		code        chat.Code
	}{
		{"before the turn", "[[tokens 3]]", "", chat.CodeCancelled},
		{"before the line is written", "[[tokens 3]]", chat.EventTurn, chat.CodeCancelled},
		{"at the start", "[[tokens 100 delay 5ms]]", chat.EventMessageStart, chat.CodeCancelled},
		{"before a block", "[[tokens 100 delay 5ms]]", chat.EventBlockStart, chat.CodeCancelled},
		{"in mid-stream", "[[tokens 100 delay 5ms]]", chat.EventBlockDelta, chat.CodeCancelled},
		{"behind a block", "[[tokens 2]] [[tokens 2]]", chat.EventBlockStop, chat.CodeCancelled},
		{"when the end was shown", "[[tokens 3]]", chat.EventMessageDelta, ""},
		{"before the result", "[[tokens 3]]", chat.EventMessageStop, ""},
		{"before the result of a cut answer", "[[tokens 3]] [[max_tokens]]", chat.EventMessageStop, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d.fakes = &fakes{&bench{Pool: f.Pool, t: t}, f.news, f.log}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if tc.at == "" {
				cancel()
			}
			req := d.with(tc.order)
			a := d.watch(ctx, req, func(e chat.Event) {
				if e.Type == tc.at {
					cancel()
				}
			})
			if code := codeOf(a); code != tc.code {
				t.Fatalf("%+v (%v), want %q", a.Outcome, a.Error, tc.code)
			}
			if whole := a.Error == nil && a.stop == chat.StopEndTurn; whole { // the client has the answer and keeps it
				d.req.Messages = append(req.Messages, chat.Text(chat.RoleAssistant, a.text))
			}
			d.mustSay("after "+tc.name, chat.SessionWarm)
		})
	}
}

func TestCancelWhileAProcessIsMadeReady(t *testing.T) {
	t.Run("in the first turn", func(t *testing.T) {
		f := openFakes(t, fakeConfig())
		d := f.dialog("k", "")
		d.mustCancelAt(d.with("never mind"), chat.EventTurn)
		d.say("one")
		d.mustSay("two", chat.SessionWarm)
	})
	t.Run("while it is told the history", func(t *testing.T) {
		f := openFakes(t, fakeConfig())
		d := f.dialog("k", "").long(20)
		d.mustCancelAt(d.with("never mind"), chat.EventTurn)
		d.say("one")
		d.mustSay("two", chat.SessionWarm)
	})
	t.Run("while it starts", func(t *testing.T) {
		f := openFakes(t, fakeConfig(claudetest.EnvStartDelay+"=10m"))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan answer)
		go func() { done <- f.ask(ctx, f.dialog("k", "").with("hello")) }()
		eventually(t, "a process to be started", func() bool { return len(children(t)) == 1 })
		cancel()
		if a := <-done; codeOf(a) != chat.CodeCancelled {
			t.Errorf("%+v, want cancelled", a.Outcome)
		}
		eventually(t, "the process to end", func() bool { return len(children(t)) == 0 })
	})
	t.Run("while it waits for a place", func(t *testing.T) {
		cfg := fakeConfig(claudetest.EnvStartDelay + "=10m")
		cfg.MaxSessions, cfg.MaxSessionsPerKey, cfg.Spares = 1, 1, 1
		f := openFakes(t, cfg)
		eventually(t, "the spare to be started", func() bool { return f.Stats().Starting == 1 })
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if a := f.ask(ctx, f.dialog("k", "").with("hello")); codeOf(a) != chat.CodeCancelled {
			t.Errorf("%+v, want cancelled", a.Outcome)
		}
	})
}

func (d *dialog) mustCancelAt(req *chat.Request, at chat.EventType) {
	d.t.Helper()
	ctx, cancel := context.WithCancel(d.t.Context())
	defer cancel()
	a := d.watch(ctx, req, func(e chat.Event) {
		if e.Type == at {
			cancel()
		}
	})
	if codeOf(a) != chat.CodeCancelled {
		d.t.Fatalf("%+v, want cancelled", a.Outcome)
	}
}

// A child that talks on after an interrupt must not hold its turn for as long as it talks.
func TestChildThatIgnoresTheInterruptAndTalksOnIsKilled(t *testing.T) {
	t.Parallel()
	f := openFakes(t, fakeConfig())
	d := f.dialog("k", "")
	d.mustSay("one", chat.SessionNew)
	within(t, "the cancelled turn", func() {
		d.mustCancelAt(d.with("[[tokens 100000 delay 10ms]] [[ignore-interrupt]]"), chat.EventBlockDelta)
	})
	d.mustSay("two", chat.SessionReplayed)
	within(t, "the cut turn", func() {
		if a := d.ask(t.Context(), d.with("[[tokens 60 delay 10ms]] [[max_tokens]] [[ignore-interrupt]]")); a.Error != nil || a.stop != chat.StopMaxTokens {
			t.Errorf("%+v, stop %q; want the first message", a.Outcome, a.stop)
		}
	})
	d.mustSay("three", chat.SessionReplayed)
}

func TestTurnThatTakesTooLongIsStopped(t *testing.T) {
	cfg := fakeConfig()
	cfg.TurnTimeout = 300 * time.Millisecond
	f := openFakes(t, cfg)
	d := f.dialog("k", "")
	if a := f.ask(t.Context(), d.with("[[tokens 10000 delay 10ms]]")); codeOf(a) != chat.CodeTurnTimeout {
		t.Errorf("%+v (%v), want turn_timeout", a.Outcome, a.Error)
	}
}

// A child that reads nothing fills the pipe: the write must end with the turn.
func TestCancelWhileTheChildDoesNotRead(t *testing.T) {
	f := openFakes(t, fakeConfig())
	d := f.dialog("k", "")
	d.mustSay("one", chat.SessionNew)
	pids := kill(t, f.bench, syscall.SIGSTOP)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	within(t, "the cancelled turn", func() {
		if a := d.ask(ctx, d.with(strings.Repeat("x", 1<<20))); codeOf(a) != chat.CodeCancelled {
			t.Errorf("%+v, want cancelled", a.Outcome)
		}
	})
	waitGone(t, pids)
	d.mustSay("two", chat.SessionReplayed)
}

func TestChildThatFailsAtItsStart(t *testing.T) {
	t.Run("exits", func(t *testing.T) {
		f := openFakes(t, fakeConfig(claudetest.EnvCrashAtStart+"=1"))
		a := f.ask(t.Context(), f.dialog("k", "").with("caller's words"))
		if codeOf(a) != chat.CodeWorkerFailed || strings.Contains(a.Error.Message, "crash at start") {
			t.Errorf("%+v (%v)", a.Outcome, a.Error)
		}
		if f.log.count("crash at start") == 0 || f.log.count("caller's words") > 0 {
			t.Errorf("logged: %s", f.log)
		}
	})
	t.Run("hangs", func(t *testing.T) {
		cfg := fakeConfig()
		cfg.Path, cfg.StartTimeout = script(t, "echo lost my way >&2; exec sleep 1000"), 500*time.Millisecond
		f := openFakes(t, cfg)
		if a := f.ask(t.Context(), f.dialog("k", "").with("hello")); codeOf(a) != chat.CodeWorkerFailed {
			t.Errorf("%+v, want worker_failed", a.Outcome)
		}
		if f.log.count("lost my way") == 0 {
			t.Errorf("logged: %s", f.log)
		}
		if left := children(t); len(left) != 0 {
			t.Errorf("process %v is left", left)
		}
	})
	t.Run("is slow", func(t *testing.T) {
		f := openFakes(t, fakeConfig(claudetest.EnvStartDelay+"=300ms"))
		f.dialog("k", "").mustSay("hello", chat.SessionNew)
	})
	t.Run("is not there", func(t *testing.T) {
		cfg := fakeConfig()
		cfg.Path = "/nonexistent/claude"
		f := openFakes(t, cfg)
		if a := f.ask(t.Context(), f.dialog("k", "").with("hello")); codeOf(a) != chat.CodeWorkerFailed {
			t.Errorf("%+v, want worker_failed", a.Outcome)
		}
	})
}

func TestFailureIsLoggedWithoutWhatTheChildSaid(t *testing.T) {
	f := openFakes(t, fakeConfig())
	f.ask(t.Context(), f.dialog("k", "").with("[[stderr 500]] [[tokens 2]] [[crash after 1]] secret"))
	if f.log.count("the CLI process ended") != 1 {
		t.Errorf("the failure is not logged: %s", f.log)
	}
	if f.log.count("eee") > 0 || f.log.count("secret") > 0 || f.log.count("tok0") > 0 {
		t.Errorf("logged: %s", f.log)
	}
}

func TestMuchOutput(t *testing.T) {
	t.Parallel()
	f := openFakes(t, fakeConfig())
	d := f.dialog("k", "")
	for order, want := range map[string]int{"[[huge 5000000]]": 5000000, "[[stderr 1000000]] [[tokens 1]]": len("tok0 ")} {
		a := d.mustAsk(d.with(order))
		if len(a.text) != want {
			t.Errorf("%s: %d bytes, want %d", order, len(a.text), want)
		}
	}
	d.say("and on")
}

// A newer CLI may use a known field otherwise, in lines that mean nothing here.
func TestStrangeLinesAreSkipped(t *testing.T) {
	path, _ := claudetest.Command()
	cfg := fakeConfig()
	cfg.Path = script(t, `
echo '{"type":"novelty","message":"text","event":[1],"error":{"a":1}}'
echo 'null'
exec `+path+` "$@"`)
	f := openFakes(t, cfg)
	f.dialog("k", "").mustSay("hello", chat.SessionNew)
}

func TestCloseKillsWhatIgnoresTheTerminationSignal(t *testing.T) {
	cfg := fakeConfig()
	cfg.Path = script(t, "trap '' TERM"+greeting+"exec <&-\nsleep 1000\nsleep 1000\n") // with a child of its own
	cfg.Spares = 1
	f := openFakes(t, cfg)
	eventually(t, "a spare", func() bool { return f.Stats().Spares == 1 })
	pids := children(t)
	eventually(t, "its child", func() bool { return len(childrenOf(t, pids[0])) == 1 })
	pids = append(pids, childrenOf(t, pids[0])...)
	within(t, "Close", f.Close)
	for _, pid := range pids {
		eventually(t, "all to be dead", func() bool {
			_, state := stat(pid)
			return state == "" || state == "Z" // the grandchild's new parent may take its time
		})
	}
}

// What a child gets is what the configuration says; with nothing said it gets nothing.
func TestChildWithoutEnvironmentInheritsNone(t *testing.T) {
	t.Setenv("SECRET_OF_THE_OPERATOR", "x")
	cfg := fakeConfig()
	cfg.Env = nil
	cfg.Path = script(t, "env >&2")
	f := openFakes(t, cfg)
	f.ask(t.Context(), f.dialog("k", "").with("hello"))
	if f.log.count("PWD=") == 0 || f.log.count("SECRET_OF_THE_OPERATOR") > 0 {
		t.Errorf("the child's environment: %s", f.log)
	}
}

// A continuation that the CLI starts on its own is hidden from the client, not from its bill.
func TestHiddenCallsAreCounted(t *testing.T) {
	f := openFakes(t, fakeConfig())
	d := f.dialog("k", "")
	d.say("one")
	once := d.ask(t.Context(), d.with("[[tokens 9]] [[max_tokens]]"))
	again := d.ask(t.Context(), d.with("[[tokens 9]] [[max_tokens]] [[ignore-interrupt]]"))
	if once.Error != nil || again.Error != nil || once.text != again.text || again.stop != chat.StopMaxTokens {
		t.Fatalf("%+v %q and %+v %q, want one and the same answer", once.Outcome, once.text, again.Outcome, again.text)
	}
	if once.Usage.OutputTokens < 9 || again.Usage.OutputTokens < 18 {
		t.Errorf("usage %+v, and with hidden calls %+v", once.Usage, again.Usage)
	}
}
