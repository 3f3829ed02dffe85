package session

// Ending is why a process ended.
type Ending int

// The endings. Those at Close are not counted.
const (
	EndTTL      Ending = iota // nobody used it for IdleTTL
	EndMemory                 // the pool needed its memory
	EndSessions               // the pool needed its place
	EndKey                    // its API key held more than its share
	EndSize                   // it had grown above MaxPrivate
	EndUses                   // it had held MaxConversations
	EndOutdated               // its CLI was replaced
	EndDied                   // it ended by itself
	EndFailed                 // it was killed, because it hung or nobody knew what it held
	endingKinds
)

func (e Ending) String() string {
	return [endingKinds]string{"ttl", "memory", "sessions", "key", "size", "uses", "outdated", "died", "failed"}[e]
}

// counts is what a pool has seen so far. Guarded by its mutex.
type counts struct {
	starts, failedStarts uint64
	ended                [endingKinds]uint64
}

// Stats is a snapshot of the pool.
type Stats struct {
	Spares, Idle, Busy, Starting, Stopping int // living processes; together at most MaxSessions
	Waiting                                int // turns that wait for one

	Memory  int64  // bytes of all processes, as last measured
	Version string // of the CLI that new processes run; "" until the first has started
	Refused string // why the CLI at Config.Path is not used; "" if it is

	Starts, FailedStarts uint64
	Ended                [endingKinds]uint64 // by Ending
}

// Stats says how the pool is.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return Stats{
		Spares: len(p.spares), Idle: len(p.idle), Busy: len(p.busy), Starting: len(p.starts), Stopping: len(p.stopping),
		Waiting: len(p.waiting),
		Memory:  p.memoryLocked(atOnce), Version: p.renewal.current.version, Refused: p.renewal.refusal(),
		Starts: p.count.starts, FailedStarts: p.count.failedStarts, Ended: p.count.ended,
	}
}
