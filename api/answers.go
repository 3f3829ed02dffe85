package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"maxrelay/queue"
	"maxrelay/session/chat"
)

const (
	// maxAnswers bounds the bytes of all answers that are kept. When a new byte finds
	// no room, the oldest whole answers are forgotten; when there is none, the answer
	// that wants to grow is given up.
	maxAnswers = 128 << 20
	// answerOverhead is what an answer takes besides its bytes.
	answerOverhead = 1 << 10
)

var errNoRoom = errors.New("no room to keep the answer")

// answers are those that a client may ask for again. One mutex guards the table and
// all answers in it: their bytes come in pieces of some hundred and are few.
type answers struct {
	mu    sync.Mutex
	max   int64
	size  int64
	named map[string]*answer
	whole []*answer // finished ones, oldest first
	now   func() time.Time
}

func newAnswers(limit int64) *answers {
	return &answers{max: limit, named: make(map[string]*answer), now: time.Now}
}

// answer is the response to a named request, as it grows. It is the ResponseWriter of
// who makes it, and is copied to everybody who waits for it.
type answer struct {
	table  *answers
	name   string
	asked  [32]byte // digest of the request's body
	cancel context.CancelCauseFunc
	header http.Header // the maker's until the status is set, then nobody's to write

	// Guarded by table.mu.
	status  int
	body    []byte
	code    string // what went wrong
	done    bool
	broken  bool          // there was no room for all of it
	readers int           // requests that wait for it
	changed chan struct{} // closed and replaced when it grows
	expires time.Time
}

// join returns the answer of that name; made says that it is new and to be made. It is
// nil when the name stands for another request, or when there is no room.
func (t *answers) join(name string, asked [32]byte) (a *answer, made bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.expireLocked()
	if a := t.named[name]; a != nil && (!a.done || t.now().Before(a.expires)) {
		if a.asked != asked {
			return nil, false, errReused
		}
		a.readers++
		return a, false, nil
	}
	if !t.roomLocked(answerOverhead) {
		return nil, false, errNoRoom
	}
	a = &answer{table: t, name: name, asked: asked, header: make(http.Header), readers: 1,
		changed: make(chan struct{}), expires: t.now().Add(queue.MarkTTL)}
	t.named[name] = a
	t.size += answerOverhead
	return a, true, nil
}

// leave says that a request does not wait any more. The last one to leave an
// unfinished answer ends it.
func (t *answers) leave(a *answer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.readers--
	if a.readers == 0 && !a.done {
		t.forgetLocked(a)
		a.cancel(errAbandoned)
	}
}

// finish ends an answer and reports whether its name stands for anything still.
func (t *answers) finish(a *answer, code string) (kept bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.done, a.code = true, code
	a.grewLocked()
	if a.status == http.StatusOK && code == "" && !a.broken && t.named[a.name] == a {
		t.whole = append(t.whole, a)
		return true
	}
	t.forgetLocked(a)
	return t.named[a.name] != nil
}

// forgetLocked takes an answer's name away. Those who wait for it keep it.
func (t *answers) forgetLocked(a *answer) {
	if t.named[a.name] == a {
		delete(t.named, a.name)
		t.size -= answerOverhead + int64(len(a.body))
	}
}

func (t *answers) expireLocked() {
	for len(t.whole) > 0 && !t.now().Before(t.whole[0].expires) {
		t.dropOldestLocked()
	}
}

func (t *answers) dropOldestLocked() {
	t.forgetLocked(t.whole[0])
	t.whole[0] = nil
	t.whole = t.whole[1:]
}

func (t *answers) roomLocked(n int64) bool {
	for t.size+n > t.max && len(t.whole) > 0 {
		t.dropOldestLocked()
	}
	return t.size+n <= t.max
}

// Header is for who makes the answer.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader is for who makes the answer.
func (a *answer) WriteHeader(status int) {
	a.table.mu.Lock()
	defer a.table.mu.Unlock()
	a.status = status
	a.grewLocked()
}

// Write is for who makes the answer. One that nobody waits for any more is not kept.
func (a *answer) Write(p []byte) (int, error) {
	t := a.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.named[a.name] != a {
		return 0, errAbandoned
	}
	if !t.roomLocked(int64(len(p))) {
		a.broken = true
		return 0, errNoRoom
	}
	a.body = append(a.body, p...)
	t.size += int64(len(p))
	a.grewLocked()
	return len(p), nil
}

// Flush does nothing: what is written is there for everybody at once.
func (a *answer) Flush() {}

func (a *answer) grewLocked() {
	close(a.changed)
	a.changed = make(chan struct{})
}

// grown is what a reader sees of an answer at one moment.
type grown struct {
	status  int
	rest    []byte // behind what the reader has
	code    string
	done    bool
	broken  bool
	changed <-chan struct{}
}

func (a *answer) after(at int) grown {
	a.table.mu.Lock()
	defer a.table.mu.Unlock()
	return grown{a.status, a.body[at:], a.code, a.done, a.broken, a.changed}
}

// copyTo gives the answer to one client, from its beginning and as it grows.
func (a *answer) copyTo(ctx context.Context, x *exchange) {
	for at := 0; ; {
		g := a.after(at)
		if len(g.rest) > 0 {
			if err := a.copyPart(x, g); err != nil {
				x.code = string(chat.CodeCancelled)
				return
			}
			at += len(g.rest)
			continue
		}
		if g.done {
			a.copyEnd(x, g)
			return
		}
		select {
		case <-g.changed:
		case <-ctx.Done():
			x.code = string(chat.CodeCancelled)
			return
		}
	}
}

func (a *answer) copyPart(x *exchange, g grown) error {
	if x.status == 0 {
		for name, values := range a.header {
			if x.Header()[name] == nil { // where this request's key stands, it knows itself
				x.Header()[name] = values
			}
		}
		x.streamed = strings.HasPrefix(a.header.Get("Content-Type"), "text/event-stream")
		x.WriteHeader(g.status)
	}
	if x.streamed {
		return x.send(g.rest)
	}
	_, err := x.Write(g.rest)
	return err
}

// copyEnd tells how the answer ended, as far as its bytes do not.
func (a *answer) copyEnd(x *exchange, g grown) {
	x.code = g.code
	if !g.broken {
		return
	}
	err := &chat.Error{Code: chat.CodeQueueFull, Message: "too many answers are being kept for this one to fit: ask again without an Idempotency-Key"}
	if x.streamed {
		x.failStream(err)
	} else {
		x.fail(err)
	}
}
