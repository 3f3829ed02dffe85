package session_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"maxrelay/session"
	"maxrelay/session/anthropictest/wire"
	"maxrelay/session/chat"
)

var seed = flag.Uint64("seed", 0, "of the randomized test; 0 for a new one")

// Whatever clients and processes do, an answer comes from a process that holds exactly
// the client's history: the process itself says so, by the digest of what it holds.
func TestRandomLivesOfManyConversations(t *testing.T) {
	s := newSeed(t)
	const clients, dialogs, turns = 3, 3, 100
	cfg := fakeConfig()
	cfg.MaxSessions, cfg.MaxSessionsPerKey, cfg.Spares, cfg.MaxConversations = clients+2, 3, 1, 4
	cfg.FirstByteTimeout, cfg.IdleTimeout = 10*time.Second, 10*time.Second
	f := openFakes(t, cfg)
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(s, uint64(c)))
			var talks []*life
			for i := range dialogs {
				// Neighbours share keys, and some share everything but the user or nothing at all.
				d := f.dialog(fmt.Sprint("key ", (c+i)%2), fmt.Sprint("user ", c, i%2))
				talks = append(talks, &life{dialog: d, rng: rng, words: d.req.Tenant.User, deaths: new(deaths)})
			}
			for range turns {
				talks[rng.IntN(dialogs)].turn()
			}
		})
	}
	all.Wait()
	eventually(t, "the directory to agree", func() bool {
		st, known := f.Stats(), f.news.count()
		return st.Busy == 0 && st.Idle == known.Idle && known.Busy == 0
	})
	f.Close()
	f.news.mustHold(session.Stats{})
}

func newSeed(t *testing.T) uint64 {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("-seed=%d", s)
	return s
}

// life is a client that edits, regenerates, leaves and meets failures.
type life struct {
	*dialog
	rng    *rand.Rand
	words  string // what it talks about
	deaths *deaths
}

// deaths counts processes that a test killed, and good turns that failed. One death
// costs one turn at most.
type deaths struct{ killed, failed atomic.Int64 }

func (d *deaths) mustExplainFailures(t *testing.T) {
	t.Helper()
	if d.failed.Load() > d.killed.Load() {
		t.Errorf("%d good turns failed, though %d processes were killed", d.failed.Load(), d.killed.Load())
	}
}

// forgives reports whether an error may be a death's.
func (l *life) forgives(err *chat.Error) bool {
	if err.Code != chat.CodeWorkerFailed || l.deaths.killed.Load() == 0 {
		return false
	}
	l.deaths.failed.Add(1)
	return true
}

// kill kills one of the CLI processes.
func (l *life) kill() {
	pids := children(l.t)
	if len(pids) == 0 {
		return
	}
	pid := pids[l.rng.IntN(len(pids))]
	victim, err := os.FindProcess(pid) // holds on to whoever has the number now
	if ppid, _ := stat(pid); err != nil || ppid != os.Getpid() {
		return
	}
	l.deaths.killed.Add(1)
	victim.Kill()
}

var mishaps = []string{
	"[[crash]]", "[[tokens 4]] [[crash after 2]]", "[[tokens 4]] [[exit 1 after 4]]", "[[tokens 3]] [[garbage after 1]]",
	"[[tokens 4]] [[lost after 2]]", "[[lost]]", "[[status 500]]", "[[status 400]]", "[[limit 60]]",
	"[[tokens 3]] [[max_tokens]]", "[[tokens 2]] [[refuse]]", "[[tokens 1]] [[tool Bash {}]]",
}

func (l *life) turn() {
	l.edit()
	text := fmt.Sprint(l.words, " ", l.rng.IntN(3)) // few texts, so that prefixes meet
	switch n := l.rng.IntN(10); {
	case n < 6:
		l.proveEcho(text)
	case n < 8:
		l.leave(text)
	default:
		l.ask(l.t.Context(), l.with(mishaps[l.rng.IntN(len(mishaps))]+text))
	}
}

// edit changes the history as clients do, or leaves it.
func (l *life) edit() {
	m := l.req.Messages
	switch n := l.rng.IntN(10); {
	case n == 0: // a new conversation
		l.req.Messages = nil
	case n <= 2 && len(m) > 0: // back to an earlier question
		l.req.Messages = m[:2*l.rng.IntN(len(m)/2)]
	case n == 3 && len(m) > 0: // another answer than the model's
		l.req.Messages = append(m[:len(m)-1:len(m)-1], chat.Text(chat.RoleAssistant, fmt.Sprint("edited ", l.rng.IntN(2))))
	case n == 4: // a history from elsewhere
		l.long(1 + l.rng.IntN(3))
	}
}

func (l *life) proveEcho(text string) {
	req := l.with("[[echo]] " + text)
	a := l.ask(l.t.Context(), req)
	if a.Error != nil {
		if !l.forgives(a.Error) {
			l.t.Errorf("a good turn failed: %v", a.Error)
		}
		return
	}
	if want := wire.Echo(wired(l.t, req.Messages)); a.text != want {
		l.t.Errorf("the process held another conversation (%s)\n%s\nwant\n%s", a.Session, a.text, want)
	}
	l.req.Messages = append(req.Messages, chat.Text(chat.RoleAssistant, a.text))
}

// leave cancels at a random event. An answer that is whole by then is kept.
func (l *life) leave(text string) {
	ctx, cancel := context.WithCancel(l.t.Context())
	defer cancel()
	at := l.rng.IntN(12)
	req := l.with("[[tokens 6]] " + text)
	a := l.watch(ctx, req, func(chat.Event) {
		if at--; at < 0 {
			cancel()
		}
	})
	if a.Error == nil {
		l.req.Messages = append(req.Messages, chat.Text(chat.RoleAssistant, a.text))
	} else if a.Error.Code != chat.CodeCancelled && !l.forgives(a.Error) {
		l.t.Errorf("a cancelled turn failed: %v", a.Error)
	}
}
