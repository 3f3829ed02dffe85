package session

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// errClosed is what a pool that is closing answers.
var errClosed = errors.New("the session pool is closed")

const (
	stdoutBuffer = 16 << 10         // bytes; the longest line of an ordinary turn has 10 KB
	stderrBuffer = 1 << 10          // bytes
	stderrTail   = 4 << 10          // bytes of stderr kept
	lineBacklog  = 256              // decoded lines waiting for the turn; then the child waits
	longestLine  = 256 << 20        // bytes; a child that says more without a line's end is broken
	writeTimeout = 30 * time.Second // for one write to stdin: a child that does not read is hung
	writeStep    = time.Second      // how often a write that is stuck looks at its context
)

// process is one child: its pipes, its lines and its end. Exactly one goroutine at a
// time reads lines and writes; which, is the pool's business.
type process struct {
	id     string
	cmd    *exec.Cmd
	stdin  *os.File
	stdout *os.File
	stderr tail

	// attended says that somebody reads lines. Between turns nobody does, and what
	// the child says then is dropped.
	attended atomic.Bool
	// watchInit says that the reader is to pass on what the CLI tells of itself when
	// it begins a turn. It is long and means nothing as long as nothing was changed.
	watchInit atomic.Bool
	lines     chan *line // closed at the end of stdout

	done chan struct{} // closed when the child is reaped; exit is set before
	exit error
	kill func()
}

// spawn starts a child. ended is called once, after it was reaped.
func (l *launcher) spawn(id string, c Config, ended func()) (*process, error) {
	p := &process{id: id, lines: make(chan *line, lineBacklog), done: make(chan struct{}), stderr: tail{size: stderrTail}}
	p.cmd = exec.Command(c.Path, flags(c.Model)...)
	p.cmd.Env, p.cmd.Dir = slices.Concat(c.Env, cacheEnv(c.CacheTTL)), c.Cwd // never nil, which would be all of this program's
	theirs, stderr, err := p.pipes()
	if err != nil {
		return nil, fmt.Errorf("start the CLI: %w", err)
	}
	err = l.start(p.cmd)
	for _, f := range theirs {
		f.Close()
	}
	if err != nil {
		p.stdin.Close()
		p.stdout.Close()
		stderr.Close()
		return nil, fmt.Errorf("start the CLI: %w", err)
	}
	pid := p.cmd.Process.Pid
	p.kill = sync.OnceFunc(func() { p.killGroup(pid, stderr) })
	go p.reap(l, c.Env, stderr, ended)
	return p, nil
}

// pipes makes the child's three pipes and returns its ends, and ours of stderr.
// Plain pipes instead of StdinPipe: their deadlines keep a hung child from holding us.
func (p *process) pipes() (theirs []*os.File, stderr *os.File, err error) {
	var made []*os.File
	pipe := func() (r, w *os.File) {
		if err == nil {
			r, w, err = os.Pipe()
			made = append(made, r, w)
		}
		return r, w
	}
	inR, inW := pipe()
	outR, outW := pipe()
	errR, errW := pipe()
	if err != nil {
		for _, f := range made {
			f.Close()
		}
		return nil, nil, err
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = inR, outW, errW
	p.stdin, p.stdout = inW, outR
	return []*os.File{inR, outW, errW}, errR, nil
}

// reap reads both outputs to their end, then waits for the child: Wait before would
// lose what is still in the pipes.
func (p *process) reap(l *launcher, env []string, stderr *os.File, ended func()) {
	var readers sync.WaitGroup
	readers.Go(p.readLines)
	readers.Go(func() { p.keepTail(stderr) })
	readers.Wait()
	p.exit = p.cmd.Wait()
	l.reaped(p.cmd.Process.Pid)
	p.stdin.Close()
	p.stdout.Close()
	stderr.Close()
	if killed(p.exit) {
		removeSessionFile(env, p.cmd.Process.Pid)
	}
	close(p.done)
	ended()
}

// keepTail reads stderr to its end, with little memory: most children never say anything
// there, and an os.File would copy itself with 32 KB.
func (p *process) keepTail(stderr *os.File) {
	_, _ = io.CopyBuffer(&p.stderr, struct{ io.Reader }{stderr}, make([]byte, stderrBuffer)) // its end is the child's
}

// readLines decodes stdout until it ends. A line that does not decode ends the child:
// after nonsense nothing it says can be trusted.
func (p *process) readLines() {
	defer close(p.lines)
	r := bufio.NewReaderSize(p.stdout, stdoutBuffer)
	for {
		raw, err := readLine(r)
		if err != nil {
			return // the end, half a line at it, or one without end
		}
		if !p.attended.Load() || meaningless(raw) && !(p.watchInit.Load() && isInit(raw)) {
			continue
		}
		l, err := decodeLine(raw)
		if err != nil {
			l = &line{Type: typeGarbage}
		}
		p.lines <- l // unattend makes room when the listener goes
	}
}

// typeGarbage marks a line that was no JSON.
const typeGarbage = "\x00garbage"

// attend begins to listen; what is left from before is dropped.
func (p *process) attend() {
	p.drop()
	p.attended.Store(true)
}

// unattend stops listening. The reader may be about to deliver one more line, for
// which there is room.
func (p *process) unattend() {
	p.attended.Store(false)
	p.drop()
}

func (p *process) drop() {
	for {
		select {
		case _, open := <-p.lines:
			if !open {
				return
			}
		default:
			return
		}
	}
}

// write writes what in holds in one go. A child that does not read is given up after
// writeTimeout, or soon after ctx has ended; how much it got is then not known.
func (p *process) write(ctx context.Context, in *input) error {
	rest, end := in.buf.Bytes(), time.Now().Add(writeTimeout)
	for {
		p.stdin.SetWriteDeadline(time.Now().Add(writeStep))
		n, err := p.stdin.Write(rest)
		if err == nil {
			return nil
		}
		rest = rest[n:]
		if !errors.Is(err, os.ErrDeadlineExceeded) || ctx.Err() != nil || time.Now().After(end) {
			return fmt.Errorf("write to the CLI: %w", err)
		}
	}
}

// dead reports whether the child is known to be gone.
func (p *process) dead() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop ends an idle child in steps: no more input, then SIGTERM, then SIGKILL, with a
// moment for each. It returns when the child is reaped.
func (p *process) stop() {
	p.stdin.Close()
	for _, step := range []func(){p.terminate, p.kill} {
		select {
		case <-p.done:
			return
		case <-time.After(stopGrace):
			step()
		}
	}
	<-p.done
}

// stopGrace is many times what an idle CLI needs: 30–66 ms after its stdin closes.
const stopGrace = 2 * time.Second

func (p *process) terminate() { syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM) }

// killGroup kills the child and whatever it started, and makes sure that the readers
// come to an end even if something else still holds the pipes.
func (p *process) killGroup(pid int, stderr *os.File) {
	if !p.dead() {
		syscall.Kill(-pid, syscall.SIGKILL)
	}
	deadline := time.Now().Add(stopGrace)
	p.stdout.SetReadDeadline(deadline)
	stderr.SetReadDeadline(deadline)
}

func killed(exit error) bool {
	ee, ok := errors.AsType[*exec.ExitError](exit)
	if !ok {
		return false
	}
	ws, ok := ee.Sys().(syscall.WaitStatus)
	return ok && ws.Signaled()
}

// removeSessionFile removes the file that a running CLI keeps about itself and leaves
// behind when it is killed.
func removeSessionFile(env []string, pid int) {
	dir := ""
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "CLAUDE_CONFIG_DIR="); ok {
			dir = v
			break
		}
		if v, ok := strings.CutPrefix(kv, "HOME="); ok {
			dir = filepath.Join(v, ".claude")
		}
	}
	if dir != "" {
		os.Remove(filepath.Join(dir, "sessions", strconv.Itoa(pid)+".json"))
	}
}
