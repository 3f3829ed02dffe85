//go:build !linux

package session

import (
	"os/exec"
	"syscall"
)

// tie makes cmd the leader of its own process group. The guard does the rest: this
// system has no parent-death signal.
func tie(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

type guard struct{ watchdog }
