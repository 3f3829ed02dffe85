package session_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"maxrelay/session"
	"maxrelay/session/anthropictest"
	"maxrelay/session/chat"
)

const (
	rounds = 15
	pairs  = 10 // of question and answer before a question that is not the first
)

// BenchmarkWays compares, round by round, the ways in which a turn of the real CLI
// begins. It prints medians in milliseconds: until the API has the request ("asked"), and
// until the model's first event is passed on.
func BenchmarkWays(b *testing.B) {
	kept, spare, bare := openReal(b), openOnce(b, 1), openOnce(b, 0)
	for _, p := range []*bench{kept, spare, bare} {
		p.chatter()
	}
	c := kept.talk("alice", longSystem)
	c.remember(pairs)
	c.next(chat.SessionReplayed)
	ways := []*way{
		{name: "warm", begin: func() beginning { return c.next(chat.SessionWarm) }},
		{name: "replayed", begin: func() beginning { return spare.stranger().remember(pairs).next(chat.SessionReplayed) }},
		{name: "rewound", begin: func() beginning { c = c.at(2 * pairs); return c.next(chat.SessionRewound) }},
		{name: "new-spare", begin: func() beginning { return spare.stranger().next(chat.SessionNew) }},
		{name: "new", begin: func() beginning { return bare.stranger().next(chat.SessionNew) }},
	}
	for i := range max(rounds, b.N) {
		for j := range ways { // each round begins with another, because what one leaves behind meets the next
			spare.settle(1)
			bare.settle(0)
			ways[(i+j)%len(ways)].measure()
		}
	}
	b.ReportMetric(0, "ns/op")
	for _, w := range ways {
		b.ReportMetric(median(w.asked), w.name+"-asked-ms")
		b.ReportMetric(median(w.shown), w.name+"-ms")
	}
	b.ReportMetric(ratio(ways[2].shown, ways[0].shown), "rewound/warm")
	b.ReportMetric(ratio(ways[1].shown, ways[0].shown), "replayed/warm")
	b.ReportMetric(ratio(ways[3].shown, ways[4].shown), "new-spare/new")
}

// way is one way for a turn to begin, and how long it took, in milliseconds.
type way struct {
	name         string
	begin        func() beginning
	asked, shown []float64
}

func (w *way) measure() {
	t := w.begin()
	w.asked, w.shown = append(w.asked, ms(t.asked)), append(w.shown, ms(t.shown))
}

// beginning is what passed from the call of Turn until the API had read the request, and
// until the model's first event was passed on.
type beginning struct{ asked, shown time.Duration }

// next asks the conversation's next question.
func (t *talk) next(want chat.Session) beginning {
	t.t.Helper()
	t.req.Messages = append(t.req.Messages, chat.Text(chat.RoleUser, question(len(t.req.Messages))))
	var shown time.Time
	begun := time.Now()
	a := t.watch(t.t.Context(), t.req, func(e chat.Event) {
		if shown.IsZero() && e.Type != chat.EventTurn {
			shown = time.Now()
		}
	})
	if a.Error != nil || a.Session != want {
		t.t.Fatalf("session %s, want %s: %v", a.Session, want, a.Error)
	}
	t.req.Messages = append(t.req.Messages, chat.Text(chat.RoleAssistant, a.text))
	return beginning{t.newest().At.Sub(begun), shown.Sub(begun)}
}

// remember gives the conversation a past that no process holds.
func (t *talk) remember(n int) *talk {
	for i := range n {
		t.req.Messages = append(t.req.Messages, chat.Text(chat.RoleUser, question(i)), chat.Text(chat.RoleAssistant, question(-i)))
	}
	return t
}

// openOnce is a pool whose processes serve one turn each.
func openOnce(t testing.TB, spares int) *bench {
	return openReal(t, func(c *session.Config) {
		c.MaxSessions, c.Spares, c.IdleTTL = 1+spares, spares, time.Nanosecond
	})
}

// stranger is a conversation of a user who was not seen before.
func (b *bench) stranger() *talk {
	return b.talk(fmt.Sprint("user ", len(b.api.Requests())), longSystem)
}

// settle waits until nothing is left of former turns, and the spares are there. They go
// on with their start for a moment after they have answered.
func (b *bench) settle(spares int) {
	b.t.Helper()
	waited := false
	eventually(b.t, "the pool to settle", func() bool {
		st := b.Stats()
		settled := st.Spares == spares && st.Idle+st.Busy+st.Starting+st.Stopping == 0
		waited = waited || !settled
		return settled
	})
	if waited && spares > 0 {
		<-time.After(300 * time.Millisecond)
	}
}

// BenchmarkToolLoop compares, round by round, two ways for a tool loop to go on: in the
// process that made the call, and in another one that is told all of it. It prints the
// medians from the whole call being shown to the first text after its result was sent, in
// milliseconds, and the part of it until the first turn has ended: the result cannot be
// sent before.
func BenchmarkToolLoop(b *testing.B) {
	kept, spare := openReal(b), openOnce(b, 1)
	for _, p := range []*bench{kept, spare} {
		p.api.Script(callsOnce)
	}
	c := kept.talk("alice", longSystem)
	c.req.Tools = []chat.Tool{tool("weather"), tool("time")}
	c.remember(pairs)
	c.loop(kept, chat.SessionWarm)
	ways := []struct {
		in      *bench
		session chat.Session
		all     []float64
		ends    []float64
	}{{in: kept, session: chat.SessionWarm}, {in: spare, session: chat.SessionReplayed}}
	for i := range max(rounds, b.N) {
		for j := range ways {
			w := &ways[(i+j)%len(ways)]
			spare.settle(1)
			c = c.at(2 * pairs)
			ended, answered := c.loop(w.in, w.session)
			w.all, w.ends = append(w.all, ms(answered)), append(w.ends, ms(ended))
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(slices.Concat(ways[0].ends, ways[1].ends)), "end-ms")
	b.ReportMetric(median(ways[0].all), "warm-ms")
	b.ReportMetric(median(ways[1].all), "replayed-ms")
	b.ReportMetric(ratio(ways[1].all, ways[0].all), "replayed/warm")
}

// callsOnce calls a tool and is content with its result.
func callsOnce(r anthropictest.Request) *anthropictest.Reply {
	reply := calls("weather")
	said := anthropictest.Conversation(r)
	if last := said[len(said)-1]; last.Content[0].Type == "tool_result" {
		reply = anthropictest.Say("sunny")
	}
	return &reply
}

// loop asks a question whose answer is a call, and sends the result to a pool. It returns
// how long after the call the turn ended, and how long after it the next one's text came.
func (t *talk) loop(in *bench, want chat.Session) (ended, answered time.Duration) {
	t.t.Helper()
	t.req.Messages = append(t.req.Messages, chat.Text(chat.RoleUser, question(len(t.req.Messages))))
	var made, told time.Time
	a := t.watch(t.t.Context(), t.req, func(e chat.Event) {
		if e.Type == chat.EventBlockStop {
			made = time.Now()
		}
	})
	ended = time.Since(made)
	asked := t.echo(a)
	if a.Error != nil || len(asked) != 1 {
		t.t.Fatalf("%d calls: %v", len(asked), a.Error)
	}
	t.req.Messages = append(t.req.Messages, results(asked, "rain"))
	a = in.watch(t.t.Context(), t.req, func(e chat.Event) {
		if told.IsZero() && e.Text != "" {
			told = time.Now()
		}
	})
	if a.Error != nil || a.Session != want || a.text != "sunny" {
		t.t.Fatalf("session %s, want %s; %q: %v", a.Session, want, a.text, a.Error)
	}
	return ended, told.Sub(made)
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
