package claudetest_test

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"maxrelay/session/anthropictest/wire"
	"maxrelay/session/claudetest"
)

func TestVersion(t *testing.T) {
	path, env := claudetest.Command()
	cmd := exec.CommandContext(t.Context(), path, "--version")
	cmd.Env = env
	out, err := cmd.Output()
	if err != nil || string(out) != "2.1.330 (Claude Code)\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func echo(conversation ...wire.Message) string { return wire.Echo(conversation) }

func TestHoldsTheConversation(t *testing.T) {
	d := startFake(t)
	d.turn("[[tokens 2]]")
	want := []wire.Message{wire.User("[[tokens 2]]"), wire.Assistant("tok0 tok1 "), wire.User("[[echo]]")}
	if got := d.answer("[[echo]]"); got != echo(want...) {
		t.Errorf("second turn: %s", got)
	}
}

func TestReplay(t *testing.T) {
	d := startFake(t)
	u1 := uuid()
	d.send(silent(u1, text("u1")))
	if r := d.result(u1); r["num_turns"] != 0. || r["result"] != "" || r["is_error"] != false {
		t.Errorf("result of a silent line: %v", r)
	}
	last := uuid()
	d.send(assistant(text("a1")), user(last, text("[[echo]]")))
	if got := d.result(last)["result"]; got != echo(wire.User("u1"), wire.Assistant("a1"), wire.User("[[echo]]")) {
		t.Errorf("got %v", got)
	}
	if r := d.rewind(u1, last); r["rewound"] != true || r["precedingAssistantUuid"] != nil {
		t.Errorf("rewind: %v", r)
	}
	if got := d.answer("[[echo]]"); got != echo(wire.User("[[echo]]")) {
		t.Errorf("after rewind: %v", got)
	}
}

// The trap of Claude Code 2.1.330: assistant lines overtake user lines that were not waited for, and survive a rewind.
func TestAssistantLinesOvertakeUserLines(t *testing.T) {
	d := startFake(t)
	u1, last := uuid(), uuid()
	d.send(silent(u1, text("u1")), assistant(text("a1")), user(last, text("[[echo]]")))
	if got := d.result(last)["result"]; got != echo(wire.Assistant("a1"), wire.User("u1\n", "[[echo]]")) {
		t.Errorf("got %v", got)
	}
	if r := d.rewind(u1, last); r["rewound"] != true || r["precedingAssistantUuid"] == nil {
		t.Errorf("rewind: %v", r)
	}
	if got := d.answer("[[echo]]"); got != echo(wire.Assistant("a1"), wire.User("[[echo]]")) {
		t.Errorf("the leak is not there: %v", got)
	}
}

func TestRewindRefusals(t *testing.T) {
	d := startFake(t)
	d.ask("initialize", object{"systemPrompt": []string{""}, "hooks": object{"PreToolUse": []any{object{"hookCallbackIds": []string{"defer"}}}}})
	d.ask("mcp_set_servers", object{"servers": object{"t1": object{"type": "sdk", "name": "t1"}}})
	first, _ := d.turn("one")
	call, r := d.turn(`[[tool get_weather {"city":"Oslo"}]]`)
	id := r["deferred_tool_use"].(object)["id"]
	result := uuid()
	d.send(user(result, []any{object{"type": "tool_result", "tool_use_id": id, "content": "cold"}}))
	d.result(result)
	tests := []struct{ name, target, last, reason string }{
		{"an unknown line", uuid(), result, "target_not_found"},
		{"nothing seen", first, "", "stale_target"},
		{"an unknown last line", first, uuid(), "unseen_later_turn"},
		{"later lines not seen", first, call, "unseen_later_turn"},
		{"a line with a tool result", result, result, "target_splits_tool_call"},
		{"a line with a tool result, nothing seen", result, "", "target_splits_tool_call"},
	}
	for _, tt := range tests {
		if r := d.rewind(tt.target, tt.last); r["rewound"] != false || r["reason"] != tt.reason {
			t.Errorf("%s: %v", tt.name, r)
		}
	}
	if r := d.rewind(call, result); r["rewound"] != true || r["prefillText"] != `[[tool get_weather {"city":"Oslo"}]]` || r["precedingAssistantUuid"] == nil {
		t.Errorf("at the call: %v", r)
	}
}

func TestResultsSayHowALoopGoesOn(t *testing.T) {
	d := startFake(t)
	d.ask("initialize", object{"systemPrompt": []string{""}, "hooks": object{"PreToolUse": []any{object{"hookCallbackIds": []string{"defer"}}}}})
	d.ask("mcp_set_servers", object{"servers": object{"t1": object{"type": "sdk", "name": "t1"}}})
	_, r := d.turn(`[[tool get_weather {}]]`)
	result := uuid()
	d.send(user(result, []any{object{"type": "tool_result", "tool_use_id": r["deferred_tool_use"].(object)["id"], "content": "cold [[tokens 2]]"}}))
	if r := d.result(result); r["result"] != "tok0 tok1 " {
		t.Errorf("result: %v", r)
	}
}

func TestFirstInitializeCounts(t *testing.T) {
	d := startFake(t)
	r := d.ask("initialize", object{"systemPrompt": []string{"one", "two"}})["response"].(object)
	if r["claude_code_version"] != claudetest.Version || r["account"].(object)["apiKeySource"] == nil {
		t.Errorf("reply: %v", r)
	}
	d.ask("initialize", object{"systemPrompt": []string{"three"}})
	if got := state(t, d)["system"]; got != "one\n\ntwo" {
		t.Errorf("system prompt %q", got)
	}
}

func state(t *testing.T, d *driver) (s object) {
	t.Helper()
	if err := json.Unmarshal([]byte(d.answer("[[state]]")), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSettingsStayUntilUnset(t *testing.T) {
	d := startFake(t)
	set := func(env object) { d.ask("apply_flag_settings", object{"settings": object{"env": env}}) }
	set(object{"A": "1", "B": "2", "C": "3"})
	set(object{"B": "", "C": nil})
	d.ask("set_model", object{"model": "haiku"})
	s := state(t, d)
	if env := s["env"].(object); len(env) != 1 || env["A"] != "1" {
		t.Errorf("env %v", env)
	}
	if s["model"] != "claude-haiku-5-5" {
		t.Errorf("model %v", s["model"])
	}
}

func TestModelChangeInAConversationLeavesANote(t *testing.T) {
	d := startFake(t)
	d.turn("one")
	d.ask("set_model", object{"model": "opus"})
	if got := d.answer("[[echo]]"); got == echo(wire.User("one"), wire.Assistant("ok"), wire.User("[[echo]]")) {
		t.Error("no note")
	}
}

func TestMaxTokensGoesOnUntilInterrupted(t *testing.T) {
	d := startFake(t)
	d.ask("apply_flag_settings", object{"settings": object{"env": object{"CLAUDE_CODE_MAX_OUTPUT_TOKENS": "2"}}})
	id, r := d.turn("[[tokens 5]]")
	if r["is_error"] != true || r["num_turns"] != 4. {
		t.Errorf("result %v", r)
	}
	d.rewind(id, id)
	next := uuid()
	d.send(user(next, text("[[tokens 5 delay 200ms]]")))
	d.until("max_tokens", func(l object) bool {
		e, _ := l["event"].(object)
		delta, _ := e["delta"].(object)
		return delta["stop_reason"] == "max_tokens"
	})
	d.ask("interrupt", object{"cancel_queued": true})
	if r := d.result(next); r["subtype"] != "error_during_execution" {
		t.Errorf("result %v", r)
	}
}

func TestToolsThatWereNotOfferedAreAskedForAgain(t *testing.T) {
	d := startFake(t)
	if _, r := d.turn(`[[tool Bash {"command":"x"}]]`); r["num_turns"] != 2. || r["result"] != "ok" {
		t.Errorf("result %v", r)
	}
}

func TestInterrupt(t *testing.T) {
	t.Run("while idle", func(t *testing.T) {
		d := startFake(t)
		if r := d.ask("interrupt", object{"cancel_queued": true})["response"].(object); len(r["cancelled"].([]any)) != 0 {
			t.Errorf("%v", r)
		}
		if got := d.answer("x"); got != "ok" {
			t.Errorf("afterwards: %q", got)
		}
	})
	t.Run("in the write of the line", func(t *testing.T) {
		d := startFake(t)
		id := uuid()
		d.send(user(id, text("x")), control("i", "interrupt", object{"cancel_queued": true}))
		if r := d.response("i")["response"].(object); len(r["cancelled"].([]any)) != 1 {
			t.Errorf("%v", r)
		}
		if r := d.rewind(id, id); r["reason"] != "target_not_found" {
			t.Errorf("rewind: %v", r)
		}
	})
	t.Run("before it begins, without cancel", func(t *testing.T) {
		d := startFake(t)
		id := uuid()
		d.send(user(id, text("x")), control("i", "interrupt", nil))
		if r := d.response("i")["response"].(object); len(r["still_queued"].([]any)) != 1 {
			t.Errorf("%v", r)
		}
		if r := d.result(id); r["is_error"] != false {
			t.Errorf("result %v", r)
		}
	})
	t.Run("while it hangs", func(t *testing.T) {
		d := startFake(t)
		id := uuid()
		d.send(user(id, text("[[hang]]")))
		d.until("the request", func(l object) bool { return l["subtype"] == "status" })
		d.ask("interrupt", object{"cancel_queued": true})
		if r := d.result(id); r["subtype"] != "error_during_execution" {
			t.Errorf("result %v", r)
		}
		if r := d.rewind(id, id); r["rewound"] != true {
			t.Errorf("rewind: %v", r)
		}
		if got := d.answer("[[echo]]"); got != echo(wire.User("[[echo]]")) {
			t.Errorf("afterwards: %v", got)
		}
	})
	t.Run("ignored", func(t *testing.T) {
		d := startFake(t)
		id := uuid()
		d.send(user(id, text("[[ignore-interrupt]] [[tokens 20 delay 1ms]]")))
		d.firstDelta()
		d.send(control("i", "interrupt", object{"cancel_queued": true}))
		if r := d.result(id); r["is_error"] != false {
			t.Errorf("result %v", r)
		}
	})
}

func TestRewindDuringATurn(t *testing.T) {
	d := startFake(t)
	id := uuid()
	d.send(user(id, text("[[tokens 1]] [[hang after 1]]")))
	d.firstDelta()
	if r := d.rewind(id, id); r["reason"] != "turn_running" {
		t.Errorf("%v", r)
	}
}

func TestLinesThatCameDuringATurnAreAnsweredTogether(t *testing.T) {
	d := startFake(t)
	a, b, c := uuid(), uuid(), uuid()
	d.send(user(a, text("[[tokens 20 delay 1ms]]")))
	d.firstDelta()
	d.send(user(b, text("B")), user(c, text("[[echo]]")))
	want := echo(wire.User("[[tokens 20 delay 1ms]]"), wire.Assistant(d.result(a)["result"].(string)), wire.User("B\n", "[[echo]]"))
	if r := d.result(b); r["result"] != want || r["user_message_uuid"] != c {
		t.Errorf("result %v", r)
	}
}

func TestReusedUUIDIsDropped(t *testing.T) {
	d := startFake(t)
	id, _ := d.turn("one")
	n := len(d.read)
	d.send(user(id, text("two")))
	if got := d.answer("[[echo]]"); got != echo(wire.User("one"), wire.Assistant("ok"), wire.User("[[echo]]")) {
		t.Errorf("got %v", got)
	}
	for _, l := range d.read[n+1:] { // the former turn's last lifecycle line aside
		if l["command_uuid"] == id {
			t.Errorf("the dropped line made a sound: %v", l)
		}
	}
}

func TestFailuresOfTheUpstream(t *testing.T) {
	d := startFake(t)
	tests := []struct {
		text   string
		status any
		class  string
	}{
		{"[[status 400]]", 400., "unknown"},
		{"[[status 401]]", 401., "authentication_failed"},
		{"[[status 404]]", 404., "model_not_found"},
		{"[[status 429]]", 429., "rate_limit"},
		{"[[limit 60]]", 429., "rate_limit"},
		{"[[status 529]]", 529., "server_error"},
		{"[[lost after 2]] [[tokens 5]]", nil, "server_error"},
		{"[[refuse]]", nil, "invalid_request"},
	}
	for _, tt := range tests {
		id, r := d.turn(tt.text)
		if r["subtype"] != "success" || r["is_error"] != true || r["api_error_status"] != tt.status || r["terminal_reason"] != "api_error" {
			t.Errorf("%s: result %v", tt.text, r)
		}
		if got := d.synthetic(); got["error"] != tt.class {
			t.Errorf("%s: class %v", tt.text, got["error"])
		}
		if r := d.rewind(id, id); r["rewound"] != true {
			t.Errorf("%s: rewind %v", tt.text, r)
		}
	}
	if got := d.answer("[[echo]]"); got != echo(wire.User("[[echo]]")) {
		t.Errorf("afterwards: %v", got)
	}
}

// synthetic is the last assistant line that the CLI made up itself.
func (d *driver) synthetic() object {
	for i := len(d.read) - 1; i >= 0; i-- {
		if m, _ := d.read[i]["message"].(object); m["model"] == "<synthetic>" {
			return d.read[i]
		}
	}
	return nil
}

func TestDeaths(t *testing.T) {
	tests := []struct {
		name, input string
		code        int
		stderr      string
	}{
		{"exit", turnLine("[[exit 3]]"), 3, ""},
		{"exit in the middle", turnLine("[[exit 3 after 1]]"), 3, ""},
		{"crash", turnLine("[[crash after 2]] [[tokens 5]]"), -1, ""},
		{"no JSON", "garbage\n", 1, "Error parsing streaming input line (type=unknown, 7 chars): SyntaxError"},
		{"a wrong role", `{"type":"user","message":{"role":"system","content":"x"}}` + "\n", 1, "Error: Expected message role 'user', got 'system'"},
		{"no message", `{"type":"user"}` + "\n", 1, "got 'undefined'"},
		{"end_session", `{"type":"control_request","request_id":"e","request":{"subtype":"end_session"}}` + "\n", 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := startFake(t)
			d.write(tt.input)
			if code := d.exit(); code != tt.code || !strings.Contains(d.stderr.String(), tt.stderr) {
				t.Errorf("exit %d, stderr %q", code, d.stderr)
			}
		})
	}
}

func turnLine(s string) string {
	data, err := json.Marshal(user(uuid(), text(s)))
	if err != nil {
		panic(err)
	}
	return string(data) + "\n"
}

func TestStdinCloses(t *testing.T) {
	t.Run("idle", func(t *testing.T) {
		d := startFake(t)
		_ = d.in.Close()
		if code := d.exit(); code != 0 {
			t.Errorf("exit %d", code)
		}
	})
	t.Run("in a turn", func(t *testing.T) {
		d := startFake(t)
		id := uuid()
		d.send(user(id, text("[[tokens 20 delay 1ms]]")))
		d.firstDelta()
		_ = d.in.Close()
		if r := d.result(id); r["is_error"] != false {
			t.Errorf("result %v", r)
		}
		if code := d.exit(); code != 0 {
			t.Errorf("exit %d", code)
		}
	})
}

func TestProcessWideBehaviour(t *testing.T) {
	t.Run("crash at start", func(t *testing.T) {
		d := startFake(t, claudetest.EnvCrashAtStart+"=1")
		if code := d.exit(); code != 1 || d.stderr.String() == "" {
			t.Errorf("exit %d, stderr %q", code, d.stderr)
		}
	})
	t.Run("delays", func(t *testing.T) {
		d := startFake(t, claudetest.EnvStartDelay+"=1ms", claudetest.EnvTTFT+"=1ms")
		if got := d.answer("x"); got != "ok" {
			t.Errorf("%q", got)
		}
	})
	t.Run("as a file says while it is there", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "orders")
		env := claudetest.EnvFile + "=" + file
		if got := startFake(t, env).answer("x"); got != "ok" {
			t.Errorf("without the file: %q", got)
		}
		if err := os.WriteFile(file, []byte(claudetest.EnvTTFT+"=1ms\n"+claudetest.EnvCrashAtStart+"=1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if code := startFake(t, env).exit(); code != 1 {
			t.Errorf("with it: exit %d", code)
		}
	})
	t.Run("logged out", func(t *testing.T) {
		d := startFake(t, claudetest.EnvLoggedOut+"=1")
		account := d.ask("initialize", nil)["response"].(object)["account"].(object)
		if account["tokenSource"] != "none" || account["apiKeySource"] != nil {
			t.Errorf("account %v", account)
		}
		if _, r := d.turn("x"); r["is_error"] != true || d.synthetic()["error"] != "authentication_failed" {
			t.Errorf("result %v", r)
		}
	})
	t.Run("SIGTERM", func(t *testing.T) {
		d := startFake(t)
		d.answer("x")
		_ = d.cmd.Process.Signal(syscall.SIGTERM)
		if code := d.exit(); code != 143 {
			t.Errorf("exit %d", code)
		}
	})
	t.Run("SIGTERM ignored", func(t *testing.T) {
		d := startFake(t, claudetest.EnvIgnoreSIGTERM+"=1")
		d.answer("x")
		_ = d.cmd.Process.Signal(syscall.SIGTERM)
		if got := d.answer("y"); got != "ok" {
			t.Errorf("%q", got)
		}
	})
}

func TestStdoutBreaks(t *testing.T) {
	d := startFake(t)
	d.send(user(uuid(), text("[[mute after 2]] [[tokens 5]]")))
	d.firstDelta()
	for _, err := d.out.ReadBytes('\n'); err != io.EOF; _, err = d.out.ReadBytes('\n') {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := d.cmd.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the process ended too: %v", err)
	}
}

func TestAnEchoWithWordsBehindIt(t *testing.T) {
	d := startFake(t)
	if got, want := d.answer("[[echo 3]]"), echo(wire.User("[[echo 3]]"))+" word0 word1 word2"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestOddOutput(t *testing.T) {
	d := startFake(t)
	if got := d.answer("[[huge 3000000]]"); len(got) != 3000000 {
		t.Errorf("%d bytes", len(got))
	}
	if got := d.answer("[[garbage after 1]] [[tokens 2]]"); got != "tok0 tok1 " {
		t.Errorf("%q", got)
	}
	garbage := 0
	for _, l := range d.read {
		if l["type"] == "garbage" {
			garbage++
		}
	}
	if garbage != 1 {
		t.Errorf("%d lines of garbage", garbage)
	}
	d.answer("[[stderr 5000]]")
	_ = d.in.Close()
	d.exit()
	if n := strings.Count(d.stderr.String(), "e"); n != 5000 {
		t.Errorf("%d bytes on stderr", n)
	}
}
