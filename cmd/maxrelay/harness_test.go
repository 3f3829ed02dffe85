package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"maxrelay/session/anthropictest"
	"maxrelay/session/claudetest"
)

// guard is how long a test waits for anything before it calls it hung.
const guard = time.Minute

// site is one installation: a data folder, a stand-in model, and the processes that a
// test starts in it.
type site struct {
	t     testing.TB
	dir   string
	model *anthropictest.Server
	nats  string // address of the broker's listener
	nodes string // the setting nats.cluster
	extra string // lines for every configuration file

	mu    sync.Mutex
	procs []*proc
}

func newSite(t testing.TB) *site {
	t.Helper()
	model, err := anthropictest.Start()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, dir: t.TempDir(), model: model, nats: freeAddress(t)}
	t.Cleanup(model.Close)
	t.Cleanup(s.killAll)
	return s
}

func (s *site) killAll() {
	for _, p := range s.procs {
		p.kill()
	}
}

// nextPort goes through ports below those that the kernel gives to connections (32768 and
// above on Linux): one of those could be gone again before a program listens on it.
var nextPort atomic.Int32

func init() { nextPort.Store(20000 + rand.Int32N(6000)) }

func freeAddress(t testing.TB) string {
	for range 1000 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", nextPort.Add(1)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

// proc is a running maxrelay process.
type proc struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	url  string
	id   string // a worker's

	mu   sync.Mutex
	log  bytes.Buffer
	news chan struct{} // closed and replaced at each line of the log; guarded by mu
	done chan struct{} // closed when the process is reaped
}

// start runs `maxrelay args…` with the real CLI, or the scripted one, and waits until
// it says that it is ready.
func (s *site) start(name, ready string, cli func(testing.TB) (path string, env map[string]string), args ...string) *proc {
	s.t.Helper()
	p := s.launch(name, cli, args...)
	s.ready(p, ready)
	return p
}

// usageFile is where a node keeps its usage for people.
func (s *site) usageFile(name string) string { return filepath.Join(s.dir, "log-"+name, "stats.json") }

// advertised is where workers that join reach the node.
func (s *site) advertised() string { return strings.Replace(s.nats, "0.0.0.0", "127.0.0.1", 1) }

func (s *site) launch(name string, cli func(testing.TB) (path string, env map[string]string), args ...string) *proc {
	s.t.Helper()
	path, env := cli(s.t)
	config := filepath.Join(s.dir, name+".yaml")
	home := filepath.Join(s.dir, "home-"+name)
	if err := os.MkdirAll(home, 0o700); err != nil {
		s.t.Fatal(err)
	}
	text := fmt.Sprintf("port: 0\ndata_dir: %q\nstats: {file: %q}\nnats:\n  listen: %q\n  advertise: %q\n  %s\nlog: {format: json, level: debug}\nrate_limit: {max_requests_per_minute: 0, max_tokens_per_day: 0}\n%s\n"+
		"worker:\n  name: %q\n  max_sessions: 4\n  cli:\n    path: %q\n    start_timeout: 60s\n    env:\n      HOME: %q\n      ANTHROPIC_BASE_URL: %q\n      ANTHROPIC_API_KEY: sk-made-up\n",
		filepath.Join(s.dir, "data"), s.usageFile(name), s.nats, s.advertised(), s.nodes, s.extra, name, path, home, s.model.URL())
	for k, v := range env {
		text += fmt.Sprintf("      %s: %q\n", k, v)
	}
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	p := &proc{t: s.t, name: name, news: make(chan struct{}), done: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0], append(args, "--config", config)...)
	p.cmd.Env = []string{asProgram + "=1", "PATH=/usr/bin:/bin", "HOME=" + home, endsAtOnce}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go p.read(stderr)
	s.mu.Lock()
	s.procs = append(s.procs, p)
	s.mu.Unlock()
	return p
}

func (s *site) ready(p *proc, says string) {
	s.t.Helper()
	line := p.await(says)
	p.url, _ = line["url"].(string)
	if w, ok := p.find("worker takes jobs"); ok {
		p.id, _ = w["worker"].(string)
		s.mustKnow(p.id)
	}
}

// mustKnow waits until every API node that runs has heard of the worker.
func (s *site) mustKnow(worker string) {
	s.t.Helper()
	for _, p := range s.procs {
		if p.url != "" && !p.ended() {
			eventually(s.t, p.name+" to know "+worker, func() bool { return p.knows(worker) })
		}
	}
}

func (p *proc) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *proc) knows(worker string) bool {
	for line := range strings.Lines(p.text()) {
		if strings.Contains(line, `"worker":"`+worker+`"`) && strings.Contains(line, `"message":"worker is here"`) {
			return true
		}
	}
	return false
}

const (
	servesHTTP = "maxrelay serves"
	takesJobs  = "worker takes jobs"
)

func realCLI(t testing.TB) (string, map[string]string) { return claudetest.RealCLI(t), nil }

func scriptedCLI(testing.TB) (string, map[string]string) {
	path, list := claudetest.Command()
	env := make(map[string]string)
	for _, kv := range list {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	return path, env
}

func (p *proc) read(stderr io.Reader) {
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadBytes('\n')
		p.mu.Lock()
		p.log.Write(line)
		close(p.news)
		p.news = make(chan struct{})
		p.mu.Unlock()
		if err != nil {
			break
		}
	}
	p.cmd.Wait()
	close(p.done)
}

// find returns the first log line with this message.
func (p *proc) find(message string) (line map[string]any, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.findLocked(message)
}

func (p *proc) findLocked(message string) (map[string]any, bool) {
	for raw := range bytes.Lines(p.log.Bytes()) {
		var line map[string]any
		if json.Unmarshal(raw, &line) == nil && line["message"] == message {
			return line, true
		}
	}
	return nil, false
}

// await waits for a log line with this message.
func (p *proc) await(message string) map[string]any {
	p.t.Helper()
	line, err := p.says(message)
	if err != nil {
		p.t.Fatalf("%v:\n%s", err, p.text())
	}
	return line
}

func (p *proc) says(message string) (map[string]any, error) {
	late := time.After(guard)
	for {
		p.mu.Lock()
		line, ok := p.findLocked(message)
		news := p.news
		p.mu.Unlock()
		if ok {
			return line, nil
		}
		select {
		case <-news:
		case <-p.done:
			return nil, fmt.Errorf("%s ended before it said %q", p.name, message)
		case <-late:
			return nil, fmt.Errorf("%s did not say %q", p.name, message)
		}
	}
}

func (p *proc) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// kill ends the process as the kernel would.
func (p *proc) kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// stop ends it as an operator would and checks that it ends well.
func (p *proc) stop() {
	p.t.Helper()
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.mustEndWell()
}

func (p *proc) mustEndWell() {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(guard):
		p.t.Fatalf("%s did not end after SIGTERM:\n%s", p.name, p.text())
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("%s ended with %v:\n%s", p.name, p.cmd.ProcessState, p.text())
	}
}

// clis returns the pids of the CLI processes that this process started.
func (p *proc) clis() (pids []int) {
	p.t.Helper()
	return childrenOf(p.t, p.cmd.Process.Pid)
}

func childrenOf(t testing.TB, parent int) (pids []int) {
	t.Helper()
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if pid, err := strconv.Atoi(d.Name()); err == nil && parentOf(pid) == parent {
			pids = append(pids, pid)
		}
	}
	return pids
}

// parentOf returns 0 for a process that is gone or a zombie.
func parentOf(pid int) int {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(rest)
	if fields[0] == "Z" {
		return 0
	}
	ppid, _ := strconv.Atoi(fields[1])
	return ppid
}

func mustEnd(t testing.TB, pids []int) {
	t.Helper()
	for _, pid := range pids {
		eventually(t, fmt.Sprint("process ", pid, " to end"), func() bool { return parentOf(pid) == 0 })
	}
}

// eventually polls for what the system gives no event for.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for late := time.Now().Add(guard); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("waited in vain for ", what)
		}
	}
}

// message is a chat message as clients send it.
type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type chatRequest struct {
	Model         string          `json:"model"`
	Messages      []message       `json:"messages"`
	Stream        bool            `json:"stream,omitempty"`
	StreamOptions map[string]bool `json:"stream_options,omitempty"`
	User          string          `json:"user,omitempty"`
	MaxTokens     int             `json:"max_tokens,omitempty"`
	key           string          // the API key it is sent with; "" for none
}

// answer is what came back.
type answer struct {
	status  int
	header  http.Header
	text    string
	finish  string
	errCode string // of the error object, in whatever place it stood
	done    bool   // [DONE] was sent
	usage   map[string]any
}

func (a answer) session() string { return a.header.Get("x-maxrelay-session") }
func (a answer) worker() string  { return a.header.Get("x-maxrelay-worker") }

// client keeps no connections, so that tests leak none.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// send posts a chat request and reads the answer to its end; see is shown each piece
// of text as it comes.
func send(ctx context.Context, url string, req chatRequest, see func(piece string)) (a answer, err error) {
	if req.Model == "" {
		req.Model = "claude-sonnet-4"
	}
	body, err := json.Marshal(req)
	if err != nil {
		return a, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	r.Header.Set("Content-Type", "application/json")
	if req.key != "" {
		r.Header.Set("Authorization", "Bearer "+req.key)
	}
	resp, err := client.Do(r)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	a.status, a.header = resp.StatusCode, resp.Header
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		raw, err := io.ReadAll(resp.Body)
		if err != nil {
			return a, err
		}
		return a, a.take(raw, see)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			a.done = true
			continue
		}
		if err := a.take([]byte(data), see); err != nil {
			return a, err
		}
	}
	return a, lines.Err()
}

// take reads one JSON object: a completion, a chunk, or an error.
func (a *answer) take(raw []byte, see func(string)) error {
	var o struct {
		Choices []struct {
			Message      message
			Delta        message
			FinishReason string `json:"finish_reason"`
		}
		Usage map[string]any
		Error *struct{ Code string }
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		return fmt.Errorf("not JSON: %q", raw)
	}
	if o.Error != nil {
		a.errCode = o.Error.Code
	}
	if o.Usage != nil {
		a.usage = o.Usage
	}
	for _, c := range o.Choices {
		piece := c.Message.Content + c.Delta.Content
		a.text += piece
		if c.FinishReason != "" {
			a.finish = c.FinishReason
		}
		if piece != "" && see != nil {
			see(piece)
		}
	}
	return nil
}

// talk is a conversation as a client keeps it.
type talk struct {
	t   testing.TB
	url string
	req chatRequest
}

// say sends the next question and takes the answer into the history.
func (c *talk) say(text string) answer {
	c.t.Helper()
	c.req.Messages = append(slices.Clip(c.req.Messages), message{"user", text})
	a, err := send(c.t.Context(), c.url, c.req, nil)
	if err != nil || a.status != http.StatusOK || a.errCode != "" {
		c.t.Fatalf("%q: status %d, error %q, %v", text, a.status, a.errCode, err)
	}
	c.req.Messages = append(c.req.Messages, message{"assistant", a.text})
	return a
}

// seen is the conversation of a request at the model, as client messages.
func seen(r anthropictest.Request) (out []message) {
	for _, m := range anthropictest.Conversation(r) {
		text := ""
		for _, b := range m.Content {
			text += b.Text
		}
		out = append(out, message{m.Role, text})
	}
	return out
}

// mustHaveSeen checks that the newest request at the model held exactly these messages.
func (s *site) mustHaveSeen(want []message) {
	s.t.Helper()
	all := s.model.Requests()
	if got := seen(all[len(all)-1]); !slices.Equal(got, want) {
		s.t.Errorf("the model saw %q, want %q", got, want)
	}
}
