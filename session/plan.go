package session

import "maxrelay/session/chat"

// plan is how one process comes to hold a request's history.
type plan struct {
	keep   int  // leading messages that stay
	cut    bool // rewind to line keep first
	replay int  // messages to tell before the last one is asked
}

// planFor returns the plan for a request of chain F0…Fn on a process that holds r;
// ok is false when the process cannot serve it. A nil record is a fresh process.
func planFor(r *record, chain []chat.Fingerprint) (p plan, ok bool) {
	n := len(chain) - 1
	if r == nil {
		return plan{replay: n - 1}, true
	}
	if r.origin != chain[0] {
		return plan{}, false
	}
	p.keep = min(r.common(chain), n-1) // the last message is always asked
	if p.keep < len(r.entries) {
		p.cut = true
		if p.keep, ok = r.cutAt(p.keep); !ok {
			return plan{}, false
		}
	}
	p.replay = n - 1 - p.keep
	return p, true
}

// worth reports whether a process's plan saves something over a fresh process: it
// keeps a part of the conversation, or nothing has to be lost for it.
func (p plan) worth() bool { return p.keep > 0 || !p.cut }

// better reports whether p is to be preferred to q: less to replay, then no cut, which
// leaves other conversations alone.
func (p plan) better(q plan) bool {
	if p.replay != q.replay {
		return p.replay < q.replay
	}
	return !p.cut && q.cut
}

// kind is what the client is told of the plan.
func (p plan) kind() chat.Session {
	switch {
	case p.keep > 0 && !p.cut && p.replay == 0:
		return chat.SessionWarm
	case p.keep > 0:
		return chat.SessionRewound
	case p.replay > 0:
		return chat.SessionReplayed
	}
	return chat.SessionNew
}
