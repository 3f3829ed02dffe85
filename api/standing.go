package api

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"maxrelay/queue"
)

// standing tells where the first of the answers that still wait stands in the queue.
func (p *reply) standing() (queue.Standing, bool) {
	for _, t := range p.turns {
		if s, waits := t.call.Standing(); waits {
			return s, true
		}
	}
	return queue.Standing{}, false
}

// beat appends what shows the client of a silent stream that it lives, and why nothing
// comes yet. Clients of server-sent events skip the comment.
func (p *reply) beat(dst []byte) []byte {
	if s, waits := p.standing(); waits {
		dst = fmt.Appendf(dst, ": waiting for a worker, position %d, about %d s\n\n", s.Position, wholeSeconds(s.Estimate))
		return append(dst, p.x.speaks.still...)
	}
	return append(dst, p.x.speaks.beat...)
}

// unsee forgets who had the first answer when it waits again: their attempt failed.
func (p *reply) unsee() {
	if t := p.first.turn; t != nil && t.call != nil && t.call.Waits() {
		p.first = come{}
	}
}

// standingHeaders is for an answer whose status goes out before a worker has it.
func (p *reply) standingHeaders(h http.Header) {
	if p.first.attempt > 0 {
		return
	}
	if s, waits := p.standing(); waits {
		h.Set("X-Maxrelay-Queue-Position", strconv.Itoa(s.Position))
		h.Set("X-Maxrelay-Queue-Estimate-Ms", strconv.FormatInt(s.Estimate.Milliseconds(), 10))
	}
}

func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
