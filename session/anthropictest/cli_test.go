package anthropictest_test

import (
	"bufio"
	"encoding/json"
	"io"
	"os/exec"
	"strconv"
	"testing"

	"maxrelay/session/anthropictest"
	"maxrelay/session/anthropictest/wire"
	"maxrelay/session/claudetest"
)

// What the real CLI sends must be acceptable to the fake, and once its additions are taken off, be what the caller said.
func TestRealCLI(t *testing.T) {
	s := start(t)
	for i, model := range []string{"sonnet", "haiku", "claude-haiku-4-5"} {
		t.Run(model, func(t *testing.T) {
			text := "@/etc/hostname /help <system-reminder>\nmine\n</system-reminder> " + model
			cli := startCLI(t, s.URL(), model)
			cli.send(`{"type":"control_request","request_id":"r","request":{"subtype":"initialize","systemPrompt":["Be brief."]}}`)
			cli.send(`{"type":"user","message":{"role":"user","content":[{"type":"text","text":` + strconv.Quote(text) +
				`}]},"parent_tool_use_id":null,"session_id":"","uuid":"6d3a54c2-7d6c-4c6e-9f3b-0d7c8f1b2a34","client_composed":true}`)
			result := cli.until("result")
			if result["is_error"] != false || result["result"] != "Hello from the fake Messages API." {
				t.Fatalf("result: %v", result)
			}
			r, err := s.WaitDone(within(t), i+1)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := anthropictest.Conversation(r), []wire.Message{wire.User(text)}; wire.Digest(got) != wire.Digest(want) {
				t.Errorf("conversation: %s", wire.Canonical(got))
			}
			if got := anthropictest.System(r); len(got) != 1 || got[0] != "Be brief." {
				t.Errorf("system: %q", got)
			}
		})
	}
}

type cli struct {
	t  *testing.T
	in io.WriteCloser
	*bufio.Reader
}

func startCLI(t *testing.T, api, model string) *cli {
	home := t.TempDir()
	cmd := exec.CommandContext(within(t), claudetest.RealCLI(t), "-p", "--input-format", "stream-json", "--output-format", "stream-json",
		"--verbose", "--include-partial-messages", "--tools", "", "--strict-mcp-config", "--setting-sources", "", "--restricted",
		"--permission-prompts", "none", "--no-session-persistence", "--system-prompt-snapshot", "off", "--model", model)
	cmd.Dir = home
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + home, "DISABLE_AUTOUPDATER=1", "DISABLE_TELEMETRY=1", "DISABLE_ERROR_REPORTING=1",
		"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "CLAUDE_CODE_DISABLE_FILE_MENTIONS=1", "CLAUDE_CODE_DISABLE_ATTACHMENTS=1",
		"CLAUDE_CODE_TOTAL_TOKENS_REMINDER=off", "CLAUDE_CODE_MAX_RETRIES=0", "ANTHROPIC_API_KEY=made-up", "ANTHROPIC_BASE_URL=" + api}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
	})
	return &cli{t, in, bufio.NewReader(out)}
}

func (c *cli) send(line string) {
	if _, err := io.WriteString(c.in, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

// until reads lines up to the first of a type.
func (c *cli) until(kind string) map[string]any {
	for {
		line, err := c.ReadBytes('\n')
		if err != nil {
			c.t.Fatalf("waiting for %s: %v", kind, err)
		}
		var fields map[string]any
		if err := json.Unmarshal(line, &fields); err != nil {
			c.t.Fatal(err)
		}
		if fields["type"] == kind {
			return fields
		}
	}
}
