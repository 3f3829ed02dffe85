package claudetest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"maxrelay/session"
	"maxrelay/session/anthropictest"
)

// lab is where the contract's experiments are made: a stand-in for the model, a home that is nobody's, and one process that the
// experiments share as long as they leave it whole.
type lab struct {
	*driver // the held process; nil without one

	suite   *testing.T
	path    string // of the CLI
	api     *anthropictest.Server
	home    string
	cwd     string
	greeted object   // the answer to initialize; nil before it
	uuids   []string // of the user lines that the process holds, oldest first

	running atomic.Pointer[os.Process] // for the guard against hangs
}

func openLab(t *testing.T, path string) *lab {
	t.Helper()
	api, err := anthropictest.Start(anthropictest.WithDirectives())
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{suite: t, path: path, api: api, home: t.TempDir(), cwd: t.TempDir()}
	t.Cleanup(func() {
		l.drop()
		api.Close()
	})
	return l
}

// trouble is what an experiment saw when it could not go on.
type trouble string

// observed makes the driver's failures observations.
type observed struct{ testing.TB }

func (observed) Fatal(args ...any)                 { panic(trouble(fmt.Sprint(args...))) }
func (observed) Fatalf(format string, args ...any) { panic(trouble(fmt.Sprintf(format, args...))) }

// examine makes one experiment and says what it saw. A process that did not behave is not used again.
func (l *lab) examine(p point) (seen string) {
	l.api.Reset()
	l.api.Unscript()
	guard := time.AfterFunc(hang, func() {
		if p := l.running.Load(); p != nil {
			_ = p.Kill()
		}
	})
	defer guard.Stop()
	defer func() {
		switch r := recover().(type) {
		case nil:
		case trouble:
			seen = string(r)
		default:
			panic(r)
		}
		if seen != p.want {
			l.drop()
		}
	}()
	return p.see(l)
}

// env is a child's environment, as the program would make it on a host where nothing else is set.
func (l *lab) env(key string) []string {
	return session.Environ([]string{"PATH=/usr/bin:/bin", "HOME=" + l.home, "TMPDIR=" + l.home}, "",
		map[string]string{"ANTHROPIC_BASE_URL": l.api.URL(), "ANTHROPIC_API_KEY": key})
}

const madeUpKey = "sk-made-up"

// fresh holds a new process that has been told nothing.
func (l *lab) fresh() { l.start(l.env(madeUpKey)) }

func (l *lab) start(env []string) {
	l.drop()
	d := &driver{t: observed{l.suite}, cmd: exec.CommandContext(l.suite.Context(), l.path, session.Flags("sonnet")...), stderr: new(stderr)}
	d.cmd.Env, d.cmd.Dir, d.cmd.Stderr = env, l.cwd, d.stderr
	in, err := d.cmd.StdinPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	d.in, d.out = in, bufio.NewReader(out)
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	l.driver = d
	l.running.Store(d.cmd.Process)
}

// drop ends the held process, if there is one.
func (l *lab) drop() {
	if l.driver == nil {
		return
	}
	l.running.Store(nil)
	if l.cmd.ProcessState == nil {
		_ = l.in.Close()
		_ = l.cmd.Process.Kill()
		_, _ = io.Copy(io.Discard, l.out)
		_ = l.cmd.Wait()
	}
	l.driver, l.greeted, l.uuids = nil, nil, nil
}

// end closes stdin and returns the exit code.
func (l *lab) end() int {
	_ = l.in.Close()
	code := l.exit()
	l.running.Store(nil)
	return code
}

const labSystem = "Be brief."

// clean holds a process with an empty conversation: the former one, cut at its first line, or a new one.
func (l *lab) clean() {
	if l.driver == nil {
		l.fresh()
	}
	if l.greeted == nil {
		l.initialize(labSystem)
	}
	if len(l.uuids) > 0 {
		l.cut(0)
	}
	l.api.Reset()
}

func (l *lab) initialize(system string) {
	r := l.ask("initialize", object{"systemPrompt": []string{system},
		"hooks": object{"PreToolUse": []any{object{"hookCallbackIds": []string{"defer"}}}}})
	l.greeted, _ = r["response"].(object)
}

// cut rewinds to the i-th user line that is held.
func (l *lab) cut(i int) object {
	r := l.rewind(l.uuids[i], l.uuids[len(l.uuids)-1])
	if r["rewound"] != true {
		l.t.Fatalf("the rewind was refused: %v", r["reason"])
	}
	l.uuids = l.uuids[:i]
	return r
}

// say asks the model and returns the result line.
func (l *lab) say(content []any) object {
	id := l.put(content)
	return l.result(id)
}

// put writes a line for the model to answer, and whatever is to go in the same write before it.
func (l *lab) put(content []any, before ...object) (id string) {
	id = uuid()
	l.uuids = append(l.uuids, id)
	l.send(append(before, user(id, content))...)
	return id
}

// tell writes a user line of the past and waits until it is taken.
func (l *lab) tell(content []any, before ...object) object {
	id := uuid()
	l.uuids = append(l.uuids, id)
	l.send(append(before, silent(id, content))...)
	return l.result(id)
}

// newest is the request that the model saw last.
func (l *lab) newest() anthropictest.Request {
	all := l.api.Requests()
	if len(all) == 0 {
		l.t.Fatal("no request reached the model")
	}
	return all[len(all)-1]
}

// seen is the newest request's conversation, without what the CLI adds to it.
func (l *lab) seen() string { return spoken(l.newest()) }

// spoken is a conversation on one line.
func spoken(r anthropictest.Request) string {
	var messages []string
	for _, m := range anthropictest.Conversation(r) {
		var blocks []string
		for _, b := range m.Content {
			blocks = append(blocks, shortly(b))
		}
		messages = append(messages, m.Role+": "+strings.Join(blocks, ", "))
	}
	return strings.Join(messages, " | ")
}

func shortly(b anthropictest.Block) string {
	switch b.Type {
	case "text":
		return fmt.Sprintf("%q", b.Text)
	case "tool_use":
		return fmt.Sprintf("calls %s %s", b.Name, b.Input)
	case "tool_result":
		return fmt.Sprintf("got %q", b.Content.Text())
	}
	return b.Type
}

// field is a top-level field of the newest request as JSON.
func (l *lab) field(name string) string {
	raw, ok := l.newest().Body.Fields[name]
	if !ok {
		return "none"
	}
	var compact bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return "unreadable"
	}
	return compact.String()
}
