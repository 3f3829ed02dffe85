package session

import (
	"os/exec"
	"syscall"
	"testing"
)

// The watchdog is used where there is no parent-death signal; it works everywhere.
func TestWatchdogKillsTheGroupsItStillWatches(t *testing.T) {
	var w watchdog
	if err := w.open(); err != nil {
		t.Fatal(err)
	}
	watched, forgotten := sleeper(t), sleeper(t)
	w.watch(watched.Process.Pid)
	w.watch(forgotten.Process.Pid)
	w.forget(forgotten.Process.Pid)
	w.close()
	if err := watched.Wait(); !killed(err) {
		t.Errorf("the watched process ended with %v, want killed", err)
	}
	if err := forgotten.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the forgotten process is gone: %v", err)
	}
	forgotten.Process.Kill()
	forgotten.Wait()
}

func sleeper(t *testing.T) *exec.Cmd {
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}
