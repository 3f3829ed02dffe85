package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"maxrelay/api/key"
	"maxrelay/queue"
	"maxrelay/session/chat"
	"maxrelay/stats"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hangGuard ends a test that waits for something that never comes.
const hangGuard = 40 * time.Second

// node is a whole API node on a real broker, with one scripted worker over TCP.
type node struct {
	*Server
	t      *testing.T
	broker *queue.Broker
	dir    string
	nc     *nats.Conn
	client *http.Client
	logged *syncBuffer
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), hangGuard)
	t.Cleanup(cancel)
	return ctx
}

// script plays the worker's side of a turn.
type script func(ctx context.Context, p *play)

// openNode opens a node. What more it is to have is added before it serves.
func openNode(t *testing.T, cfg Config, queueCfg queue.OwnerConfig, run script, more ...func(*node, *Config)) *node {
	t.Helper()
	dir, ctx, logged := t.TempDir(), testContext(t), new(syncBuffer)
	log := zerolog.New(logged)
	broker, err := queue.OpenBroker(ctx, queue.BrokerConfig{
		Listen: "127.0.0.1:0", StoreDir: filepath.Join(dir, "nats"), TokenFile: filepath.Join(dir, "nats.token"),
	}, zerolog.Nop())
	must(t, err)
	t.Cleanup(broker.Close)
	if run != nil {
		startWorker(t, broker.ClientURL(), filepath.Join(dir, "nats.token"), run)
	}
	nc, err := broker.Connect("api")
	must(t, err)
	t.Cleanup(nc.Close)
	owner, err := queue.NewOwner(ctx, nc, broker.Disconnects(), queueCfg, zerolog.Nop())
	must(t, err)
	t.Cleanup(func() { owner.Close(cancelled()) })
	if run != nil {
		eventually(t, "a worker", func() bool { return len(owner.Workers()) == 1 })
	}
	recorder, err := stats.OpenRecorder(ctx, nc, stats.RecorderConfig{}, log)
	must(t, err)
	t.Cleanup(func() { recorder.Close(cancelled()) })
	limits := openLimits(t, nc, cfg.Now, hangGuard)

	if cfg.Keys == nil {
		cfg.Keys, err = key.New(nil, false, "default")
		must(t, err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	n := &node{t: t, broker: broker, dir: dir, nc: nc, client: client, logged: logged}
	for _, add := range more {
		add(n, &cfg)
	}
	s, err := New(cfg, owner, limits, recorder, log)
	must(t, err)
	must(t, s.Open("127.0.0.1:0"))
	n.Server = s
	t.Cleanup(func() {
		client.CloseIdleConnections()
		_ = s.Close(cancelled())
	})
	return n
}

// join starts another worker and waits until the node knows it.
func (n *node) join(name string, run script) *nats.Conn {
	n.t.Helper()
	before := len(n.owner.Workers())
	nc := startWorker(n.t, n.broker.ClientURL(), filepath.Join(n.dir, "nats.token"), run)
	eventually(n.t, name+" to join", func() bool { return len(n.owner.Workers()) == before+1 })
	return nc
}

func (n *node) jetstream() jetstream.JetStream {
	n.t.Helper()
	js, err := jetstream.New(n.nc)
	must(n.t, err)
	return js
}

func startWorker(t *testing.T, url, tokenFile string, run script) *nats.Conn {
	nc, err := queue.Dial(url, queue.DialOptions{Name: "worker", TokenFile: tokenFile, Log: zerolog.Nop()})
	must(t, err)
	t.Cleanup(nc.Close)
	info := json.RawMessage(`{"cli_version":"2.1.330","models":["claude-opus-4-6","opus"],"signed_in":true,"reason":""}`)
	w, err := queue.NewWorker(testContext(t), nc, queue.WorkerConfig{
		Name: "bench", Pools: []string{"default"}, Slots: 64, Info: func() json.RawMessage { return info },
	}, func(ctx context.Context, task *queue.Task) { run(ctx, newPlay(t, task)) }, zerolog.Nop())
	must(t, err)
	t.Cleanup(w.Close)
	return nc
}

func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a state that nothing announces.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx := testContext(t)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("never happened: %s", what)
		}
	}
}

// play is a task as a script sees it.
type play struct {
	t       *testing.T
	task    *queue.Task
	request *chat.Request
}

func newPlay(t *testing.T, task *queue.Task) *play {
	r, err := chat.DecodeRequest(task.Body)
	if err != nil {
		t.Error(err)
		r = &chat.Request{}
	}
	return &play{t: t, task: task, request: r}
}

// last is the text of the last message.
func (p *play) last() string {
	m := p.request.Messages[len(p.request.Messages)-1]
	return m.Content[len(m.Content)-1].Text
}

func (p *play) send(e chat.Event) {
	payload, err := chat.EncodeEvent(e)
	if err != nil {
		p.t.Error(err)
	}
	p.task.Send(payload, e.Visible())
}

// begin says what comes before the text.
func (p *play) begin() {
	p.send(chat.Event{Type: chat.EventTurn, Session: chat.SessionNew})
	p.send(chat.Event{Type: chat.EventMessageStart, Model: "claude-opus-4-6", Usage: &chat.Usage{InputTokens: 5}})
	p.send(chat.Event{Type: chat.EventBlockStart, Block: &chat.Block{Type: chat.BlockText}})
}

func (p *play) text(s string) { p.send(chat.Event{Type: chat.EventBlockDelta, Text: s}) }

func (p *play) finish() {
	p.send(chat.Event{Type: chat.EventMessageDelta, StopReason: chat.StopEndTurn, Usage: &chat.Usage{OutputTokens: 7}})
	p.send(chat.Event{Type: chat.EventMessageStop})
	p.end(queue.End{OK: true}, chat.Outcome{
		Session: chat.SessionNew, Upstream: "claude-opus-4-6", Counted: true,
		Usage: chat.Usage{InputTokens: 5, CacheReadTokens: 20, OutputTokens: 7},
	})
}

func (p *play) end(e queue.End, o chat.Outcome) {
	data, err := chat.EncodeOutcome(o)
	if err != nil {
		p.t.Error(err)
	}
	e.Data = data
	p.task.End(e)
}

func (p *play) fail(code chat.Code, message string, after time.Duration) {
	p.end(queue.End{}, chat.Outcome{Error: &chat.Error{Code: code, Message: message, RetryAfter: after}})
}

// echo answers with what was asked, a piece at a time.
func echo(_ context.Context, p *play) {
	p.begin()
	for piece := range strings.SplitAfterSeq(p.last(), " ") {
		p.text(piece)
	}
	p.finish()
}

// post sends a chat completion request with the members in body.
func (n *node) post(body string, header ...string) *http.Response {
	n.t.Helper()
	return n.do(testContext(n.t), http.MethodPost, "/v1/chat/completions", body, header...)
}

func (n *node) do(ctx context.Context, method, path, body string, header ...string) *http.Response {
	n.t.Helper()
	resp, err := n.try(ctx, method, path, body, header...)
	must(n.t, err)
	n.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func (n *node) try(ctx context.Context, method, path, body string, header ...string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, n.URL()+path, strings.NewReader(body))
	must(n.t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return n.client.Do(r)
}

// ask returns the members of a request for one user message.
func ask(text, more string) string {
	quoted, _ := json.Marshal(text)
	return `{"model":"claude-opus-4","messages":[{"role":"user","content":` + string(quoted) + `}]` + more + `}`
}

func read(t *testing.T, resp *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(body)
}

// chunks returns the data of a stream's events, and its comments' number.
func chunks(t *testing.T, r io.Reader) (data []string, comments int) {
	t.Helper()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "data: "):
			data = append(data, line[len("data: "):])
		case strings.HasPrefix(line, ":"):
			comments++
		}
	}
	must(t, lines.Err())
	return data, comments
}

// said puts the content of a stream's chunks together.
func said(t *testing.T, data []string) string {
	t.Helper()
	var text strings.Builder
	for _, d := range data {
		var chunk struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if d == "[DONE]" {
			continue
		}
		must(t, json.Unmarshal([]byte(d), &chunk))
		for _, c := range chunk.Choices {
			text.WriteString(c.Delta.Content)
		}
	}
	return text.String()
}

// usage waits until n events are recorded and returns them.
func (n *node) usage(count int) (events []stats.Event) {
	n.t.Helper()
	stream, err := n.jetstream().Stream(testContext(n.t), "USAGE")
	must(n.t, err)
	eventually(n.t, "the usage events", func() bool {
		info, err := stream.Info(testContext(n.t))
		must(n.t, err)
		return info.State.Msgs >= uint64(count)
	})
	info, err := stream.Info(testContext(n.t))
	must(n.t, err)
	for seq := uint64(1); seq <= info.State.LastSeq; seq++ {
		msg, err := stream.GetMsg(testContext(n.t), seq)
		must(n.t, err)
		var e stats.Event
		must(n.t, json.Unmarshal(msg.Data, &e))
		events = append(events, e)
	}
	if len(events) != count {
		n.t.Fatalf("%d usage events, want %d", len(events), count)
	}
	return events
}

func errorCode(t *testing.T, body string) (kind, code, param string) {
	t.Helper()
	var e struct {
		Error struct{ Message, Type, Param, Code string }
	}
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error.Message == "" {
		t.Fatalf("not an error envelope: %s", body)
	}
	return e.Error.Type, e.Error.Code, e.Error.Param
}

// syncBuffer gathers the log.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (p *play) answer(text string) {
	p.begin()
	p.text(text)
	p.finish()
}
