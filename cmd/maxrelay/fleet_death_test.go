package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// target is what is to be killed.
type target string

const (
	aCLI    target = "CLI"
	aWorker target = "worker"
)

// order is a client's order to kill. A process that is no CLI of this fleet is spared.
type order struct {
	what target
	who  process // the zero value is any
}

// buildCLI makes the scripted CLI a binary of its own: the test's own takes ten times
// as long to start.
func buildCLI(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fakeclaude")
	out, err := exec.Command("go", "build", "-o", path, "maxrelay/session/claudetest/fakeclaude").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func (f *fleet) smallCLI(testing.TB) (string, map[string]string) { return f.cli, nil }

// killUntil executes the clients' orders.
func (f *fleet) killUntil(over <-chan struct{}) {
	rng := rand.New(rand.NewPCG(f.seed, 0))
	for {
		select {
		case o := <-f.orders:
			i := rng.IntN(len(f.workers))
			switch {
			case o.what == aWorker:
				f.killWorker(i)
			case o.who != process{}:
				f.killCLI(o.who)
			default:
				if clis := f.workers[i].clis(); len(clis) > 0 {
					pid := clis[rng.IntN(len(clis))]
					f.killCLI(process{pid, bornAt(pid)})
				}
			}
		case <-over:
			return
		}
	}
}

// killWorker kills one and its CLIs with it, and starts another in its place.
func (f *fleet) killWorker(i int) {
	clis := f.workers[i].clis()
	f.struck.Add(1)
	f.tally.struck(aWorker)
	f.workers[i].kill()
	mustEnd(f.t, clis)
	f.startWorker(i)
}

// killCLI kills a child of one of the workers. FindProcess holds on to whoever has the
// number then, so what is checked afterwards is who is killed.
func (f *fleet) killCLI(who process) {
	victim, err := os.FindProcess(who.pid)
	if err != nil || bornAt(who.pid) != who.born || !f.isWorker(parentOf(who.pid)) {
		return
	}
	f.struck.Add(1)
	f.tally.struck(aCLI)
	victim.Kill()
}

func (f *fleet) isWorker(pid int) bool {
	return slices.ContainsFunc(f.workers, func(w *proc) bool { return w.cmd.Process.Pid == pid })
}

// bornAt tells processes apart that had the same number; "" for one that is gone.
func bornAt(pid int) string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	return strings.Fields(rest)[19]
}

// tellGoroutines makes the program write its goroutines to stderr at SIGUSR1: from
// outside nobody can count them.
func tellGoroutines() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	go func() {
		for range asked {
			var all bytes.Buffer
			pprof.Lookup("goroutine").WriteTo(&all, 1)
			os.Stderr.Write(all.Bytes()) // at once, so that it does not mix with the log
		}
	}()
}

// ownGoroutines asks the process how many it has outside the embedded broker, and for
// their stacks.
func (p *proc) ownGoroutines() (n int, stacks string) {
	p.t.Helper()
	const title = "goroutine profile: "
	before := strings.Count(p.text(), title)
	p.cmd.Process.Signal(syscall.SIGUSR1)
	eventually(p.t, "the goroutines of "+p.name, func() bool {
		profiles := strings.Split(p.text(), title)
		latest, all := profiles[len(profiles)-1], 0
		n, stacks = 0, ""
		for stack := range strings.SplitSeq(latest, "\n\n") {
			m := goroutineStack.FindStringSubmatch(stack)
			if m == nil {
				continue
			}
			count, _ := strconv.Atoi(m[1])
			all += count
			if strings.Contains(stack, "maxrelay/") || strings.Contains(stack, "net/http") {
				n, stacks = n+count, stacks+stack+"\n\n"
			}
		}
		return len(profiles) > before+1 && strings.HasPrefix(latest, fmt.Sprintf("total %d\n", all)) // it is whole
	})
	return n, stacks
}

var goroutineStack = regexp.MustCompile(`(?m)^(\d+) @ `)

// mustBeAsQuietAsBefore checks that requests leave no goroutine in the API node.
func (f *fleet) mustBeAsQuietAsBefore() {
	f.t.Helper()
	late := time.Now().Add(guard)
	for {
		n, stacks := f.node.ownGoroutines()
		if n <= f.quiet {
			return
		}
		if time.Now().After(late) {
			f.t.Fatalf("there were %d goroutines before the first request, and %d are now:\n%s", f.quiet, n, stacks)
		}
	}
}

// mustEndWithoutATrace stops everything as an operator would.
func (f *fleet) mustEndWithoutATrace() {
	f.t.Helper()
	for _, w := range f.workers {
		w.stop()
	}
	f.broker.Close()
	f.node.stop()
	eventually(f.t, "every process to be gone", func() bool { return len(f.alive()) == 0 })
	f.mustNotCry()
}

// mustNotCry looks for what a process says when it finds a defect of its own.
func (s *site) mustNotCry() {
	s.t.Helper()
	for _, p := range s.procs {
		for _, cry := range []string{"DATA RACE", "panic: ", "panicked"} {
			if strings.Contains(p.text(), cry) {
				s.t.Errorf("%s:\n%s", p.name, p.text())
			}
		}
	}
}

// alive returns the processes that have this installation's folder in their
// environment, as all its programs and their CLIs do.
func (s *site) alive() (pids []string) {
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, path := range environs {
		if raw, err := os.ReadFile(path); err == nil && strings.Contains(string(raw), s.dir) {
			pids = append(pids, path)
		}
	}
	return pids
}
