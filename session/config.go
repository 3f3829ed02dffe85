package session

import (
	"context"
	"fmt"
	"time"

	"maxrelay/session/chat"
)

// Config says how processes are started and how many are kept. Zero values mean the
// defaults named at each field.
type Config struct {
	Path  string   // the claude executable; default "claude", looked up on PATH
	Env   []string // the child's complete environment, see Environ
	Cwd   string   // the child's working directory; the model is told its path
	Model string   // what spares are started with; default "sonnet"

	CacheTTL       string // how long the upstream keeps a cached prompt, "5m" or "1h"; default "5m"
	MinCacheTokens int    // prompts estimated shorter are sent uncached; default 1024

	MaxSessions int // processes of this pool, spares and those that start or stop included; default 8
	Spares      int // processes kept ready for new conversations, while there is room for them; default 0

	// MaxSessionsPerKey is how many idle sessions are kept for one API key; above it
	// the key's longest idle go. It bounds what is kept, not what runs: one key alone
	// may use every process for its turns. Default half of MaxSessions.
	MaxSessionsPerKey int

	// MemoryLimit is for all processes together, in bytes: above it idle sessions go,
	// then spares, and no process is started that would exceed it. Turns that run are
	// never ended for it. 0 sets no limit.
	MemoryLimit int64

	MaxConversations int   // cuts to empty after which a process is replaced; default 50
	MaxPrivate       int64 // bytes of its own after which a process is not begun anew with another conversation, and ends after its turn if it ever was; default 200 MB

	IdleTTL          time.Duration // an unused session's life; default 10 min
	StartTimeout     time.Duration // spawn to the first answer on stdio; default 10 s
	FirstByteTimeout time.Duration // user line to the model's first event; default 120 s
	IdleTimeout      time.Duration // silence between two events; default 300 s
	TurnTimeout      time.Duration // a whole turn; default 30 min

	// Vet is asked once for each CLI, by file and version, before its first process
	// serves; it may be one that was installed while the pool runs. While it fails the
	// pool goes on with what it has. It may start processes of its own, and ends with
	// ctx. Default: every CLI is good.
	Vet func(ctx context.Context, version string) error

	// Changed is told what each process holds whenever that changes, in order, from
	// the goroutine that changed it. It must not block. May be nil.
	Changed func(Holding)

	// Limits is told what a CLI says of its account's usage windows, whenever it says
	// something, from the goroutine of a turn. It must not block. May be nil.
	Limits func(Limits)

	memory func(pids []int) map[int]footprint // default measureTrees
	rhythm rhythm                             // default defaultRhythm
}

// Holding is what one process holds, as the directory of a fleet needs to know it.
type Holding struct {
	Process string             // stands for the process; unique within the pool
	Key     string             // API key id of its tenant
	Chain   []chat.Fingerprint // F1…Fk, shortest first
	Busy    bool
	Gone    bool // the process is dead; Chain is empty
}

func (c Config) withDefaults() Config {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	defTime := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	if c.Path == "" {
		c.Path = "claude"
	}
	if c.Model == "" {
		c.Model = "sonnet"
	}
	if c.CacheTTL == "" {
		c.CacheTTL = "5m"
	}
	def(&c.MinCacheTokens, 1024)
	def(&c.MaxSessions, 8)
	def(&c.MaxSessionsPerKey, max(1, c.MaxSessions/2))
	def(&c.MaxConversations, 50)
	if c.MaxPrivate == 0 {
		c.MaxPrivate = 200 << 20
	}
	defTime(&c.IdleTTL, 10*time.Minute)
	defTime(&c.StartTimeout, 10*time.Second)
	defTime(&c.FirstByteTimeout, 120*time.Second)
	defTime(&c.IdleTimeout, 300*time.Second)
	defTime(&c.TurnTimeout, 30*time.Minute)
	if c.Changed == nil {
		c.Changed = func(Holding) {}
	}
	if c.Limits == nil {
		c.Limits = func(Limits) {}
	}
	if c.Vet == nil {
		c.Vet = func(context.Context, string) error { return nil }
	}
	if c.memory == nil {
		c.memory = measureTrees
	}
	if c.rhythm == (rhythm{}) {
		c.rhythm = defaultRhythm
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.MaxSessions < 1:
		return fmt.Errorf("max sessions must be at least 1, not %d", c.MaxSessions)
	case c.MaxSessionsPerKey < 1:
		return fmt.Errorf("max sessions per key must be at least 1, not %d", c.MaxSessionsPerKey)
	case c.MemoryLimit < 0 || c.MaxPrivate < 0:
		return fmt.Errorf("limits of memory must not be negative")
	case c.Spares < 0 || c.Spares > c.MaxSessions:
		return fmt.Errorf("spares must be between 0 and max sessions (%d), not %d", c.MaxSessions, c.Spares)
	case c.CacheTTL != "5m" && c.CacheTTL != "1h":
		return fmt.Errorf("cached prompts live for 5m or 1h, not %q", c.CacheTTL)
	}
	return nil
}
