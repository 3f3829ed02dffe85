package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"maxrelay/session/anthropictest/wire"
)

// caller is a client of the storm. It has one conversation after the other, and knows
// of each answer what it has to be.
type caller struct {
	*storm
	rng       *rand.Rand
	name      string
	key, user string
	tools     bool // offered in this conversation
	count     int  // of questions
	past      []line
}

// line is one message of the history.
type line struct {
	sent  string       // as JSON, several for the results of several calls
	shown wire.Message // as the model is to see it
}

func newCaller(s *storm, i int) *caller {
	return &caller{storm: s, rng: rand.New(rand.NewPCG(s.seed, uint64(i)+1)), name: fmt.Sprintf("caller %02d", i)}
}

// live has conversations until ctx ends; a request that is under way then is answered.
func (c *caller) live(ctx context.Context) {
	for ctx.Err() == nil {
		c.begin()
		for range 1 + c.rng.IntN(6) {
			if ctx.Err() != nil || !c.turn(ctx) {
				break
			}
			c.pause(ctx, 300*time.Millisecond)
		}
	}
}

// goOn asks one question after the other, in conversations of a few turns, and has the
// answers streamed or in one piece.
func (c *caller) goOn(ctx context.Context, streamed bool) {
	for n := 0; ctx.Err() == nil; n++ {
		if n%4 == 0 {
			c.begin()
		}
		q := c.question(fmt.Sprintf("[[echo %d delay 40ms]]", 10+c.rng.IntN(30)))
		e := c.post(c.t.Context(), c.title(q), c.body(q, streamed), func(int) {})
		c.judge(e, q, 0)
		if e.how == whole {
			c.past = append(c.past, q, c.reply(e))
		}
	}
}

func (c *caller) begin() {
	c.key, c.user = tenantKeys[c.rng.IntN(len(tenantKeys))], tenantUsers[c.rng.IntN(len(tenantUsers))]
	c.tools = c.rng.IntN(3) == 0
	c.past = nil
}

// turn reports whether the conversation goes on.
func (c *caller) turn(ctx context.Context) bool {
	if len(c.past) > 0 && c.rng.IntN(5) == 0 {
		c.edit()
	}
	switch n := c.rng.IntN(100); {
	case n < 5:
		c.leave()
		return true
	case n < 10 && !nearlyOver(ctx):
		c.doom()
		return true
	case c.tools:
		return c.loop(ctx)
	default:
		_, ok := c.insist(ctx, c.question(c.words()), 0)
		return ok
	}
}

// words orders an answer that tells what the process holds, and takes its time.
func (c *caller) words() string {
	return fmt.Sprintf("[[echo %d delay %dms]]", 1+c.rng.IntN(25), 1+c.rng.IntN(12))
}

// question asks what others ask too at the beginning and now and then, else something
// of the caller's own.
func (c *caller) question(order string) line {
	c.count++
	text := fmt.Sprintf("%s, question %d %s", c.name, c.count, order)
	if len(c.past) == 0 || c.rng.IntN(4) == 0 {
		text = fmt.Sprintf("question %d %s", c.rng.IntN(3), order)
	}
	return userLine(text)
}

func userLine(text string) line {
	return line{fmt.Sprintf(`{"role":"user","content":%s`, quoted(text)) + "}", wire.User(text)}
}

func quoted(text string) string {
	raw, _ := json.Marshal(text) // of a string it cannot fail
	return string(raw)
}

// edit takes back all from one of the caller's own questions on.
func (c *caller) edit() {
	var questions []int
	for i, l := range c.past {
		if l.shown.Role == "user" && l.shown.Text() != "" {
			questions = append(questions, i)
		}
	}
	c.past = slices.Clip(c.past[:questions[c.rng.IntN(len(questions))]])
}

// leave goes away in the middle, or soon.
func (c *caller) leave() {
	ctx, leave := context.WithCancel(c.t.Context())
	defer leave()
	enough := c.rng.IntN(6)
	if enough == 0 {
		wait := time.AfterFunc(time.Duration(c.rng.IntN(100))*time.Millisecond, leave)
		defer wait.Stop()
	}
	q := c.question("[[echo 20 delay 5ms]]")
	c.judge(c.post(ctx, c.title(q), c.body(q, true), func(pieces int) {
		if pieces == enough {
			leave()
		}
	}), q, 0)
}

var doom = []string{"[[crash]]", "[[echo 9]] [[crash after 0]]", "[[echo 9 delay 5ms]] [[crash after 4]]", "[[echo 9]] [[exit 1 after 5]]",
	"[[echo 9]] [[garbage after 2]]", "[[echo 9 delay 2ms]] [[mute after 3]]", "[[hang]]", "[[echo 9]] [[hang after 2]]"}

// nearlyOver keeps the last requests from outlasting the storm by all their timeouts.
func nearlyOver(ctx context.Context) bool {
	end, _ := ctx.Deadline()
	return time.Until(end) < 10*time.Second
}

// doom tells the process to fail.
func (c *caller) doom() {
	q := c.question(doom[c.rng.IntN(len(doom))])
	e := c.post(c.t.Context(), c.title(q), c.body(q, c.rng.IntN(2) == 0), func(int) {})
	e.doomed = true
	c.judge(e, q, 0)
}

// loop asks, has calls made, gives their results, and so on.
func (c *caller) loop(ctx context.Context) bool {
	calls := c.rng.IntN(3)
	l := c.question(c.words() + c.calls(calls))
	for {
		e, ok := c.insist(ctx, l, calls)
		if !ok || calls == 0 {
			return ok
		}
		calls = c.rng.IntN(3)
		l = c.results(e.heard.ids, calls)
	}
}

func (c *caller) calls(n int) (orders string) {
	for i := range n {
		orders += fmt.Sprintf(" [[tool step %s]]", c.input(i))
	}
	return orders
}

// input is of the i-th call that the next answer makes.
func (c *caller) input(i int) string { return fmt.Sprintf(`{"call":%d,"of":%q}`, i, c.name) }

// results answers calls, and orders the next ones.
func (c *caller) results(ids []string, calls int) line {
	l := line{shown: wire.Message{Role: "user"}}
	sent := make([]string, len(ids))
	for i, id := range ids {
		text := fmt.Sprintf("%s, result %d: %d", c.name, i, c.rng.Uint32())
		if i == 0 {
			text += " " + c.words() + c.calls(calls)
		}
		sent[i] = fmt.Sprintf(`{"role":"tool","tool_call_id":%q,"content":%s}`, id, quoted(text))
		l.shown.Content = append(l.shown.Content, c.block(`{"type":"tool_result","tool_use_id":%q,"content":[{"type":"text","text":%s}]}`, id, quoted(text)))
	}
	l.sent = strings.Join(sent, ",")
	return l
}

func (c *caller) block(format string, args ...any) (b wire.Block) {
	if err := json.Unmarshal(fmt.Appendf(nil, format, args...), &b); err != nil {
		c.t.Error(err)
	}
	return b
}

const tries = 6 // of a question, by a caller who gives up then

// insist asks until there is an answer, which becomes part of the history.
func (c *caller) insist(ctx context.Context, q line, calls int) (*ending, bool) {
	for range tries {
		e := c.post(c.t.Context(), c.title(q), c.body(q, c.rng.IntN(4) > 0), func(int) {})
		c.judge(e, q, calls)
		if e.how == whole {
			c.past = append(c.past, q, c.reply(e))
			return e, true
		}
		if ctx.Err() != nil {
			break
		}
		c.pause(ctx, 600*time.Millisecond)
	}
	return nil, false
}

// reply is the answer as a client sends it back.
func (c *caller) reply(e *ending) line {
	text := e.answer().text
	m, calls := wire.Assistant(text), []string{}
	for i, id := range e.heard.ids {
		calls = append(calls, fmt.Sprintf(`{"id":%q,"type":"function","function":{"name":"step","arguments":%q}}`, id, c.input(i)))
		m.Content = append(m.Content, c.block(`{"type":"tool_use","id":%q,"name":"step","input":%s}`, id, c.input(i)))
	}
	sent := fmt.Sprintf(`{"role":"assistant","content":%s`, quoted(text))
	if len(calls) > 0 {
		sent += `,"tool_calls":[` + strings.Join(calls, ",") + `]`
	}
	return line{sent + "}", m}
}

func (c *caller) title(q line) string { return fmt.Sprintf("%s: %.60s", c.name, q.sent) }

func (c *caller) body(q line, stream bool) string {
	var sent []string
	for _, l := range append(slices.Clip(c.past), q) {
		sent = append(sent, l.sent)
	}
	body := fmt.Sprintf(`{"model":"sonnet","user":%q,"stream":%v,"messages":[%s]`, c.user, stream, strings.Join(sent, ","))
	if c.tools {
		body += `,"tools":[` + function("step", anObject) + `]`
	}
	return body + "}"
}

func (c *caller) pause(ctx context.Context, most time.Duration) {
	select {
	case <-time.After(time.Duration(c.rng.Int64N(int64(most)))):
	case <-ctx.Done():
	}
}
