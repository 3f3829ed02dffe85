package session

import (
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
)

// watchdog is a small child that outlives this program just long enough to kill the
// process groups it was told of. It learns of the end from the pipe that only this
// program holds open, so it sees a SIGKILL too. Nothing but numbers is ever written
// to it.
type watchdog struct {
	mu    sync.Mutex // serializes writes
	stdin io.WriteCloser
	cmd   *exec.Cmd
}

// watchdogScript keeps the set of living groups and kills what is left at the end.
const watchdogScript = `
live=' '
while read -r op pid; do
	case $op in
	+) live="$live$pid " ;;
	-) live="${live%% $pid *} ${live#* $pid }" ;;
	esac
done
for pid in $live; do kill -9 "-$pid"; done 2>/dev/null
`

func (w *watchdog) open() error {
	w.cmd = exec.Command("/bin/sh", "-c", watchdogScript)
	w.cmd.Env = []string{"PATH=/usr/bin:/bin"}
	w.cmd.Dir = "/"
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's Ctrl-C is not for it
	stdin, err := w.cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	w.stdin = stdin
	if err := w.cmd.Start(); err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	return nil
}

func (w *watchdog) watch(pid int)  { w.say("+", pid) }
func (w *watchdog) forget(pid int) { w.say("-", pid) }

// say cannot usefully fail: without its reader the watchdog is dead, and the children
// still end by themselves when their stdin closes.
func (w *watchdog) say(op string, pid int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(w.stdin, "%s %d\n", op, pid)
}

// close ends the watchdog, which kills every group it still watches.
func (w *watchdog) close() {
	w.stdin.Close()
	w.cmd.Wait()
}
