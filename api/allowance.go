package api

import (
	"context"
	"math"
	"sync"

	"maxrelay/api/limit"
	"maxrelay/session/chat"
)

// allowance is the tokens that a request may use, and what of them is left. All answers
// to it draw on the one.
type allowance struct {
	ticket *limit.Ticket

	mu   sync.Mutex
	left int64 // of the reservation
	more int64 // that the request may use beyond the reservation; 0: it cannot outgrow it
	dry  bool  // when last asked, nothing more was left of the key's tokens
}

// ahead is how many tokens are left when more are reserved: a minute of an answer.
const ahead = limit.Growth / 4

// newAllowance is of a request whose answers are bounded by most, 0 for no bound.
func newAllowance(ticket *limit.Ticket, input, most int64) *allowance {
	held, limited := ticket.Reserved()
	a := &allowance{ticket: ticket, left: held - input}
	switch {
	case !limited:
	case most == 0:
		a.more = math.MaxInt64
	default:
		a.more = max(0, input+most-held)
	}
	return a
}

// spend takes n tokens, and reserves the next ones when few are left. It reports whether
// the answers may go on.
//
// Without the broker they may: they are not cut for its failure, and what they use is
// settled when it is back.
func (a *allowance) spend(ctx context.Context, n int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.left -= n
	if a.more == 0 || a.left > ahead || a.dry && a.left > 0 {
		return true
	}
	want := min(limit.Growth+max(0, -a.left), a.more) // many events may have come at once
	got, err := a.ticket.Grow(ctx, want)
	if err != nil {
		got = want
	}
	a.dry = got == 0
	a.left += got
	if a.more < math.MaxInt64 {
		a.more -= got
	}
	return a.left > 0 || a.more == 0
}

// spent is what the turn has used until now: by the upstream's counts as far as they are
// known, by the number of bytes else.
func (t *turn) spent() int64 {
	prompt := t.seen.PromptTokens()
	if prompt == 0 {
		prompt = t.reply.input
	}
	output := max(t.seen.OutputTokens, chat.EstimateBytes(t.said.Len()))
	if most := t.reply.q.chat.Params.MaxTokens; most > 0 {
		output = min(output, most)
	}
	return int64(t.former.Total() + prompt + output)
}

// spend draws on the allowance what the turn used since it last did. The prompt of the
// first attempt was taken out with the reservation.
func (t *turn) spend(ctx context.Context) bool {
	spent := t.spent()
	n := spent - t.drawn
	t.drawn = spent
	return t.reply.allowance.spend(ctx, n)
}

// cutShort ends an answer for which no tokens are left, like one that reached its bound.
// What its worker says until it stops counts and is not shown.
func (t *turn) cutShort(ctx context.Context) chat.Event {
	t.cut = true
	t.call.Cancel()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleWait)
	defer cancel()
	t.settle(ctx)
	if t.outcome == nil {
		t.outcome = &chat.Outcome{}
	}
	t.outcome.Error = nil
	return chat.Event{Type: chat.EventMessageDelta, StopReason: chat.StopMaxTokens}
}
