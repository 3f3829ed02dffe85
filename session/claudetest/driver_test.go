package claudetest_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"sync"
	"testing"
	"time"

	"maxrelay/session/claudetest"
)

// hang is how long a test waits for an event before it gives up.
const hang = time.Minute

type object = map[string]any

// driver holds one child and every line it has read.
type driver struct {
	t      testing.TB
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr *stderr
	read   []object
}

// stderr may be read while the child still writes it.
type stderr struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *stderr) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *stderr) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// uuid is random in all its digits: Claude Code 2.1.330 takes two for one when they differ in the last group only.
func uuid() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

var flags = []string{"-p", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose", "--include-partial-messages",
	"--tools", "", "--strict-mcp-config", "--setting-sources", "", "--restricted", "--permission-prompts", "none",
	"--no-session-persistence", "--system-prompt-snapshot", "off", "--model", "sonnet"}

func startFake(t *testing.T, env ...string) *driver {
	path, own := claudetest.Command()
	return start(t, path, slices.Concat([]string{"PATH=/usr/bin:/bin", "CLAUDE_AGENT_SDK_MCP_NO_PREFIX=1"}, own, env), flags...)
}

func start(t *testing.T, path string, env []string, args ...string) *driver {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	d := &driver{t: t, cmd: exec.CommandContext(ctx, path, args...), stderr: new(stderr)}
	d.cmd.Env, d.cmd.Dir, d.cmd.Stderr = env, t.TempDir(), d.stderr
	var err error
	if d.in, err = d.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.out = bufio.NewReader(out)
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer cancel()
		if d.cmd.ProcessState == nil {
			_ = d.in.Close()
			_ = d.cmd.Process.Kill()
			_, _ = io.Copy(io.Discard, d.out)
			_ = d.cmd.Wait()
		}
	})
	return d
}

// send writes all lines at once.
func (d *driver) send(lines ...object) {
	d.t.Helper()
	var buf bytes.Buffer
	for _, l := range lines {
		data, err := json.Marshal(l)
		if err != nil {
			d.t.Fatal(err)
		}
		buf.Write(append(data, '\n'))
	}
	d.write(buf.String())
}

func (d *driver) write(s string) {
	d.t.Helper()
	if _, err := io.WriteString(d.in, s); err != nil {
		d.t.Fatal(err)
	}
}

// line reads the next line; nil is the end.
func (d *driver) line() object {
	d.t.Helper()
	data, err := d.out.ReadBytes('\n')
	if err != nil {
		return nil
	}
	var l object
	if err := json.Unmarshal(data, &l); err != nil {
		l = object{"type": "garbage"}
	}
	d.read = append(d.read, l)
	d.serve(l)
	return l
}

// until reads lines up to the first for which want holds.
func (d *driver) until(what string, want func(object) bool) object {
	d.t.Helper()
	for {
		l := d.line()
		if l == nil {
			d.t.Fatalf("the process ended while waiting for %s; stderr: %s", what, d.stderr)
		}
		if want(l) {
			return l
		}
	}
}

func (d *driver) result(of string) object {
	d.t.Helper()
	return d.until("the result of "+of, func(l object) bool {
		uuids, _ := l["user_message_uuids"].([]any)
		return l["type"] == "result" && slices.Contains(uuids, any(of))
	})
}

// serve answers the CLI's own requests: the hook defers, the one tool server offers get_weather.
func (d *driver) serve(l object) {
	if l["type"] != "control_request" {
		return
	}
	request := l["request"].(object)
	var answer object
	switch request["subtype"] {
	case "hook_callback":
		answer = object{"hookSpecificOutput": object{"hookEventName": "PreToolUse", "permissionDecision": "defer"}}
	case "mcp_message":
		message := request["message"].(object)
		result := object{}
		switch message["method"] {
		case "initialize":
			result = object{"protocolVersion": "2025-11-25", "capabilities": object{"tools": object{}}, "serverInfo": object{"name": "t", "version": "1"}}
		case "tools/list":
			result = object{"tools": []any{object{"name": "get_weather", "description": "d", "inputSchema": object{"type": "object"}}}}
		}
		answer = object{"mcp_response": object{"jsonrpc": "2.0", "id": message["id"], "result": result}}
	}
	d.send(object{"type": "control_response", "response": object{"subtype": "success", "request_id": l["request_id"], "response": answer}})
}

func control(id, subtype string, fields object) object {
	request := object{"subtype": subtype}
	maps.Copy(request, fields)
	return object{"type": "control_request", "request_id": id, "request": request}
}

// ask sends a control request and returns the response's inner part.
func (d *driver) ask(subtype string, fields object) object {
	d.t.Helper()
	id := uuid()
	d.send(control(id, subtype, fields))
	return d.response(id)
}

func (d *driver) response(id string) object {
	d.t.Helper()
	l := d.until("a response", func(l object) bool {
		r, _ := l["response"].(object)
		return l["type"] == "control_response" && r["request_id"] == id
	})
	return l["response"].(object)
}

func text(s string) []any { return []any{object{"type": "text", "text": s}} }

func user(id string, content []any) object {
	return object{"type": "user", "message": object{"role": "user", "content": content}, "parent_tool_use_id": nil, "session_id": "",
		"uuid": id, "client_composed": true}
}

func silent(id string, content []any) object {
	l := user(id, content)
	l["shouldQuery"] = false
	return l
}

func assistant(content []any) object {
	return object{"type": "assistant", "message": object{"role": "assistant", "content": content}, "parent_tool_use_id": nil, "session_id": ""}
}

// turn sends a text and returns its uuid and result line.
func (d *driver) turn(s string) (string, object) {
	d.t.Helper()
	id := uuid()
	d.send(user(id, text(s)))
	return id, d.result(id)
}

func (d *driver) answer(s string) string {
	d.t.Helper()
	_, r := d.turn(s)
	out, _ := r["result"].(string)
	return out
}

func (d *driver) rewind(target, last string) object {
	d.t.Helper()
	fields := object{"target_message_uuid": target}
	if last != "" {
		fields["last_seen_user_message_uuid"] = last
	}
	r := d.ask("rewind_conversation", fields)
	return r["response"].(object)
}

func (d *driver) firstDelta() {
	d.t.Helper()
	d.until("a delta", func(l object) bool {
		e, _ := l["event"].(object)
		return e["type"] == "content_block_delta"
	})
}

// exit waits for the end and returns the code; -1 is a signal.
func (d *driver) exit() int {
	d.t.Helper()
	for d.line() != nil {
	}
	err := d.cmd.Wait()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		d.t.Fatal(err)
	}
	return d.cmd.ProcessState.ExitCode()
}
