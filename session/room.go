package session

import "iter"

// moment says what roomLocked and its like are asked about.
type moment int

const (
	atOnce     moment = iota // those being stopped still count
	afterStops               // as if they were gone already
)

// roomLocked reports whether one more process may be alive, by number and by memory.
// Whatever the limit, one always may: a pool without any process serves nobody.
func (p *Pool) roomLocked(when moment) bool {
	n := p.sizeLocked(when)
	return n == 0 || n < p.cfg.MaxSessions && p.within(p.memoryLocked(when)+p.guess.mean)
}

// affordLocked reports whether memory has room for a process that nobody waits for, and
// some more: else it would have to go again as soon as it is measured.
func (p *Pool) affordLocked() bool { return p.within(p.memoryLocked(atOnce) + 2*p.guess.mean) }

func (p *Pool) within(memory int64) bool {
	return p.cfg.MemoryLimit == 0 || memory <= p.cfg.MemoryLimit
}

func (p *Pool) sizeLocked(when moment) int {
	n := len(p.spares) + len(p.idle) + len(p.busy) + len(p.starts)
	if when == atOnce {
		n += len(p.stopping)
	}
	return n
}

// memoryLocked is what all processes take: as last measured, or as guessed.
func (p *Pool) memoryLocked(when moment) int64 {
	sum := int64(len(p.starts)) * p.guess.mean
	for s := range p.everyLocked() {
		if _, stopping := p.stopping[s]; !stopping || when == atOnce {
			sum += s.memory
		}
	}
	return sum
}

// everyLocked goes over all processes that are started and not yet reaped.
func (p *Pool) everyLocked() iter.Seq[*session] {
	return func(yield func(*session) bool) {
		for _, s := range p.spares {
			if !yield(s) {
				return
			}
		}
		for _, set := range []map[*session]struct{}{p.idle, p.busy, p.stopping} {
			for s := range set {
				if !yield(s) {
					return
				}
			}
		}
	}
}

// spendLocked stops an idle session to make room for a turn of key, if there is one: a
// key that has its share already pays itself.
func (p *Pool) spendLocked(key string) bool {
	if p.heldByLocked(key) >= p.cfg.MaxSessionsPerKey && p.retireIdleLocked(EndKey, func(s *session) bool { return s.key == key }) {
		return true
	}
	why := EndMemory
	if p.sizeLocked(afterStops) >= p.cfg.MaxSessions {
		why = EndSessions
	}
	return p.retireIdleLocked(why, anyone)
}

func anyone(*session) bool { return true }

// retireIdleLocked stops the longest idle of the sessions that match, if there is one.
func (p *Pool) retireIdleLocked(why Ending, match func(*session) bool) bool {
	var oldest *session
	for s := range p.idle {
		if match(s) && (oldest == nil || s.idleSince.Before(oldest.idleSince)) {
			oldest = s
		}
	}
	if oldest == nil {
		return false
	}
	p.retireLocked(oldest, why)
	return true
}

// trimLocked holds a key to what may be kept for it. Its busy sessions do not count:
// one key alone may use every process while its turns run.
func (p *Pool) trimLocked(key string) {
	for p.keptByLocked(key) > p.cfg.MaxSessionsPerKey {
		p.retireIdleLocked(EndKey, func(s *session) bool { return s.key == key })
	}
}

// shrinkLocked brings the pool back under its memory limit as far as nobody suffers:
// what is idle goes, then spares, and never the last process.
func (p *Pool) shrinkLocked() {
	for p.sizeLocked(afterStops) > 1 && !p.within(p.memoryLocked(afterStops)) {
		if p.retireIdleLocked(EndMemory, anyone) {
			continue
		}
		if len(p.spares) == 0 {
			return
		}
		p.retireSpareLocked(0, EndMemory)
	}
}

func (p *Pool) retireSpareLocked(i int, why Ending) {
	s := p.spares[i]
	p.spares = without(p.spares, s)
	p.retireLocked(s, why)
}

func (p *Pool) keptByLocked(key string) int { return countKey(p.idle, key) }

func (p *Pool) heldByLocked(key string) int { return countKey(p.idle, key) + countKey(p.busy, key) }

func countKey(sessions map[*session]struct{}, key string) (n int) {
	for s := range sessions {
		if s.key == key {
			n++
		}
	}
	return n
}
