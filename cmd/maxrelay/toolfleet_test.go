package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"maxrelay/queue"
	"maxrelay/session/anthropictest/wire"
	"maxrelay/session/chat"
)

const (
	toolLoops   = 50
	toolSteps   = 5
	toolWorkers = 3
	toolTries   = 10 // of a step, by a client that gives up then
)

// A loop of calls goes on wherever its worker dies: each client's results are told to
// the model once, in their place, and no call that has its result is made again.
func TestToolLoopsSurviveLostWorkers(t *testing.T) {
	seed := *fleetSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed=%d", seed)
	f := openToolFleet(t, seed)
	f.travel()
	f.mustBeAsQuietAsBefore()
	f.mustHaveRecordedAll()
	f.mustEndWithoutATrace()
}

// toolFleet is a fleet whose clients are loops of calls.
type toolFleet struct {
	*fleet
	strikes chan strike
	killing atomic.Int64 // counts each kill twice, at its begin and at its end

	mu    sync.Mutex
	heard []heard // every answer there was
	whole int     // loops that came to their end
}

// strike is an order to kill a worker, the named one if it lives.
type strike struct {
	name string
	done chan struct{}
}

func openToolFleet(t *testing.T, seed uint64) *toolFleet {
	f := &toolFleet{strikes: make(chan strike, toolLoops), fleet: &fleet{
		site: newSite(t), seed: seed, cli: buildCLI(t), workers: make([]*proc, toolWorkers), tally: newTally()}}
	f.node = f.start("api", servesHTTP, f.smallCLI, "api", "--log-level", "info")
	for i := range f.workers {
		f.startWorker(i)
	}
	nc, err := queue.Dial("nats://"+f.nats, queue.DialOptions{TokenFile: filepath.Join(f.dir, "data", "nats.token"), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	f.broker = nc
	f.quiet, _ = f.node.ownGoroutines()
	return f
}

// travel leads all loops at a time, and kills what they order meanwhile.
func (f *toolFleet) travel() {
	t := f.t.(*testing.T)
	var all sync.WaitGroup
	for i := range toolLoops {
		all.Go(func() { newTrip(t, f, uint64(i)).lead() })
	}
	over := make(chan struct{})
	go func() { all.Wait(); close(over) }()
	rng := rand.New(rand.NewPCG(f.seed, 0))
	for {
		select {
		case s := <-f.strikes:
			victim := slices.IndexFunc(f.workers, func(w *proc) bool { return w.name == s.name })
			if victim < 0 {
				victim = rng.IntN(len(f.workers))
			}
			f.killing.Add(1)
			f.killWorker(victim)
			f.killing.Add(1)
			close(s.done)
		case <-over:
			return
		}
	}
}

// mustHaveRecordedAll checks that each request has its one usage event, which tells
// what its client was told.
func (f *toolFleet) mustHaveRecordedAll() {
	f.t.Helper()
	events := f.events()
	failed, moved, sessions := 0, 0, make(map[chat.Session]int)
	for _, h := range f.heard {
		e, ok := events[h.header.Get("X-Request-Id")]
		if !ok || e.Status != h.status || e.ErrorCode != h.err.Code {
			f.t.Errorf("%d, %q was recorded as %+v", h.status, h.err.Code, e)
		}
		if h.err.Code != "" {
			failed++
		}
		if e.Attempts > 1 {
			moved++
		}
		sessions[e.Session]++
	}
	if len(events) != len(f.heard) {
		f.t.Errorf("%d usage events of %d requests", len(events), len(f.heard))
	}
	killed := f.tally.killed[aWorker]
	if killed < toolLoops/strikers || sessions[chat.SessionReplayed] == 0 {
		f.t.Errorf("%d workers were killed, and no loop noticed: %v", killed, sessions)
	}
	f.t.Logf("%d of %d loops came to their end; %d requests, %d failed, %d moved; %d workers killed; sessions %v",
		f.whole, toolLoops, len(f.heard), failed, moved, killed, sessions)
}

// strikers: every so many-th loop orders a death, in one of its steps.
const strikers = 8

// trip is one client's loop.
type trip struct {
	*toolFleet
	t      *testing.T
	rng    *rand.Rand
	name   string
	deadly int             // the step in which a worker is to die; 0 for none
	lines  []string        // the history, as the client sends it
	shown  []wire.Message  // and as the model is to see it
	done   map[string]bool // ids of calls that have their results
}

func newTrip(t *testing.T, f *toolFleet, i uint64) *trip {
	c := &trip{toolFleet: f, t: t, rng: rand.New(rand.NewPCG(f.seed, i+1)), name: fmt.Sprintf("trip %02d", i), done: make(map[string]bool)}
	if i%strikers == 0 {
		c.deadly = 1 + c.rng.IntN(toolSteps)
	}
	return c
}

// order says how the model is to answer in a step: with calls, and in the end with
// words alone.
func (c *trip) order(step, calls int) string {
	order := fmt.Sprintf("%s step %d [[echo delay %dms]]", c.name, step, 10+c.rng.IntN(60))
	for i := range calls {
		order += " [[tool step " + c.input(step, i) + "]]"
	}
	return order
}

func (c *trip) input(step, i int) string {
	return fmt.Sprintf(`{"call":%d,"of":%q,"step":%d}`, i, c.name, step)
}

func (c *trip) lead() {
	calls := 1 + c.rng.IntN(3)
	question := c.order(1, calls)
	c.lines = append(c.lines, fmt.Sprintf(`{"role":"user","content":%q}`, question))
	c.shown = append(c.shown, wire.User(question))
	for step := 1; ; step++ {
		h, ok := c.ask(step, calls)
		if !ok {
			return
		}
		if c.echo(h, step, calls); calls == 0 {
			break
		}
		calls = c.results(h.ids, step)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.whole++
}

// ask asks until there is an answer: a failure is told, and explained by a death.
func (c *trip) ask(step, calls int) (h heard, ok bool) {
	for range toolTries {
		h, ok = c.try(step)
		for _, id := range h.ids {
			if c.done[id] {
				c.t.Errorf("%s, step %d: call %s has its result and was made again", c.name, step, id)
			}
		}
		if ok {
			c.prove(h, step, calls)
			return h, true
		}
		if h.err.Code != string(chat.CodeWorkerFailed) {
			return h, false
		}
	}
	return h, false
}

func (c *trip) try(step int) (h heard, ok bool) {
	stream := c.rng.IntN(2) == 0
	body := fmt.Sprintf(`{"model":"sonnet","user":%q,"stream":%v,"tools":[%s],"messages":[%s]}`, c.name, stream, function("step", anObject), strings.Join(c.lines, ","))
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.node.url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		c.t.Error(err)
		return h, false
	}
	if step == c.deadly {
		c.deadly = 0
		s := strike{fmt.Sprint("w", c.rng.IntN(toolWorkers)), make(chan struct{})}
		c.strikes <- s
		defer func() { <-s.done }()
	}
	before := c.killing.Load()
	h, err = hear(c.t, r)
	near := before%2 == 1 || c.killing.Load() != before
	if err != nil {
		c.t.Errorf("%s, step %d: neither an answer nor an error: %v", c.name, step, err)
		return h, false
	}
	c.mu.Lock()
	c.heard = append(c.heard, h)
	c.mu.Unlock()
	if h.err.Code != "" && (!near || h.err.Code != string(chat.CodeWorkerFailed)) {
		c.t.Errorf("%s, step %d failed without need: %d %+v", c.name, step, h.status, h.err)
	}
	return h, h.status == http.StatusOK && h.err.Code == ""
}

// prove holds an answer to the conversation that it is the next line of.
func (c *trip) prove(h heard, step, calls int) {
	want := choice{text: wire.Echo(c.shown), finish: "stop"}
	for i := range calls {
		want.finish = "tool_calls"
		want.calls = strings.TrimPrefix(want.calls+" step"+c.input(step, i), " ")
	}
	if !slices.Equal(h.choices, []choice{want}) || len(h.ids) != calls {
		c.t.Errorf("%s, step %d: answered %+v, want %+v", c.name, step, h.choices, want)
	}
}

// echo takes an answer into the history.
func (c *trip) echo(h heard, step, calls int) {
	var list []string
	m := wire.Assistant(h.choices[0].text)
	for i, id := range h.ids {
		list = append(list, fmt.Sprintf(`{"id":%q,"type":"function","function":{"name":"step","arguments":%q}}`, id, c.input(step, i)))
		m.Content = append(m.Content, c.block(`{"type":"tool_use","id":%q,"name":"step","input":%s}`, id, c.input(step, i)))
	}
	line := fmt.Sprintf(`{"role":"assistant","content":%q`, h.choices[0].text)
	if calls > 0 {
		line += `,"tool_calls":[` + strings.Join(list, ",") + `]`
	}
	c.lines, c.shown = append(c.lines, line+"}"), append(c.shown, m)
}

// results answers the calls in any order, and returns how many the next step has.
func (c *trip) results(ids []string, step int) (calls int) {
	if step < toolSteps {
		calls = 1 + c.rng.IntN(3)
	}
	m, lines := wire.Message{Role: "user"}, make([]string, len(ids))
	for i, id := range ids {
		text := fmt.Sprintf("%s result %d of step %d: %d", c.name, i, step, c.rng.Uint32())
		if i == 0 {
			text += " " + c.order(step+1, calls)
		}
		lines[i] = fmt.Sprintf(`{"role":"tool","tool_call_id":%q,"content":%q}`, id, text)
		m.Content = append(m.Content, c.block(`{"type":"tool_result","tool_use_id":%q,"content":[{"type":"text","text":%q}]}`, id, text))
		c.done[id] = true
	}
	c.rng.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	c.lines, c.shown = append(c.lines, lines...), append(c.shown, m)
	return calls
}

func (c *trip) block(format string, args ...any) (b wire.Block) {
	if err := json.Unmarshal(fmt.Appendf(nil, format, args...), &b); err != nil {
		c.t.Error(err)
	}
	return b
}
