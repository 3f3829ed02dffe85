package chat

import "errors"

// Bounds of what a worker may say of an answer, whose counts are summed and whose words become headers and
// records.
const (
	maxCount = 1 << 30 // tokens of one kind in one turn: a thousand times what a model reads
	maxModel = 256     // bytes of its name
)

var errNonsense = errors.New("a worker says what no honest one would")

func (e *Event) check() error {
	if !e.Session.known() || len(e.Model) > maxModel || e.Usage != nil && !e.Usage.sane() {
		return errNonsense
	}
	return nil
}

func (o *Outcome) check() error {
	if !o.Session.known() || len(o.Upstream) > maxModel || !o.Usage.sane() {
		return errNonsense
	}
	return nil
}

// known takes none, too.
func (s Session) known() bool {
	switch s {
	case "", SessionWarm, SessionRewound, SessionReplayed, SessionNew:
		return true
	}
	return false
}

func (u Usage) sane() bool {
	for _, n := range []int{u.InputTokens, u.OutputTokens, u.CacheReadTokens, u.CacheWriteTokens, u.ThinkingTokens} {
		if n < 0 || n > maxCount {
			return false
		}
	}
	return true
}
