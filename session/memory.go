package session

import "time"

// firstGuess is what a process is taken to need until one was measured. A spare of
// Claude Code 2.1.330 takes 84 to 98 MB.
const firstGuess = 100 << 20

// footprint is the memory of a process and of what it has started.
type footprint struct {
	total   int64 // pages that others map as well are divided among them, where the system tells
	private int64 // written by it alone; 0 where the system does not tell
}

// rhythm is how often the keeper looks at things that give no event.
type rhythm struct {
	tick      time.Duration // at the latest; the CLI's file is looked at no more often
	remeasure time.Duration // of a session that has had a turn since it was measured
	sweep     time.Duration // of everything else
	renew     time.Duration // between two idle sessions of a CLI that was replaced
}

// Reading the rollup of a process of 160 MB takes 3 to 6 ms, and holds the process up
// only where it maps memory at the same time. So it is not done in a turn, and not
// after each.
var defaultRhythm = rhythm{tick: 5 * time.Second, remeasure: 5 * time.Second, sweep: 30 * time.Second, renew: 2 * time.Second}

// estimate is the running mean of what spares took when they were first measured. It
// follows a new release of the CLI within some sixteen starts.
type estimate struct {
	mean, n int64
}

func (e *estimate) add(memory int64) {
	e.n = min(e.n+1, 16)
	e.mean += (memory - e.mean) / e.n
}

// measure looks at the processes that are due, without the mutex.
func (p *Pool) measure() {
	p.mu.Lock()
	due := p.unmeasuredLocked()
	p.mu.Unlock()
	if len(due) == 0 {
		return
	}
	pids := make([]int, len(due))
	for i, s := range due {
		pids[i] = s.cmd.Process.Pid
	}
	seen := p.cfg.memory(pids)
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range due {
		if f, ok := seen[pids[i]]; ok && !s.reaped {
			p.weighLocked(s, f)
		}
		s.measured = time.Now()
	}
	if !p.closed {
		p.shrinkLocked()
	}
}

func (p *Pool) unmeasuredLocked() (due []*session) {
	for s := range p.everyLocked() {
		age := time.Since(s.measured)
		if age >= p.cfg.rhythm.sweep || s.idleSince.After(s.measured) && age >= p.cfg.rhythm.remeasure {
			due = append(due, s)
		}
	}
	return due
}

func (p *Pool) weighLocked(s *session, f footprint) {
	if s.measured.IsZero() && s.key == "" {
		p.guess.add(f.total)
	}
	s.memory, s.private = f.total, f.private
	if _, idle := p.idle[s]; idle && p.bloated(s) {
		p.retireLocked(s, EndSize)
	}
}

// bloated says that a process has grown too large and that a new one would be smaller.
// The CLI does not give back what a conversation took when it is cut to empty. A
// process that has only ever held one conversation may need what it has, and its
// successor would come to need the same: ending it after each turn would replay that
// conversation for nothing. It stays, but is not begun anew with another.
func (p *Pool) bloated(s *session) bool {
	return s.private > p.cfg.MaxPrivate && s.conversations > 0
}
