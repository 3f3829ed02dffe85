package session_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"maxrelay/session"
	"maxrelay/session/chat"
	"maxrelay/session/claudetest"
)

// Tenants that say the same in the same order, edit, leave, crash and lose processes
// never share one: neither by what processes were told, line by line, nor by what the
// pool says that they hold.
func TestNoProcessEverServesTwoTenants(t *testing.T) {
	s := newSeed(t)
	told := t.TempDir()
	var w witness
	cfg := fakeConfig(stdinKept + "=" + told)
	cfg.MaxSessions, cfg.MaxSessionsPerKey, cfg.Spares, cfg.MaxConversations = 7, 4, 1, 6
	cfg.Changed = w.changed
	f := openFakes(t, cfg)
	deaths := new(deaths)
	var bag bag
	for i, tenant := range manyTenants {
		for c := range 2 {
			d := f.dialog("", "")
			d.req.Tenant, d.asked = tenant, w.ask
			bag.add(&life{dialog: d, words: mark(i, c), deaths: deaths})
		}
	}
	var clients sync.WaitGroup
	for c := range 4 {
		clients.Go(func() {
			rng := rand.New(rand.NewPCG(s, uint64(c)))
			for range 120 {
				l := bag.draw(rng)
				l.rng = rng
				l.mixedTurn()
				bag.add(l)
			}
		})
	}
	clients.Wait()
	f.Close()
	deaths.mustExplainFailures(t)
	w.mustHaveSeenOneTenantEach(t)
	n, texts := mustTellOneTenantEach(t, told)
	t.Logf("%d processes were told %d marked texts; %d were killed, and %d good turns failed by that", n, texts, deaths.killed.Load(), deaths.failed.Load())
}

// manyTenants differ in one part each.
var manyTenants = []chat.Tenant{
	{Key: "k1", Pool: "p"}, {Key: "k2", Pool: "p"},
	{Key: "k1", User: "ann", Pool: "p"}, {Key: "k2", User: "ann", Pool: "p"},
	{Key: "k1", User: "k2", Pool: "p"}, {Key: "k1", User: "ann", Pool: "q"},
}

// mark stands in every text that is a conversation's own.
func mark(tenant, conversation int) string {
	return fmt.Sprintf("(tenant %d talk %d)", tenant, conversation)
}

var marks = regexp.MustCompile(`\(tenant (\d+) talk (\d+)\)`)

// bag holds the conversations that nobody is at.
type bag struct {
	mu    sync.Mutex
	lives []*life
}

func (b *bag) add(l *life) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lives = append(b.lives, l)
}

func (b *bag) draw(rng *rand.Rand) *life {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, last := rng.IntN(len(b.lives)), len(b.lives)-1
	l := b.lives[i]
	b.lives[i] = b.lives[last]
	b.lives = b.lives[:last]
	return l
}

// mixedTurn is a turn in words that may be another tenant's as well, perhaps after a
// death.
func (l *life) mixedTurn() {
	own := l.words
	if l.rng.IntN(2) == 0 {
		l.words = "what all ask"
	}
	if l.rng.IntN(15) == 0 {
		l.kill()
	}
	l.turn()
	l.words = own
}

// witness knows whose a fingerprint is, and which of them each process held. The zero
// value is ready.
type witness struct {
	mu     sync.Mutex
	owners map[chat.Fingerprint]chat.Tenant
	held   map[string]map[chat.Fingerprint]bool // by process
}

// ask notes whose the fingerprints of a request are.
func (w *witness) ask(req *chat.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.owners == nil {
		w.owners = make(map[chat.Fingerprint]chat.Tenant)
	}
	for _, f := range chat.Chain(req)[1:] {
		w.owners[f] = req.Tenant
	}
}

func (w *witness) changed(h session.Holding) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.held == nil {
		w.held = make(map[string]map[chat.Fingerprint]bool)
	}
	for _, f := range h.Chain {
		if w.held[h.Process] == nil {
			w.held[h.Process] = make(map[chat.Fingerprint]bool)
		}
		w.held[h.Process][f] = true
	}
}

func (w *witness) mustHaveSeenOneTenantEach(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for process, prints := range w.held {
		tenants := make(map[chat.Tenant]bool)
		for f := range prints {
			if tenant, known := w.owners[f]; known { // not an answer that its client never sent back
				tenants[tenant] = true
			}
		}
		if len(tenants) != 1 {
			t.Errorf("process %s held conversations of %v", process, tenants)
		}
	}
}

// stdinKept names the folder in which a fake CLI keeps all it is told, in a file of its
// own.
const stdinKept = "SESSION_TEST_STDIN_KEPT"

// remember is claudetest.Main for a fake that keeps what it is told.
func remember() {
	dir := os.Getenv(stdinKept)
	if dir == "" {
		return
	}
	file, err := os.CreateTemp(dir, "stdin-")
	if err != nil {
		panic(err)
	}
	stdin := struct{ io.Reader }{io.TeeReader(os.Stdin, file)} // not to be closed: a read may be waiting in it
	os.Exit(claudetest.Serve(claudetest.Process{Args: os.Args[1:], Env: os.Environ(), Stdin: stdin, Stdout: os.Stdout, Stderr: os.Stderr}))
}

// mustTellOneTenantEach reads what the processes were told.
func mustTellOneTenantEach(t *testing.T, dir string) (processes, texts int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "stdin-*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tenants := make(map[string]int)
		for _, m := range marks.FindAllSubmatch(raw, -1) {
			tenants[string(m[1])]++
			texts++
		}
		if len(tenants) > 1 {
			t.Errorf("one process was told texts of %d tenants: %v", len(tenants), tenants)
		}
	}
	if texts == 0 {
		t.Error("no process was told anything")
	}
	return len(files), texts
}
