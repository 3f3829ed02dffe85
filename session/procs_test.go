package session_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// children returns the pids of this process's living children.
func children(t testing.TB) []int { return childrenOf(t, os.Getpid()) }

func childrenOf(t testing.TB, parent int) (pids []int) {
	t.Helper()
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		if ppid, state := stat(pid); ppid == parent && state != "Z" {
			pids = append(pids, pid)
		}
	}
	return pids
}

// stat returns a process's parent and state; 0 when it is gone.
func stat(pid int) (ppid int, state string) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, ""
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(rest)
	ppid, _ = strconv.Atoi(fields[1])
	return ppid, fields[0]
}

// kill sends a signal to every CLI process and, for SIGKILL, waits until the pool
// knows.
func kill(t testing.TB, b *bench, sig syscall.Signal) []int {
	t.Helper()
	pids := children(t)
	if len(pids) == 0 {
		t.Fatal("no process to signal")
	}
	for _, pid := range pids {
		syscall.Kill(pid, sig)
	}
	if sig == syscall.SIGKILL {
		waitGone(t, pids)
		eventually(t, "the pool to notice", func() bool { return b.Stats().Idle == 0 })
	}
	return pids
}

func waitGone(t testing.TB, pids []int) {
	t.Helper()
	for _, pid := range pids {
		eventually(t, fmt.Sprint("process ", pid, " to end"), func() bool {
			ppid, _ := stat(pid)
			return ppid == 0
		})
	}
}

// eventually polls for what the system gives no event for.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for ", what)
		}
	}
}
