package queue

import "slices"

// maxUnclaimed is how many shared tickets of one key and node may wait at the broker. The others wait in the key's
// line and each claim lets the next one out, behind the tickets of other keys: a key with 4,000 jobs delayed five
// others by 33 ms instead of 4.3 s.
const maxUnclaimed = 4

type lineID struct{ pool, key string }

// line holds the waiting calls of one key in one pool. Its bound is OwnerConfig.MaxWaitingPerKey, kept by Submit.
type line struct {
	waiting   int // in any waiting phase
	unclaimed int // with a shared ticket out
	calls     []*Call
}

func (l *line) push(c *Call, front bool) {
	if front {
		l.calls = slices.Insert(l.calls, 0, c)
	} else {
		l.calls = append(l.calls, c)
	}
}

func (l *line) pop() *Call {
	c := l.calls[0]
	l.calls = slices.Delete(l.calls, 0, 1)
	return c
}

func (l *line) remove(c *Call) {
	if i := slices.Index(l.calls, c); i >= 0 {
		l.calls = slices.Delete(l.calls, i, i+1)
	}
}

func (o *Owner) lineLocked(id lineID) *line {
	l := o.lines[id]
	if l == nil {
		l = &line{}
		o.lines[id] = l
	}
	return l
}

// releaseLocked lets calls out of a line as far as their tickets are allowed.
func (o *Owner) releaseLocked(l *line) {
	for l.unclaimed < maxUnclaimed && len(l.calls) > 0 {
		c := l.pop()
		o.publishLocked(o.placeLocked(c, true))
	}
}
