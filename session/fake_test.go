package session_test

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"maxrelay/session"
	"maxrelay/session/anthropictest/wire"
	"maxrelay/session/chat"
	"maxrelay/session/claudetest"
)

// fakes is a pool of fake CLIs, what it told the directory, and its log.
type fakes struct {
	*bench
	news *directory
	log  *journal
}

func fakeConfig(env ...string) session.Config {
	path, own := claudetest.Command()
	env = append(env, own...)
	// A race-enabled child would wait a second before it ends.
	return session.Config{Path: path, Env: append(env, "GORACE=atexit_sleep_ms=0"), Cwd: "/", MaxSessions: 4, MaxSessionsPerKey: 4,
		StartTimeout: time.Minute}
}

func openFakes(t testing.TB, cfg session.Config) *fakes {
	t.Helper()
	f := &fakes{news: &directory{t: t, held: make(map[string]session.Holding)}, log: new(journal)}
	if also := cfg.Changed; also != nil {
		cfg.Changed = func(h session.Holding) { also(h); f.news.changed(h) }
	} else {
		cfg.Changed = f.news.changed
	}
	pool, err := session.Open(cfg, zerolog.New(f.log))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pool.Close()
		f.news.mustHold(session.Stats{})
	})
	f.bench = &bench{Pool: pool, t: t}
	return f
}

// directory is what a fleet would know of the pool.
type directory struct {
	t    testing.TB
	mu   sync.Mutex
	held map[string]session.Holding // also of those that are gone
}

func (d *directory) changed(h session.Holding) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held[h.Process].Gone {
		d.t.Errorf("news of process %s, which is gone: %+v", h.Process, h)
	}
	if h.Gone && (h.Busy || len(h.Chain) > 0) {
		d.t.Errorf("a process that is gone holds something: %+v", h)
	}
	d.held[h.Process] = h
}

func (d *directory) count() (st session.Stats) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range d.held {
		switch {
		case h.Gone:
		case h.Busy:
			st.Busy++
		default:
			st.Idle++
		}
	}
	return st
}

func (d *directory) mustHold(want session.Stats) {
	d.t.Helper()
	if got := d.count(); got.Idle != want.Idle || got.Busy != want.Busy {
		d.t.Errorf("the directory knows %+v, want %+v", got, want)
	}
}

// mustKnow checks that the directory knows a process that holds exactly these messages.
func (d *directory) mustKnow(req *chat.Request) {
	d.t.Helper()
	chain := chat.Chain(req)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, h := range d.held {
		if n := len(h.Chain); !h.Gone && n == len(chain)-1 && h.Chain[n-1] == chain[n] {
			return
		}
	}
	d.t.Error("the directory does not know who holds the conversation")
}

// journal keeps what is logged.
type journal struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.buf.String()
}

func (j *journal) count(what string) int { return strings.Count(j.String(), what) }

// dialog is a conversation in which the process itself proves what it holds: its answer
// is a digest of that.
type dialog struct {
	*fakes
	req   *chat.Request
	asked func(*chat.Request) // is shown each request; may be nil
}

func (f *fakes) dialog(key, user string) *dialog {
	return &dialog{fakes: f, req: &chat.Request{Tenant: chat.Tenant{Key: key, User: user, Pool: "p"}, Model: "sonnet", System: "s"}}
}

// with is the conversation continued by one more question.
func (d *dialog) with(text string) *chat.Request {
	req := *d.req
	req.Messages = append(req.Messages[:len(req.Messages):len(req.Messages)], chat.Text(chat.RoleUser, text))
	if d.asked != nil {
		d.asked(&req)
	}
	return &req
}

// say asks, checks the digest, and takes question and answer into the conversation.
func (d *dialog) say(text string) answer {
	d.t.Helper()
	req := d.with("[[echo]] " + text)
	a := d.mustAsk(req)
	d.mustHaveHeld(a, req)
	d.req.Messages = append(req.Messages, chat.Text(chat.RoleAssistant, a.text))
	return a
}

// mustHaveHeld checks the answer to an echo.
func (d *dialog) mustHaveHeld(a answer, req *chat.Request) {
	d.t.Helper()
	if want := wire.Echo(wired(d.t, req.Messages)); a.text != want {
		d.t.Fatalf("the process held another conversation (%s)\n%s\nwant\n%s", a.Session, a.text, want)
	}
}

func (d *dialog) mustSay(text string, want chat.Session) {
	d.t.Helper()
	if a := d.say(text); a.Session != want {
		d.t.Fatalf("%q: session %s, want %s\n%s", text, a.Session, want, d.log)
	}
}

// pid asks for the process that serves the conversation, as one more turn of it.
func (d *dialog) pid() int {
	d.t.Helper()
	req := d.with("[[state]]")
	a := d.mustAsk(req)
	var state struct{ PID int }
	if err := json.Unmarshal([]byte(a.text), &state); err != nil {
		d.t.Fatal(err, a.text)
	}
	d.req.Messages = append(req.Messages, chat.Text(chat.RoleAssistant, a.text))
	return state.PID
}

// wired is messages as the fake CLI sees them.
func wired(t testing.TB, messages []chat.Message) (out []wire.Message) {
	raw, err := json.Marshal(messages)
	if err == nil {
		err = json.Unmarshal(raw, &out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// long is a conversation that no process holds.
func (d *dialog) long(n int) *dialog {
	for i := range n {
		d.req.Messages = append(d.req.Messages, chat.Text(chat.RoleUser, "q"+strconv.Itoa(i)), chat.Text(chat.RoleAssistant, "a"+strconv.Itoa(i)))
	}
	return d
}
