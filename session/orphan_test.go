package session_test

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"

	"maxrelay/session/anthropictest"
)

func TestNoProcessOutlivesAKilledProgram(t *testing.T) {
	api, err := anthropictest.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	gate := anthropictest.NewGate(1)
	defer gate.Release()
	api.Answer(anthropictest.Text(3, 0).HeldBy(gate))
	cfg := realConfig(t, api.URL())

	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{"SESSION_TEST_PARENT=" + cfg.Path, "SESSION_TEST_ENV=" + strings.Join(cfg.Env, "\n")}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "answering\n" {
		t.Fatalf("the program said %q", line)
	}
	var pids []int
	eventually(t, "a busy process and a spare", func() bool {
		pids = childrenOf(t, cmd.Process.Pid)
		return len(pids) == 2
	})
	cmd.Process.Kill()
	cmd.Wait()
	waitGone(t, pids)
	if r, err := api.WaitDone(t.Context(), 1); err != nil || r.Aborted.IsZero() {
		t.Errorf("the upstream request %s %s was not closed: answered %d, %v", r.Method, r.Path, r.Status, err)
	}
}
