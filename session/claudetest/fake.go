package claudetest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Process is what the fake is started with.
type Process struct {
	Args   []string
	Env    []string
	Stdin  io.Reader // closed at the end if it can be, so that no read is left waiting
	Stdout io.Writer
	Stderr io.Writer
}

func (p Process) getenv(name string) string {
	for _, kv := range slices.Backward(p.Env) {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

func (p Process) duration(name string) time.Duration {
	d, err := time.ParseDuration(p.getenv(name))
	if err != nil {
		return 0
	}
	return d
}

func (p Process) flag(name string) string {
	if i := slices.Index(p.Args, name); i >= 0 && i+1 < len(p.Args) {
		return p.Args[i+1]
	}
	return ""
}

const exitKilled = 137 // as a shell reports SIGKILL

// exitCode is the cause with which the fake's context ends.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// fake is one process. Two goroutines live as long as it does: one reads stdin and answers control requests, one runs turns.
type fake struct {
	Process
	ctx  context.Context
	quit context.CancelCauseFunc // with an exitCode
	out  *output
	work sync.WaitGroup // goroutines
	wake chan struct{}  // there is something for the turns' goroutine; one token

	mu          sync.Mutex // guards what follows; never held while writing
	model       string
	system      string
	hook        string // callback id of PreToolUse; empty without one
	initialized bool
	effort      string
	settings    map[string]string // set by apply_flag_settings
	servers     []server
	shaken      chan struct{} // closed when the tools of servers are known
	residue     []string      // what a change of model leaves in front of the next user text
	history     history
	seen        map[string]bool // uuids of user lines
	intake      []userLine      // read, but stdin has more
	queue       []userLine      // to be run
	turn        *turn           // running
	closed      bool            // stdin
	pending     map[string]chan json.RawMessage
	total       usage // of all turns
}

// Serve is the fake in this process, for tests in which no child can be. It returns the exit code.
func Serve(p Process) int {
	if slices.Contains(p.Args, "--version") || slices.Contains(p.Args, "-v") {
		fmt.Fprintf(p.Stdout, "%s (Claude Code)\n", Version)
		return 0
	}
	if p.getenv(EnvCrashAtStart) == "1" {
		fmt.Fprintln(p.Stderr, "claudetest: crash at start, as ordered")
		return 1
	}
	ctx, quit := context.WithCancelCause(context.Background())
	f := &fake{
		Process: p, ctx: ctx, quit: quit, wake: make(chan struct{}, 1),
		model: resolve(p.flag("--model")), system: "(default)", settings: map[string]string{}, shaken: make(chan struct{}),
		seen: map[string]bool{}, pending: map[string]chan json.RawMessage{},
	}
	close(f.shaken)
	f.out = newOutput(p.Stdout)
	f.work.Go(f.read)
	f.work.Go(f.run)
	<-ctx.Done()
	if c, ok := p.Stdin.(io.Closer); ok {
		_ = c.Close()
		f.work.Wait()
	}
	code, ok := errors.AsType[exitCode](context.Cause(ctx))
	if !ok {
		code = 1
	}
	return int(code)
}

// read takes lines from stdin. User lines are released to the turns only when no whole line is left in the buffer: within one
// write, assistant lines overtake them, as they do in Claude Code 2.1.330.
func (f *fake) read() {
	if !f.sleep(f.ctx, f.duration(EnvStartDelay)) {
		return
	}
	in := bufio.NewReaderSize(f.Stdin, 64<<10)
	for f.ctx.Err() == nil {
		line, err := in.ReadBytes('\n')
		if err != nil {
			f.end()
			return
		}
		if err := f.accept(bytes.TrimSpace(line)); err != nil {
			fmt.Fprintln(f.Stderr, err)
			f.quit(exitCode(1))
			return
		}
		if rest, _ := in.Peek(in.Buffered()); bytes.IndexByte(rest, '\n') < 0 {
			f.release()
		}
	}
}

// end lets the queued turns finish.
func (f *fake) end() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.release()
}

func (f *fake) release() {
	f.mu.Lock()
	f.queue = append(f.queue, f.intake...)
	f.intake = nil
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// run runs turns until stdin is closed and the queue is empty.
func (f *fake) run() {
	for {
		select {
		case <-f.wake:
		case <-f.ctx.Done():
			return
		}
		for busy := false; ; busy = true {
			t := f.next(busy)
			if t == nil {
				break
			}
			t.run()
			f.finish(t)
		}
		if f.drained() {
			f.quit(exitCode(0))
			return
		}
	}
}

// next takes the next turn from the queue. Lines that came while a turn was running are answered together.
func (f *fake) next(merge bool) *turn {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.queue) == 0 || f.ctx.Err() != nil {
		return nil
	}
	n := 1
	for merge && f.queue[0].query() && n < len(f.queue) && f.queue[n].query() {
		n++
	}
	f.turn = newTurn(f, f.queue[:n:n])
	f.queue = f.queue[n:]
	return f.turn
}

func (f *fake) finish(t *turn) {
	t.interrupt()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn = nil
}

func (f *fake) drained() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed && len(f.queue) == 0
}

// sleep waits and reports whether ctx still lives.
func (f *fake) sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// resolve turns an alias into the model that Claude Code 2.1.330 asks.
func resolve(model string) string {
	switch model {
	case "", "default", "opus":
		return "claude-opus-5-5"
	case "sonnet":
		return "claude-sonnet-5-5"
	case "haiku":
		return "claude-haiku-5-5"
	}
	return model
}
