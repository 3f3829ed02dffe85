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
	*site
	name  string
	cli   string
	mood  string // file with orders for CLIs that start; "" for an API node
	ready string // what its process says when it is
	args  []string
	disk  *disk            // of an API node, where its broker keeps its streams
	route *linktest.Link   // from other API nodes to this one
	links []*linktest.Link // from callers to an API node, or from a worker to the brokers

	busy sync.Mutex // held by the one fault that strikes here
	at   sync.Mutex
	proc *proc
}

func (s *storm) newNode(i int) *station {
	st := &station{site: s.cluster.nodes[i], name: fmt.Sprint("api", i), cli: s.cli, ready: servesHTTP, disk: newDisk(s.t), route: s.routes[i], links: []*linktest.Link{linktest.New(s.t, "")},
		args: []string{"api", "--log-level", "info", "--set", "rate_limit.max_tokens_per_day=1000000000000"}}
	st.disk.keep(st.site)
	st.extra = fmt.Sprintf("auth: {enabled: true, api_keys: [%q, %q, %q]}\nqueue: {timeout: 15s}", tenantKeys[0], tenantKeys[1], tenantKeys[2])
	return st
}

func (s *storm) newWorker(i int) *station {
	st := &station{site: s.newSite(fmt.Sprint("w", i)), name: fmt.Sprint("w", i), cli: s.cli, ready: takesJobs}
	st.mood = filepath.Join(st.dir, "mood")
	var brokers []string
	for _, node := range s.cluster.nodes {
		link := linktest.New(s.t, node.nats)
		st.links = append(st.links, link)
		brokers = append(brokers, "nats://"+link.Addr())
	}
	st.args = []string{"worker", "--log-level", "info", "--nats-url", strings.Join(brokers, ",")}
	for _, setting := range []string{
		fmt.Sprint("worker.max_sessions=", stormSlots), fmt.Sprint("worker.max_sessions_per_key=", stormSlots), "worker.drain_timeout=20s",
		"worker.cli.start_timeout=10s", "worker.cli.first_byte_timeout=3s", "worker.cli.idle_timeout=3s",
	} {
		st.args = append(st.args, "--set", setting)
	}
	return st
}

func (st *station) isNode() bool { return st.mood == "" }

// start returns when the process is ready.
func (st *station) start() error {
	p := st.launch(st.name, func(testing.TB) (string, map[string]string) {
		return st.cli, map[string]string{claudetest.EnvFile: st.mood}
	}, st.args...)
	st.at.Lock()
	st.proc = p
	st.at.Unlock()
	line, err := p.says(st.ready)
	if err != nil {
		p.tellAll()
		return fmt.Errorf("%w:\n%s", err, p.text())
	}
	if url, ok := line["url"].(string); ok {
		st.links[0].LeadTo(strings.TrimPrefix(url, "http://"))
	}
	return nil
}

// tellAll ends a process that does not do as it should, and has it say why in its log.
func (p *proc) tellAll() {
	_ = p.cmd.Process.Signal(syscall.SIGQUIT) // it may be gone
	<-p.done
}

// now is the process that is there, or was last.
func (st *station) now() *proc {
	st.at.Lock()
	defer st.at.Unlock()
	return st.proc
}

func (st *station) signal(sig syscall.Signal) { _ = st.now().cmd.Process.Signal(sig) }

// turn changes the weather of all its links.
func (st *station) turn(w linktest.Weather) {
	for _, l := range st.links {
		l.Turn(w)
	}
}

// stop ends the process in order.
func (st *station) stop() error {
	st.signal(syscall.SIGTERM)
	p := st.now()
	select {
	case <-p.done:
	case <-time.After(guard):
		p.tellAll()
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
