package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"maxrelay/queue/linktest"
	"maxrelay/session/claudetest"
)

// station is the place of an API node or a worker: its process is killed and started
// again, and is found where it was.
type station struct {
	storm *storm
	name  string
	ready string // what its process says when it is
	args  []string
	link  *linktest.Link // from callers to an API node, from a worker to the broker
	mood  string         // file with orders for CLIs that start

	busy sync.Mutex // held by the one fault that strikes here
	mu   sync.Mutex
	proc *proc
}

func (s *storm) newNode(i int) *station {
	return &station{storm: s, name: fmt.Sprint("api", i), ready: servesHTTP, link: linktest.New(s.t, ""),
		args: []string{"api", "--log-level", "info", "--nats-url", s.url + strings.TrimPrefix(s.outside.ClientURL(), "nats://")}}
}

func (s *storm) newWorker(i int) *station {
	name := fmt.Sprint("w", i)
	link := linktest.New(s.t, strings.TrimPrefix(s.outside.ClientURL(), "nats://"))
	return &station{storm: s, name: name, ready: takesJobs, link: link, mood: filepath.Join(s.dir, name+".mood"),
		args: []string{"worker", "--log-level", "info", "--nats-url", s.url + link.Addr(),
			"--set", fmt.Sprint("worker.max_sessions=", stormSlots), "--set", fmt.Sprint("worker.max_sessions_per_key=", stormSlots),
			"--set", "worker.cli.start_timeout=10s", "--set", "worker.cli.first_byte_timeout=3s", "--set", "worker.cli.idle_timeout=3s",
			"--set", "worker.drain_timeout=20s"}}
}

func (st *station) isNode() bool { return st.mood == "" }

// start returns when the process is ready.
func (st *station) start() error {
	p := st.storm.launch(st.name, func(testing.TB) (string, map[string]string) {
		return st.storm.cli, map[string]string{claudetest.EnvFile: st.mood}
	}, st.args...)
	st.mu.Lock()
	st.proc = p
	st.mu.Unlock()
	line, err := p.says(st.ready)
	if err != nil {
		return fmt.Errorf("%w:\n%s", err, p.text())
	}
	if url, ok := line["url"].(string); ok {
		st.link.LeadTo(strings.TrimPrefix(url, "http://"))
	}
	return nil
}

// now is the process that is there, or was last.
func (st *station) now() *proc {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.proc
}

func (st *station) signal(sig syscall.Signal) { _ = st.now().cmd.Process.Signal(sig) }

// stop ends the process in order.
func (st *station) stop() error {
	st.signal(syscall.SIGTERM)
	p := st.now()
	select {
	case <-p.done:
	case <-time.After(guard):
		return fmt.Errorf("%s did not end after SIGTERM", st.name)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s ended with %v", st.name, p.cmd.ProcessState)
	}
	return nil
}

// order tells CLIs that start from now on how to be; "" as usual.
func (st *station) order(variables string) error {
	if variables == "" {
		return os.Remove(st.mood)
	}
	return os.WriteFile(st.mood, []byte(variables), 0o600)
}

// someCLI is a process of the worker's, if it has any. FindProcess holds on to whoever
// has the number then, so what is checked afterwards is what is returned.
func (st *station) someCLI(pick uint64) (*os.Process, bool) {
	p := st.now()
	all := p.clis()
	if len(all) == 0 {
		return nil, false
	}
	pid := all[pick%uint64(len(all))]
	cli, err := os.FindProcess(pid)
	return cli, err == nil && parentOf(pid) == p.cmd.Process.Pid
}
