package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http/httptrace"
	"slices"
	"strings"
	"time"

	"maxrelay/session/anthropictest/wire"
)

// life is a client and its conversation, which grows and is edited, left and cut short
// as clients do.
type life struct {
	*fleet
	rng    *rand.Rand
	name   string // stands in texts that nobody else has
	key    string
	user   string
	system string
	lines  []message
	aside  []message // another branch
	again  string    // the question that is to be asked again
	holder process   // that answered when it was last asked for
}

func newLife(f *fleet, i uint64) *life {
	rng := rand.New(rand.NewPCG(f.seed, i))
	return &life{fleet: f, rng: rng, name: fmt.Sprintf("conversation %04d", i),
		key: tenantKeys[rng.IntN(len(tenantKeys))], user: tenantUsers[rng.IntN(len(tenantUsers))],
		system: []string{"", "Be brief."}[rng.IntN(2)]}
}

func (l *life) tenant() string { return fmt.Sprintf("%s/%q", l.key, l.user) }

// lead has one to six turns, rather few than many: 20 % of them after an edit, 5 % left
// and 5 % struck.
func (l *life) lead() {
	for range 1 + min(l.rng.IntN(6), l.rng.IntN(6)) {
		if len(l.questions()) > 0 && l.rng.IntN(100) < 35 { // of the turns that have something to edit
			l.edit()
		}
		switch n := l.rng.IntN(100); {
		case n < 5:
			l.leave()
		case n < 10:
			l.strike()
		default:
			l.ask()
		}
	}
}

func (l *life) ask() {
	switch n := l.rng.IntN(10); {
	case l.again != "":
		l.put(l.t.Context(), l.again, nil)
	case n < 7:
		l.put(l.t.Context(), l.question("[[echo]]"), nil)
	case n < 8:
		l.put(l.t.Context(), l.question("[[state]]"), nil)
	default:
		l.put(l.t.Context(), l.question("[[tokens %d]]", 1+l.rng.IntN(9)), nil)
	}
	l.again = ""
}

// question asks what others ask too at the beginning and now and then, else something
// of its own.
func (l *life) question(order string, args ...any) string {
	order = fmt.Sprintf(order, args...)
	if len(l.lines) == 0 || l.rng.IntN(3) == 0 {
		return fmt.Sprint(order, " question ", l.rng.IntN(3))
	}
	return fmt.Sprint(order, " ", l.name, " asks ", l.rng.IntN(1000))
}

// edit changes the history as clients do.
func (l *life) edit() {
	asked := l.questions()
	last := asked[len(asked)-1]
	edits := []struct {
		name string
		do   func()
	}{
		{"regenerated", func() { l.again, l.lines = l.lines[last].Content, l.lines[:last] }},
		{"edited earlier", func() { l.lines = l.lines[:asked[l.rng.IntN(len(asked))]] }},
		{"branched", func() { l.aside, l.lines = l.lines, l.lines[:asked[l.rng.IntN(len(asked))]] }},
		{"back in a branch", func() { l.aside, l.lines = l.lines, l.aside }},
		{"trimmed", func() { l.lines = trimmed(l.lines) }},
		{"without its head", func() { l.lines = l.lines[1+l.rng.IntN(2):] }},
	}
	e := edits[l.rng.IntN(len(edits))]
	e.do()
	l.lines = slices.Clip(l.lines)
	l.tally.edited(e.name)
}

// questions returns where the user's messages stand: a history may end before each.
func (l *life) questions() (at []int) {
	for i, m := range l.lines {
		if m.Role == "user" {
			at = append(at, i)
		}
	}
	return at
}

func trimmed(lines []message) []message {
	lines = slices.Clone(lines)
	for i := range lines {
		if lines[i].Role == "assistant" {
			lines[i].Content = strings.TrimRight(lines[i].Content, " ")
		}
	}
	return lines
}

// leave goes away before, in the middle of, or perhaps after the answer.
func (l *life) leave() {
	ctx, leave := context.WithCancel(l.t.Context())
	defer leave()
	l.tally.leaver()
	switch l.rng.IntN(3) {
	case 0:
		order := []string{"[[hang]]", "[[tokens 3]] [[hang after 2]]"}[l.rng.IntN(2)]
		l.put(l.soonAfterSent(ctx, leave), l.question(order), nil)
	case 1:
		told := 1 + l.rng.IntN(5)
		enough := 1 + l.rng.IntN(told)
		l.put(ctx, l.question("[[tokens 9]] [[hang after %d]]", told), func(piece string) {
			if enough -= strings.Count(piece, "tok"); enough <= 0 {
				leave()
			}
		})
	default:
		l.put(l.soonAfterSent(ctx, leave), l.question("[[echo]]"), nil)
	}
}

// soonAfterSent ends the context some time after the request is on its way: a request
// that was never sent is nobody's to count.
func (l *life) soonAfterSent(ctx context.Context, leave func()) context.Context {
	wait := time.Duration(l.rng.IntN(20)) * time.Millisecond
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(httptrace.WroteRequestInfo) { time.AfterFunc(wait, leave) }})
}

var deadly = []string{"[[crash]]", "[[crash after 0]]", "[[tokens 6]] [[crash after 3]]", "[[tokens 6]] [[exit 1 after 5]]",
	"[[tokens 6]] [[garbage after 2]]"}

// strike asks for the death of a process: by an order to the one that answers, or from
// outside, before or in the middle of the answer.
func (l *life) strike() {
	switch n := l.rng.IntN(20); {
	case n < 7:
		l.put(l.t.Context(), l.question(deadly[l.rng.IntN(len(deadly))]), nil)
	case n < 11:
		l.orders <- order{what: aCLI}
		l.ask()
	case n < 18:
		l.put(l.t.Context(), l.question("[[state]]"), nil)
		ordered := false
		l.put(l.t.Context(), l.question("[[tokens 20 delay 5ms]]"), func(string) {
			if !ordered {
				ordered = true
				l.orders <- order{what: aCLI, who: l.holder} // likely the one that answers
			}
		})
	default:
		l.orders <- order{what: aWorker}
		l.ask()
	}
}

// put asks one more question and judges what comes of it. A good answer becomes part
// of the conversation.
func (l *life) put(ctx context.Context, text string, see func(string)) {
	asked := append(slices.Clip(l.lines), message{"user", text})
	req := chatRequest{key: l.key, User: l.user, Stream: see != nil || l.rng.IntN(2) == 0}
	if l.system != "" {
		req.Messages = append(req.Messages, message{"system", l.system})
	}
	req.Messages = append(req.Messages, asked...)
	struck := l.struck.Load()
	a, err := send(ctx, l.node.url, req, see)
	v := verdict{stream: req.Stream, left: ctx.Err() != nil, doomed: dies(text), near: l.struck.Load() != struck}
	if !l.judge(v, a, err, text) {
		return
	}
	l.prove(asked, a.text)
	l.lines = append(asked, message{"assistant", a.text})
}

func dies(text string) bool {
	return slices.ContainsFunc(deadly, func(order string) bool { return strings.HasPrefix(text, order) })
}

// prove holds a whole answer to what was asked for.
func (l *life) prove(asked []message, text string) {
	question := asked[len(asked)-1].Content
	switch {
	case strings.HasPrefix(question, "[[echo]]"):
		if asked[0].Role == "assistant" { // the model is told that something stood before
			asked = slices.Insert(slices.Clone(asked), 0, message{"user", "<conversation_start/>"})
		}
		if !held(asked, nil, text) {
			l.t.Errorf("%s: the process held another conversation than %q: %q", l.name, asked, text)
		}
	case strings.HasPrefix(question, "[[state]]"):
		l.proveState(text)
	default:
		if !strings.HasPrefix(manyTokens, text) || text == "" {
			l.t.Errorf("%s: %q is no answer to %q", l.name, text, question)
		}
	}
}

// held reports whether the digest is that of the conversation. The spaces at an
// answer's end do not count, and another client of the tenant may have trimmed them.
func held(rest []message, before []wire.Message, text string) bool {
	if len(rest) == 0 {
		return text == wire.Echo(before)
	}
	m := rest[0]
	for _, content := range spellings(m) {
		if held(rest[1:], append(slices.Clip(before), wire.Message{Role: m.Role, Content: wire.Content{wire.TextBlock(content)}}), text) {
			return true
		}
	}
	return false
}

func spellings(m message) []string {
	if m.Role != "assistant" || !strings.HasPrefix(m.Content, "tok") {
		return []string{m.Content}
	}
	short := strings.TrimRight(m.Content, " ")
	return []string{short, short + " "}
}

// proveState checks whose the process is.
func (l *life) proveState(text string) {
	var state struct {
		PID    int
		System string
	}
	if err := json.Unmarshal([]byte(text), &state); err != nil || state.System != l.system {
		l.t.Errorf("%s: state %q (%v), want system prompt %q", l.name, text, err, l.system)
	}
	born := bornAt(state.PID)
	if born == "" {
		return // it ended since
	}
	l.holder = process{state.PID, born}
	if other := l.tally.serves(l.holder, l.tenant()); other != l.tenant() {
		l.t.Errorf("process %d serves %s and %s", state.PID, other, l.tenant())
	}
}

var manyTokens = func() string {
	var b strings.Builder
	for i := range 20 {
		fmt.Fprintf(&b, "tok%d ", i)
	}
	return b.String()
}()
