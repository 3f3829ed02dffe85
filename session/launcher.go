package session

import (
	"os/exec"
	"runtime"
	"sync"
)

// launcher starts children from one operating-system thread that lives as long as the
// pool. Linux sends a child its parent-death signal when the thread that forked it
// ends, not the process; Go ends threads as it likes, except a locked one.
type launcher struct {
	starts chan start
	quit   chan struct{}
	done   sync.WaitGroup
	guard  guard
}

type start struct {
	cmd  *exec.Cmd
	errc chan error
}

func newLauncher() (*launcher, error) {
	l := &launcher{starts: make(chan start), quit: make(chan struct{})}
	if err := l.guard.open(); err != nil {
		return nil, err
	}
	l.done.Go(l.run)
	return l, nil
}

// run never unlocks its thread: the thread ends with it, after the last child.
func (l *launcher) run() {
	runtime.LockOSThread()
	for {
		select {
		case s := <-l.starts:
			s.errc <- s.cmd.Start()
		case <-l.quit:
			return
		}
	}
}

// start starts cmd as the leader of a process group that does not outlive this program.
func (l *launcher) start(cmd *exec.Cmd) error {
	tie(cmd)
	s := start{cmd: cmd, errc: make(chan error, 1)}
	select {
	case l.starts <- s:
	case <-l.quit:
		return errClosed
	}
	if err := <-s.errc; err != nil {
		return err
	}
	l.guard.watch(cmd.Process.Pid)
	return nil
}

// reaped says that the child is no more, so that its pid may come to mean another.
func (l *launcher) reaped(pid int) { l.guard.forget(pid) }

// close ends the thread. All children must be dead.
func (l *launcher) close() {
	close(l.quit)
	l.done.Wait()
	l.guard.close()
}
