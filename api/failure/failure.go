// Package failure turns what went wrong into what a client is told, by one table for each API.
package failure

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"maxrelay/session/chat"
)

// StatusClientClosed is what logs and records say of a client that left before it had
// an answer. Nobody receives it.
const StatusClientClosed = 499

// Case is how a kind of failure looks on the wire.
type Case struct {
	Status int
	Kind   string // the envelope's type
	Code   string // the envelope's code, where it has one; "" for null
	// Heals is the retry-after where the failure does not tell its own; 0 for
	// failures that waiting does not heal.
	Heals time.Duration
	// May says that it heals only when it tells when.
	May bool
	// Final asks the official SDKs, which retry every 429, not to.
	Final bool
}

// Table has a case for every code.
type Table map[chat.Code]Case

// Failure is an error ready to be sent.
type Failure struct {
	Status     int
	RetryAfter time.Duration // whole seconds for the retry-after header; 0: none
	Final      bool          // x-should-retry: false
	Code       string        // for logs and records; never ""
	Body       []byte        // the whole answer
	Event      []byte        // or the last event of a stream
}

// Of translates an error, but for its words on the wire. One that is no *chat.Error, or
// has an unknown code, is a fault of this program: its text is for the log, not for the
// client.
func (t Table) Of(err error) (Failure, Case, *chat.Error) {
	e, ok := errors.AsType[*chat.Error](err)
	if !ok {
		e = &chat.Error{Code: chat.CodeInternal, Message: "the server made a mistake; its log has the request id"}
	}
	if _, known := t[e.Code]; !known { // a worker's own, which is not to be a label of metrics
		e = &chat.Error{Code: chat.CodeInternal, Message: e.Message}
	}
	c := t[e.Code]
	return Failure{Status: c.Status, RetryAfter: c.retryAfter(e), Final: c.Final, Code: string(e.Code.Told())}, c, e
}

func (c Case) retryAfter(e *chat.Error) time.Duration {
	wait := c.Heals
	if e.RetryAfter > 0 && (c.May || c.Heals > 0) {
		wait = e.RetryAfter
	}
	if wait == 0 {
		return 0
	}
	return max(time.Second, (wait + time.Second - 1).Truncate(time.Second))
}

// SetHeaders sets the headers of a failure that is the whole answer.
func (f Failure) SetHeaders(h http.Header) {
	h.Set("Content-Type", "application/json")
	if f.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(f.RetryAfter.Seconds())))
	}
	if f.Final {
		h.Set("X-Should-Retry", "false")
	}
}
