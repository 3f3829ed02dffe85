package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"maxrelay/session/anthropictest"
)

// Whatever a caller writes, in whatever place, reaches the model as the letters it is, in
// that place, with nothing added, and in one call of the model; or it is refused, and the
// field is named. Nothing of it is run, read, or left anywhere.
func TestHostileTexts(t *testing.T) {
	bait := newBait(t)
	var texts []string
	for _, f := range hostile(bait.dir) {
		texts = append(texts, f.texts...)
	}
	mustBeTexts(t, texts)
	mustBeTaken(t, texts)
	refused := make([]atomic.Int64, len(refusals))
	t.Cleanup(func() { mustHaveRefused(t, refused) })
	half := len(texts) / 2
	for name, some := range map[string][]string{"one half": texts[:half], "the other half": texts[half:]} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newStage(t, bait, refused)
			before := b.traces(t)
			for i, s := range some {
				t.Run(fmt.Sprintf("%.40q", s), func(t *testing.T) { b.play(t, s, i) })
			}
			for group := range slices.Chunk(some, 50) {
				b.asSystemAndUser(t, group)
			}
			bait.mustBeUntouched(t)
			b.mustHaveRunNothing(t)
			b.mustNotHaveTold(t, before, some)
		})
	}
}

// play puts a text into every place of two turns, and then where it is refused.
func (b *stage) play(t *testing.T, text string, serial int) {
	c := newScene(text, serial)
	c.tell(t, b)
	c.goOn(t, b)
	b.refuse(t, text, serial)
	b.inHeaders(t, text)
}

func mustBeTexts(t *testing.T, texts []string) {
	t.Helper()
	seen := make(map[string]bool)
	for _, s := range texts {
		if seen[s] || strings.ToValidUTF8(s, "") != s {
			t.Errorf("%q is there twice, or is no UTF-8", clip(s))
		}
		seen[s] = true
	}
}

// mustBeTaken checks that each place in a conversation takes some of the texts.
func mustBeTaken(t *testing.T, texts []string) {
	t.Helper()
	t.Logf("%d texts", len(texts))
	for _, p := range spots {
		n := 0
		for _, s := range texts {
			if p.takes(s) {
				n++
			}
		}
		if t.Logf("%d in %s", n, p.name); n == 0 {
			t.Errorf("no text is put in %s", p.name)
		}
	}
}

func mustHaveRefused(t *testing.T, refused []atomic.Int64) {
	for i, r := range refusals {
		if refused[i].Load() == 0 {
			t.Errorf("no text was refused in %s, %s", r.param, r.members)
		}
	}
}

// stage is a program with traps around its CLI. One text after the other is played on
// it, so whatever the model is asked meanwhile is that text's.
type stage struct {
	paramBench
	program *proc
	bait    bait
	ran     string // where the traps write
	n       int    // requests
	client  *http.Client
	refused []atomic.Int64 // texts, by the index in refusals

	mu    sync.Mutex
	reply anthropictest.Reply
}

func newStage(t *testing.T, bait bait, refused []atomic.Int64) *stage {
	b := &stage{paramBench: paramBench{site: newSite(t)}, bait: bait, client: &http.Client{Transport: new(http.Transport)}, refused: refused}
	t.Cleanup(b.client.CloseIdleConnections)
	b.extra = fmt.Sprintf("auth: {enabled: true, api_keys: [%q]}", paramKey)
	b.model.Script(b.answer)
	b.program = b.start("serve", servesHTTP, b.trapped, "serve", "--set", "worker.cli.cwd="+bait.dir, noFirstMessage)
	b.url = b.program.url
	h := b.ask(t, anthropictest.Say("Hello."), nil, `"messages":[{"role":"user","content":"Hello!"}]`)
	b.plain = h.shown[0].Body.Fields
	return b
}

func (b *stage) answer(anthropictest.Request) *anthropictest.Reply {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.reply
	return &r
}

// ask sends a request that the model will answer so, every other one streamed. No file
// that lies about is in what the model is asked then.
func (b *stage) ask(t *testing.T, reply anthropictest.Reply, header map[string][]string, members ...string) heard {
	t.Helper()
	b.mu.Lock()
	b.reply = reply
	b.mu.Unlock()
	b.model.Reset()
	b.n++
	h := b.post(t, header, fmt.Sprintf(`{"model":"claude-sonnet-4","user":"one","stream":%v,%s}`, b.n%2 == 0, strings.Join(members, ",")))
	h.shown = b.model.Requests()
	for _, r := range h.shown {
		if strings.Contains(string(r.Raw), secret) {
			t.Error("the model was shown a file")
		}
	}
	return h
}

// asSystemAndUser makes some texts one system prompt and one user's name. Each takes a
// process of its own, hence many at once.
func (b *stage) asSystemAndUser(t *testing.T, texts []string) {
	t.Helper()
	var lines, want []string
	for i, s := range texts {
		line := says("system", encoded(s))
		if i%2 == 0 {
			line = says("developer", textParts(s))
		}
		if lines = append(lines, line); visible(s) {
			want = append(want, s)
		}
	}
	user := strings.Join(texts, "\x00") + " is the user"
	h := b.ask(t, anthropictest.Say("Hello."), nil, `"user":`+encoded(user), `"messages":[`+strings.Join(append(lines, says("user", `"Hello!"`)), ",")+`]`)
	if len(h.shown) != 1 {
		t.Fatalf("status %d, %+v, %d calls of the model", h.status, h.err, len(h.shown))
	}
	if got := anthropictest.System(h.shown[0]); !slices.Equal(got, []string{strings.Join(want, "\n\n")}) {
		t.Errorf("the system prompt is %q, want %q", got, want)
	}
	if got := conversationOf(t, h.shown[0]); got != plainJSON(t, talks("Hello!")) {
		t.Errorf("the model was shown\n%s", clip(got))
	}
	if got := b.unlike(h.shown[0]); got != `{}` || strings.Contains(string(h.shown[0].Raw), "is the user") {
		t.Errorf("the model was asked with %s, or was told the user", clip(got))
	}
}
