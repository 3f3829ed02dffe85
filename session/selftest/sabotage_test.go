package selftest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"maxrelay/session/claudetest"
)

// saboteur names the sabotage that the test binary does instead of running tests: it is the pinned CLI with one of its
// safeguards lost, as a later release might lose it.
const saboteur = "SELFTEST_SABOTEUR"

type object = map[string]any

// sabotage is how the saboteur changes what passes through it.
type sabotage struct {
	args   func([]string) []string
	env    func([]string) []string
	stdin  func(line object) object // nil swallows the line
	answer func(line object) object // what is said in the CLI's stead to a line that was swallowed
}

var sabotages = map[string]sabotage{
	"text is not literal": {env: dropped("CLAUDE_CODE_DISABLE_FILE_MENTIONS", "CLAUDE_CODE_DISABLE_ATTACHMENTS"), stdin: func(l object) object {
		delete(l, "client_composed")
		return l
	}},
	"the system prompt is the CLI's own": {stdin: func(l object) object {
		if request, ok := l["request"].(object); ok {
			delete(request, "systemPrompt")
		}
		return l
	}},
	"answers of the past are forgotten": {stdin: func(l object) object {
		if l["type"] == "assistant" {
			return nil
		}
		return l
	}},
	"nothing is cut": {stdin: swallow("rewind_conversation"), answer: func(l object) object {
		return object{"type": "control_response", "response": object{"subtype": "success", "request_id": l["request_id"],
			"response": object{"rewound": true}}}
	}},
	"tools are offered": {args: without([]string{"--tools", ""})},
	"tools are run": {args: func(args []string) []string {
		return append(without([]string{"--tools", ""}, []string{"--restricted"})(args), "--allowedTools", "Bash")
	}, stdin: func(l object) object {
		if request, ok := l["request"].(object); ok {
			delete(request, "hooks")
		}
		return swallow("interrupt")(l)
	}},
	"the operator's settings are used": {args: without([]string{"--setting-sources", ""}, []string{"--restricted"})},
	"the operator's MCP servers are used": {args: without([]string{"--strict-mcp-config"}, []string{"--setting-sources", ""},
		[]string{"--restricted"})},
	"another sign-in is used": {env: func(env []string) []string {
		return append(dropped("ANTHROPIC_API_KEY")(env), "ANTHROPIC_API_KEY=sk-of-somebody")
	}},
}

func subtype(l object) any {
	request, _ := l["request"].(object)
	return request["subtype"]
}

func swallow(what string) func(object) object {
	return func(l object) object {
		if subtype(l) == what {
			return nil
		}
		return l
	}
}

// without takes flags, each with its value if it has one, out of a command line.
func without(flags ...[]string) func([]string) []string {
	return func(args []string) []string {
		args = slices.Clone(args)
		for _, f := range flags {
			i := slices.Index(args, f[0])
			args = slices.Delete(args, i, i+len(f))
		}
		return args
	}
}

// dropped takes variables out of an environment.
func dropped(names ...string) func([]string) []string {
	return func(env []string) []string {
		return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
			name, _, _ := strings.Cut(kv, "=")
			return slices.Contains(names, name)
		})
	}
}

// sabotaged is the path of an executable that does one sabotage on the pinned CLI.
func sabotaged(t *testing.T, name string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "claude")
	script := fmt.Sprintf("#!/bin/sh\n%s=%s GORACE=atexit_sleep_ms=0 exec %s %s \"$@\"\n", saboteur, quoted(name), quoted(self), quoted(claudetest.RealCLI(t)))
	if err := os.WriteFile(path, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// runSaboteur is the saboteur's main: the first argument is the CLI's path, the others are its own.
func runSaboteur(name string) int {
	s := sabotages[name]
	args, env := os.Args[2:], dropped(saboteur, "GORACE")(os.Environ())
	if s.args != nil {
		args = s.args(args)
	}
	if s.env != nil {
		env = s.env(env)
	}
	cmd := exec.Command(os.Args[1], args...)
	cmd.Env, cmd.Stderr = env, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return 1
	}
	out := &lineWriter{w: os.Stdout}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		return 1
	}
	go s.pass(in, out)
	exit, _ := errors.AsType[*exec.ExitError](cmd.Wait())
	if exit != nil {
		return exit.ExitCode()
	}
	return 0
}

// pass hands stdin on, line by line, until it ends.
func (s sabotage) pass(in io.WriteCloser, out io.Writer) {
	defer in.Close()
	lines := bufio.NewReader(os.Stdin)
	for {
		raw, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var l object
		if s.stdin == nil || json.Unmarshal(raw, &l) != nil {
			in.Write(raw)
			continue
		}
		if changed := s.stdin(l); changed != nil {
			json.NewEncoder(in).Encode(changed)
		} else if s.answer != nil {
			json.NewEncoder(out).Encode(s.answer(l))
		}
	}
}

// lineWriter passes whole lines on, so that two writers do not mix theirs.
type lineWriter struct {
	mu   sync.Mutex
	w    io.Writer
	rest []byte
}

func (l *lineWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, p...)
	end := bytes.LastIndexByte(l.rest, '\n') + 1
	if _, err := l.w.Write(l.rest[:end]); err != nil {
		return 0, err
	}
	l.rest = append(l.rest[:0], l.rest[end:]...)
	return len(p), nil
}
