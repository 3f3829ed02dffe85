package session

import "time"

// Weigh has memory tell what each process takes, instead of the system.
func (c *Config) Weigh(memory func(pid int) (total, private int64)) {
	c.memory = func(pids []int) map[int]footprint {
		seen := make(map[int]footprint)
		for _, pid := range pids {
			total, private := memory(pid)
			seen[pid] = footprint{total, private}
		}
		return seen
	}
}

// Hurry makes the keeper look at everything each few milliseconds, and end an idle
// session of a replaced CLI every renew.
func (c *Config) Hurry(renew time.Duration) {
	c.rhythm = rhythm{tick: 5 * time.Millisecond, remeasure: time.Nanosecond, sweep: 5 * time.Millisecond, renew: renew}
}

// MeasureTree tells the memory of a process and its descendants.
func MeasureTree(pid int) (total, private int64) {
	f := measureTrees([]int{pid})[pid]
	return f.total, f.private
}

// Limit changes the MemoryLimit of a pool that starts nothing.
func (p *Pool) Limit(memory int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cfg.MemoryLimit = memory
}
