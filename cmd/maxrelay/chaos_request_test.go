package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"
)

// ending is how a request ended, as its caller saw it.
type ending struct {
	question string // as logs of the test name it
	key      string
	doomed   bool // it told its process to fail

	node        *station // that was asked last
	asked, over time.Time
	first       time.Duration // to the first text; 0: there was none
	heard       heard         // its header and its answer, as far as it came
	done        bool          // [DONE] was sent
	how         how
	why         string
}

type how string

const (
	whole       how = "answered"
	refusedWith how = "refused"            // an error with a status of its own
	told        how = "failed and said so" // an error event behind a part of the answer
	broken      how = "broken off"         // by the connection, without an end
	unreachable how = "unreachable"        // every node refused the connection
	left        how = "left"
	hung        how = "hung"
)

// patience is how long a caller waits for an answer: longer than the queue and all
// attempts may take together.
const patience = guard

// post asks one node after the other until one takes the connection, and reads what
// comes. see is shown how many pieces of text there were.
func (c *caller) post(ctx context.Context, question, body string, see func(pieces int)) *ending {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errHung)
	defer cancel()
	e := &ending{question: question, key: c.key, asked: time.Now(), how: unreachable}
	first := c.rng.IntN(len(c.nodes))
	for i := range c.nodes {
		e.node = c.nodes[(first+i)%len(c.nodes)]
		if c.postTo(ctx, e, body, see) {
			break
		}
	}
	e.over = time.Now()
	return e
}

var errHung = errors.New("there was no end")

// postTo reports whether the node took the connection.
func (c *caller) postTo(ctx context.Context, e *ending, body string, see func(pieces int)) bool {
	link, taken := e.node.links[0], net.Addr(nil)
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(g httptrace.GotConnInfo) { taken = g.Conn.LocalAddr() }})
	r, err := http.NewRequestWithContext(traced, http.MethodPost, "http://"+link.Addr()+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		c.t.Error(err)
		return true
	}
	r.Header.Set("Authorization", "Bearer "+c.key)
	resp, err := client.Do(r)
	if err != nil && ctx.Err() == nil && (taken == nil || link.Refused(taken)) {
		return false
	}
	if err == nil {
		defer resp.Body.Close()
		e.heard.status, e.heard.header = resp.StatusCode, resp.Header
		err = e.read(c, resp.Body, see)
	}
	e.end(ctx, err)
	return true
}

// end says how it ended from what was read and why no more was.
func (e *ending) end(ctx context.Context, err error) {
	switch {
	case e.done:
		e.how = whole
	case context.Cause(ctx) == errHung:
		e.how = hung
	case ctx.Err() != nil:
		e.how = left
	case err != nil:
		e.how, e.why = broken, err.Error()
	case e.heard.err.Code != "" && e.heard.status != http.StatusOK:
		e.how, e.why = refusedWith, e.heard.err.Code
	default:
		e.how, e.why = told, e.heard.err.Code
	}
}

// read takes an answer in, piece by piece.
func (e *ending) read(c *caller, body io.Reader, see func(pieces int)) error {
	if !strings.HasPrefix(e.heard.header.Get("Content-Type"), "text/event-stream") {
		raw, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		e.heard.take(c.t, raw)
		e.done = e.heard.err.Code == ""
		return nil
	}
	pieces := 0
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 1<<20)
	lines.Split(wholeLines)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		switch {
		case !ok:
			continue
		case e.done || e.heard.err.Code != "":
			c.t.Errorf("%s: %q behind the end", e.question, data)
		case data == "[DONE]":
			e.done = true
			continue
		}
		p := e.heard.take(c.t, []byte(data))
		if len(p.Choices) > 0 && p.Choices[0].Delta.Content != "" {
			if pieces++; pieces == 1 {
				e.first = time.Since(e.asked)
			}
			see(pieces)
		}
	}
	if err := lines.Err(); err != nil || e.done || e.heard.err.Code != "" {
		return err
	}
	return errCutShort
}

// wholeLines drops the part of a line that a broken connection leaves.
func wholeLines(data []byte, _ bool) (advance int, line []byte, err error) {
	return bufio.ScanLines(data, false)
}

// errCutShort is a stream that ended in order and yet not at its end.
var errCutShort = errors.New("the stream ended without its end")

// answer is what there is of it.
func (e *ending) answer() choice {
	if len(e.heard.choices) == 0 {
		return choice{}
	}
	return e.heard.choices[0]
}

func (e *ending) worker() string { return e.heard.header.Get("X-Maxrelay-Worker") }

func (e *ending) id() string { return e.heard.header.Get("X-Request-Id") }

func (e *ending) String() string {
	return fmt.Sprintf("%s at %s (worker %q, request %q): %s, %d %s; %+v", e.question, e.node.name, e.worker(), e.id(), e.how, e.heard.status, e.why, e.heard.err)
}
