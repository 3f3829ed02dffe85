package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"maxrelay/session"
	"maxrelay/session/anthropictest"
	"maxrelay/session/claudetest"
)

// leanFlags are how maxrelay starts a CLI, so that all three ways of asking it run the
// same program in the same way.
var leanFlags = []string{"-p", "--output-format", "stream-json", "--verbose", "--include-partial-messages",
	"--tools", "", "--strict-mcp-config", "--setting-sources", "", "--restricted", "--permission-prompts", "none",
	"--no-session-persistence", "--system-prompt-snapshot", "off", "--model", "sonnet"}

// BenchmarkFirstToken compares, turn by turn, three ways to ask the real CLI the same
// question: through maxrelay in a warm conversation, by writing to the stdin of a held
// CLI process, and by starting a CLI for it. It prints medians of at least 60
// interleaved rounds: milliseconds to the first token, CPU milliseconds of a whole turn
// (the CLI included), and their ratios.
func BenchmarkFirstToken(b *testing.B) {
	s := newSite(b)
	keeping := &http.Transport{} // as clients do
	client.Transport = keeping
	defer keeping.CloseIdleConnections()
	s.model.Script(func(anthropictest.Request) *anthropictest.Reply {
		r := anthropictest.Text(50, 0)
		return &r
	})
	relay := s.start("relay", servesHTTP, realCLI, "serve", "--set", "worker.spares=0", "--log-level", "info")
	held := holdCLI(b, s)
	conversation := &talk{t: b, url: relay.url}
	warmUp(conversation, held)

	var m measured
	relayed := m.relay.of(func() []int { return append(relay.clis(), relay.cmd.Process.Pid) })
	direct := m.held.of(func() []int { return []int{held.cmd.Process.Pid} })
	alone := m.own.of(func() []int { return []int{relay.cmd.Process.Pid} })
	for i := range max(60, b.N) {
		question := fmt.Sprint("question ", i)
		ask := []func(){
			func() { m.relay.first(conversation.firstToken(question)) },
			func() { m.held.first(held.firstToken(question)) },
		}
		ask[i%2]() // in turns, because whoever follows the fresh CLI finds a busier machine
		ask[1-i%2]()
		m.fresh.first(freshCLI(b, s, question))
		relayed.round()
		direct.round()
		alone.round()
	}
	m.report(b)
}

func warmUp(c *talk, held *heldCLI) {
	for range 3 {
		c.firstToken("warm up")
		held.firstToken("warm up")
	}
}

type measured struct{ relay, held, fresh, own samples }

func (m *measured) report(b *testing.B) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(m.relay.firsts), "relay-ms")
	b.ReportMetric(median(m.held.firsts), "held-ms")
	b.ReportMetric(median(m.fresh.firsts), "fresh-ms")
	b.ReportMetric(ratio(m.relay.firsts, m.held.firsts), "relay/held")
	b.ReportMetric(ratio(m.fresh.firsts, m.relay.firsts), "fresh/relay")
	b.ReportMetric(median(m.relay.cpus), "relay-cpu-ms")
	b.ReportMetric(median(m.own.cpus), "relay-without-cli-cpu-ms")
	b.ReportMetric(median(m.held.cpus), "held-cpu-ms")
	b.ReportMetric(ratio(m.relay.cpus, m.held.cpus), "cpu-relay/held")
}

// samples are one way's measurements, in milliseconds.
type samples struct{ firsts, cpus []float64 }

func (s *samples) first(d time.Duration) { s.firsts = append(s.firsts, ms(d)) }

// meter adds up what some processes use from round to round. A round is longer than
// the turn in it, so that what a process does after its answer counts too.
type meter struct {
	to   *samples
	pids func() []int
	last time.Duration
}

func (s *samples) of(pids func() []int) *meter { return &meter{s, pids, cpuTime(pids())} }

func (m *meter) round() {
	now := cpuTime(m.pids())
	m.to.cpus = append(m.to.cpus, ms(now-m.last))
	m.last = now
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// ratio is the median of the rounds' own ratios, which holds when the machine's speed
// drifts.
func ratio(a, b []float64) float64 {
	r := make([]float64, len(a))
	for i := range a {
		r[i] = a[i] / b[i]
	}
	return median(r)
}

// cpuTime is what the threads of these processes have used, to the nanosecond.
func cpuTime(pids []int) (sum time.Duration) {
	for _, pid := range pids {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				continue // the thread has just ended
			}
			n, _ := strconv.ParseInt(strings.Fields(string(raw))[0], 10, 64)
			sum += time.Duration(n)
		}
	}
	return sum
}

// firstToken asks the next question of the warm conversation through maxrelay and returns
// the time to the first text. The whole answer is read.
func (c *talk) firstToken(text string) time.Duration {
	c.t.Helper()
	a, first := c.stream(text)
	if len(c.req.Messages) > 2 && a.session() != "warm" {
		c.t.Fatalf("%q: session %s", text, a.session())
	}
	return first
}

// stream asks the next question, reads the whole answer, and tells how long its first text
// took.
func (c *talk) stream(text string) (a answer, first time.Duration) {
	c.t.Helper()
	c.req.Messages = append(c.req.Messages, message{"user", text})
	req := c.req
	req.Stream = true
	begun := time.Now()
	a, err := send(c.t.Context(), c.url, req, func(string) {
		if first == 0 {
			first = time.Since(begun)
		}
	})
	if err != nil || !a.done || a.errCode != "" {
		c.t.Fatalf("%q: done %t, error %q, %v", text, a.done, a.errCode, err)
	}
	c.req.Messages = append(c.req.Messages, message{"assistant", a.text})
	return a, first
}

// heldCLI is a CLI process driven by hand: the least that any relay can cost.
type heldCLI struct {
	t     testing.TB
	cmd   *exec.Cmd
	stdin io.Writer
	lines *bufio.Reader
}

func cliCommand(t testing.TB, s *site, more ...string) *exec.Cmd {
	cmd := exec.Command(claudetest.RealCLI(t), slices.Concat(leanFlags, more)...)
	cmd.Dir = s.dir
	cmd.Env = session.Environ([]string{"PATH=/usr/bin:/bin"}, "", map[string]string{
		"HOME": s.dir, "ANTHROPIC_BASE_URL": s.model.URL(), "ANTHROPIC_API_KEY": "sk-made-up"})
	return cmd
}

func holdCLI(t testing.TB, s *site) *heldCLI {
	cmd := cliCommand(t, s, "--input-format", "stream-json")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); cmd.Wait() })
	h := &heldCLI{t, cmd, stdin, bufio.NewReaderSize(stdout, 64<<10)}
	h.write(map[string]any{"type": "control_request", "request_id": "1", "request": map[string]any{
		"subtype": "initialize", "systemPrompt": []string{""},
		"hooks": map[string]any{"PreToolUse": []any{map[string]any{"hookCallbackIds": []string{"defer"}}}}}})
	return h
}

func (h *heldCLI) write(v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.stdin.Write(append(raw, '\n')); err != nil {
		h.t.Fatal(err)
	}
}

func (h *heldCLI) firstToken(text string) time.Duration {
	h.t.Helper()
	begun := time.Now()
	h.write(map[string]any{"type": "user", "uuid": uuid.NewString(), "session_id": "", "parent_tool_use_id": nil, "client_composed": true,
		"message": map[string]any{"role": "user", "content": []any{map[string]any{"type": "text", "text": text}}}})
	return untilResult(h.t, h.lines, begun)
}

// freshCLI starts a CLI for one question.
func freshCLI(t testing.TB, s *site, text string) time.Duration {
	t.Helper()
	cmd := cliCommand(t, s, text)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first := untilResult(t, bufio.NewReaderSize(stdout, 64<<10), begun)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return first
}

// untilResult reads a turn's lines and returns when the first text came.
func untilResult(t testing.TB, lines *bufio.Reader, begun time.Time) (first time.Duration) {
	t.Helper()
	for {
		raw, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatal(err)
		}
		if first == 0 && bytes.Contains(raw, []byte(`"text_delta"`)) {
			first = time.Since(begun)
		}
		if bytes.Contains(raw, []byte(`"type":"result"`)) {
			return first
		}
	}
}
