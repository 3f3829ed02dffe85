package main

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"maxrelay/queue"
	"maxrelay/session/anthropictest"
)

// tenTurns has a conversation of ten growing turns and checks each: how its process was
// had, and that the model saw exactly the client's messages.
func tenTurns(t *testing.T, s *site, url string) (worker string) {
	t.Helper()
	c := &talk{t: t, url: url, req: chatRequest{User: "alice"}}
	for i := 1; i <= 10; i++ {
		want := "warm"
		if i == 1 {
			want = "new"
		}
		a := c.say(fmt.Sprint("turn ", i, " /help @/etc/hostname"))
		s.mustHaveSeen(c.req.Messages[:len(c.req.Messages)-1])
		if a.session() != want {
			t.Errorf("turn %d: session %q, want %s", i, a.session(), want)
		}
		if worker == "" {
			worker = a.worker()
		}
		if a.worker() != worker || worker == "" {
			t.Errorf("turn %d: worker %q, the first turn's was %q", i, a.worker(), worker)
		}
	}
	return worker
}

func TestServeKeepsAConversationWarm(t *testing.T) {
	s := newSite(t)
	p := s.start("serve", servesHTTP, realCLI, "serve")
	tenTurns(t, s, p.url)
	clis := p.clis()
	if len(clis) == 0 {
		t.Error("no CLI process is held")
	}
	p.stop()
	mustEnd(t, clis)
}

func TestAConversationStaysOnItsWorker(t *testing.T) {
	s := newSite(t)
	node, _ := twoWorkers(s)
	tenTurns(t, s, node.url)
}

func TestAnExistingNATSServerIsUsed(t *testing.T) {
	tokenFile := filepath.Join(t.TempDir(), "token")
	outside, err := queue.OpenBroker(t.Context(), queue.BrokerConfig{Listen: "127.0.0.1:0", StoreDir: t.TempDir(), TokenFile: tokenFile}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t)
	url := strings.Replace(outside.ClientURL(), "nats://", "nats://"+strings.TrimSpace(string(token))+"@", 1)
	node := s.start("api", servesHTTP, scriptedCLI, "api", "--nats-url", url)
	w := s.start("w1", takesJobs, scriptedCLI, "worker", "--nats-url", url)
	c := &talk{t: t, url: node.url}
	c.say("one [[echo]]")
	if a := c.say("two [[echo]]"); a.session() != "warm" {
		t.Errorf("session %q, want warm", a.session())
	}
	for _, p := range []*proc{node, w} {
		if strings.Contains(p.text(), strings.TrimSpace(string(token))) {
			t.Errorf("the log of %s holds the broker's token", p.name)
		}
	}
	if _, err := os.Stat(filepath.Join(s.dir, "data", "nats")); !os.IsNotExist(err) {
		t.Errorf("a broker of its own was embedded all the same (%v)", err)
	}
}

func TestUsageEqualsTheUpstreams(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.model.Script(func(anthropictest.Request) *anthropictest.Reply {
		r := anthropictest.Say("a", "b").WithUsage(anthropictest.Usage{InputTokens: 11, CacheReadInputTokens: 7, CacheCreationInputTokens: 5, OutputTokens: 3})
		return &r
	})
	p := s.start("serve", servesHTTP, realCLI, "serve")
	for _, stream := range []bool{false, true} {
		a, err := send(t.Context(), p.url, chatRequest{Messages: []message{{"user", "hi"}}, Stream: stream,
			StreamOptions: map[string]bool{"include_usage": true}}, nil)
		if err != nil || a.status != http.StatusOK {
			t.Fatalf("status %d, %v", a.status, err)
		}
		details, _ := a.usage["prompt_tokens_details"].(map[string]any)
		if a.usage["prompt_tokens"] != 23.0 || a.usage["completion_tokens"] != 3.0 || details["cached_tokens"] != 7.0 {
			t.Errorf("stream %v: usage %v", stream, a.usage)
		}
	}
}

func TestAClientThatLeavesStopsTheModelAndTheProcessStaysWarm(t *testing.T) {
	s := newSite(t)
	p := s.start("serve", servesHTTP, realCLI, "serve")
	c := &talk{t: t, url: p.url}
	c.say("one")
	for failed, stream := range []bool{true, false} {
		name := fmt.Sprint("stream ", stream)
		t.Run(name, func(t *testing.T) {
			gate := anthropictest.NewGate(2)
			defer gate.Release()
			s.model.Unscript()
			s.model.Answer(anthropictest.Text(10, 0).HeldBy(gate))
			n := len(s.model.Requests()) + 1

			ctx, leave := context.WithCancel(t.Context())
			var left time.Time
			go func() { <-gate.Reached(); left = time.Now(); leave() }()
			req := c.req
			req.Messages, req.Stream = append(req.Messages[:len(req.Messages):len(req.Messages)], message{"user", "never mind"}), stream
			if _, err := send(ctx, p.url, req, nil); err == nil {
				t.Error("an answer came although the client had left")
			}
			r, err := s.model.WaitDone(t.Context(), n)
			if err != nil || r.Aborted.IsZero() {
				t.Fatalf("the model's answer was not stopped (%v)", err)
			}
			t.Logf("the upstream request was closed %v after the client left", r.Aborted.Sub(left).Round(time.Millisecond))
			s.model.Unscript()
			c.t = t
			// The process is free a few milliseconds after the upstream request is closed.
			eventually(t, "the process to be free", func() bool { return strings.Count(p.text(), `"turn failed"`) > failed })
			if a := c.say("after " + name); a.session() != "warm" {
				t.Errorf("session %q, want warm", a.session())
			}
			s.mustHaveSeen(c.req.Messages[:len(c.req.Messages)-1])
		})
	}
}

// twoWorkers starts a node with two workers and returns them by the label that answers
// carry.
// twoWorkers starts a node and its workers together: each of these tests its CLI first,
// which takes seconds.
func twoWorkers(s *site) (node *proc, workers map[string]*proc) {
	s.t.Helper()
	node = s.launch("api", realCLI, "api")
	workers = map[string]*proc{"w1": s.launch("w1", realCLI, "worker"), "w2": s.launch("w2", realCLI, "worker")}
	s.ready(node, servesHTTP)
	for _, w := range workers {
		s.ready(w, takesJobs)
	}
	return node, workers
}

// busyWorker returns the one whose CLI has a request at the model.
func busyWorker(t *testing.T, workers map[string]*proc, r anthropictest.Request) *proc {
	t.Helper()
	pid := ownerOfPeer(t, r.RemoteAddr)
	for _, w := range workers {
		for _, cli := range w.clis() {
			if cli == pid {
				return w
			}
		}
	}
	t.Fatal("no worker's CLI asked the model")
	return nil
}

func TestAWorkerKilledBeforeTheFirstByteCostsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	node, workers := twoWorkers(s)
	gate := anthropictest.NewGate(anthropictest.BeforeHeaders)
	defer gate.Release()
	s.model.Answer(anthropictest.Say("too late").HeldBy(gate), anthropictest.Say("from the other"))
	result := make(chan answer, 1)
	go func() {
		a, err := send(t.Context(), node.url, chatRequest{Messages: []message{{"user", "hello"}}, Stream: true}, nil)
		if err != nil {
			t.Error(err)
		}
		result <- a
	}()
	r, err := s.model.Wait(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	victim := busyWorker(t, workers, r)
	orphans := victim.clis()
	victim.kill()
	a := <-result
	if a.status != http.StatusOK || a.text != "from the other" || a.errCode != "" || a.worker() == victim.name {
		t.Errorf("status %d, text %q, error %q, worker %q (killed %s)", a.status, a.text, a.errCode, a.worker(), victim.name)
	}
	mustEnd(t, orphans)
}

func TestAWorkerKilledAfterTheFirstByteIsSaid(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	node, workers := twoWorkers(s)
	gate := anthropictest.NewGate(2)
	defer gate.Release()
	s.model.Answer(anthropictest.Text(9, 0).HeldBy(gate))
	var once sync.Once
	a, err := send(t.Context(), node.url, chatRequest{Messages: []message{{"user", "hello"}}, Stream: true}, func(string) {
		once.Do(func() {
			<-gate.Reached()
			busyWorker(t, workers, s.model.Requests()[0]).kill()
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if a.status != http.StatusOK || a.errCode != "worker_failed" || a.done || !strings.HasPrefix(a.text, "tok0 ") || strings.Count(a.text, "tok0") != 1 {
		t.Errorf("status %d, text %q, error %q, [DONE] %v; want the beginning, one error event and the end", a.status, a.text, a.errCode, a.done)
	}
}

func TestNoCLIOutlivesItsProgram(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		mode string
		end  func(*proc)
	}{
		// SIGTERM of serve is a part of TestServeKeepsAConversationWarm.
		"SIGTERM of worker": {"worker", (*proc).stop},
		"SIGKILL of worker": {"worker", (*proc).kill},
		"SIGKILL of serve":  {"serve", (*proc).kill},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			node := s.start("api", servesHTTP, realCLI, map[string]string{"serve": "serve", "worker": "api"}[tc.mode])
			holder := node
			if tc.mode == "worker" {
				holder = s.start("w", takesJobs, realCLI, "worker")
			}
			(&talk{t: t, url: node.url}).say("hello")
			eventually(t, "a session and a spare", func() bool { return len(holder.clis()) == 2 })
			clis := holder.clis()
			tc.end(holder)
			mustEnd(t, clis)
		})
	}
}

func TestSIGTERMLetsRunningAnswersFinish(t *testing.T) {
	s := newSite(t)
	p := s.start("serve", servesHTTP, realCLI, "serve")
	gate := anthropictest.NewGate(1)
	s.model.Answer(anthropictest.Text(3, 0).HeldBy(gate))
	var once sync.Once
	a, err := send(t.Context(), p.url, chatRequest{Messages: []message{{"user", "hello"}}, Stream: true}, func(string) {
		once.Do(func() {
			p.cmd.Process.Signal(syscall.SIGTERM)
			p.await("stopping")
			gate.Release()
		})
	})
	if err != nil || a.text != "tok0 tok1 tok2 " || !a.done {
		t.Errorf("text %q, done %v, %v", a.text, a.done, err)
	}
	p.mustEndWell()
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	s := newSite(t)
	p := s.start("serve", servesHTTP, realCLI, "serve")
	gate := anthropictest.NewGate(1)
	defer gate.Release()
	s.model.Answer(anthropictest.Text(3, 0).HeldBy(gate))
	var once sync.Once
	clis := p.clis()
	_, err := send(t.Context(), p.url, chatRequest{Messages: []message{{"user", "hello"}}, Stream: true}, func(string) {
		once.Do(func() {
			p.cmd.Process.Signal(syscall.SIGTERM)
			p.await("stopping")
			p.cmd.Process.Signal(syscall.SIGTERM)
		})
	})
	if err == nil {
		t.Error("the stream ended as if nothing had happened")
	}
	<-p.done
	mustEnd(t, clis)
}

// canary is prompt text that must be nowhere but in memory and at the model.
const canary = "CANARY-7f3a91"

// noFirstMessage keeps the one piece of prompt text out that is written to a file, for
// operators who want it.
const noFirstMessage = "--set=stats.first_message=false"

func TestThePromptIsInNoArgvNoLogAndNoFile(t *testing.T) {
	s := newSite(t)
	p := s.start("serve", servesHTTP, realCLI, "serve", noFirstMessage)
	gate := anthropictest.NewGate(1)
	s.model.Answer(anthropictest.Say(canary+" answer", " goes on").HeldBy(gate))
	var once sync.Once
	a, err := send(t.Context(), p.url, chatRequest{User: canary + "-user", Stream: true, Messages: []message{
		{"system", canary + " system"}, {"user", canary + " first"}, {"assistant", canary + " second"}, {"user", canary + " third"}}},
		func(string) {
			once.Do(func() {
				mustNotBeInArgv(t)
				mustNotBeInFiles(t, s.dir)
				gate.Release()
			})
		})
	if err != nil || a.text != canary+" answer goes on" {
		t.Fatalf("text %q, %v", a.text, err)
	}
	bad, err := send(t.Context(), p.url, chatRequest{Model: canary, Messages: []message{{canary, canary}}}, nil)
	if err != nil || bad.status != http.StatusBadRequest && bad.status != http.StatusNotFound {
		t.Errorf("a bad request was answered with %d (%v)", bad.status, err)
	}
	p.stop()
	mustNotBeInFiles(t, s.dir)
	if strings.Contains(p.text(), canary) {
		t.Errorf("the log holds prompt text:\n%s", p.text())
	}
	if strings.Contains(p.text(), "sk-made-up") {
		t.Error("the log holds the API key")
	}
}

func mustNotBeInArgv(t *testing.T) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(lines) == 0 {
		t.Fatal("no process to look at")
	}
	for _, path := range lines {
		if argv, err := os.ReadFile(path); err == nil && strings.Contains(string(argv), canary) {
			t.Errorf("%s holds prompt text", path)
		}
	}
}

func mustNotBeInFiles(t *testing.T, dir string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // files come and go while the program runs
		}
		raw, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(raw), canary) {
			t.Errorf("%s holds prompt text", path)
		}
		files++
		return nil
	})
	if err != nil || files == 0 {
		t.Errorf("looked at %d files (%v)", files, err)
	}
}

func TestTwoHundredStreamsAtOnceEachGetTheirOwn(t *testing.T) {
	s := newSite(t)
	s.extra = "queue: {max_waiting_per_key: 256}"
	path := buildCLI(t) // 200 of the test's own binary take long to start under the race detector
	small := func(testing.TB) (string, map[string]string) { return path, nil }
	node := s.start("api", servesHTTP, small, "api")
	for i := range 2 {
		s.start(fmt.Sprint("w", i), takesJobs, small, "worker", "--set", "worker.max_sessions=100", "--set", "worker.max_sessions_per_key=100")
	}
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			mine := fmt.Sprintf("stream-%03d-", i)
			a, err := send(t.Context(), node.url, chatRequest{User: mine, Stream: true, Messages: []message{{"user", mine + " [[echo]]"}}}, nil)
			switch {
			case err != nil || a.status != http.StatusOK || a.errCode != "" || !a.done:
				t.Errorf("%s: status %d, error %q, done %v, %v", mine, a.status, a.errCode, a.done, err)
			case !strings.Contains(a.text, mine) || strings.Count(a.text, "stream-") != 1:
				t.Errorf("%s got %q", mine, a.text)
			}
		})
	}
	all.Wait()
}
