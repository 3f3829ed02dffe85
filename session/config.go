package session

import (
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

	MaxSessions       int // processes of this pool, spares included; default 8
	MaxSessionsPerKey int // sessions one API key may hold before its own idle ones go; default half of MaxSessions
	Spares            int // processes kept ready for new conversations; default 0
	MaxConversations  int // cuts to empty after which a process is replaced; default 50

	IdleTTL          time.Duration // an unused session's life; default 10 min
	StartTimeout     time.Duration // spawn to the first answer on stdio; default 10 s
	FirstByteTimeout time.Duration // user line to the model's first event; default 120 s
	IdleTimeout      time.Duration // silence between two events; default 300 s
	TurnTimeout      time.Duration // a whole turn; default 30 min

	// Changed is told what each process holds whenever that changes, in order, from
	// the goroutine that changed it. It must not block. May be nil.
	Changed func(Holding)
}

// Holding is what one process holds, as the directory of a fleet needs to know it.
type Holding struct {
	Process string             // stands for the process; unique within the pool
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
	def(&c.MaxSessions, 8)
	def(&c.MaxSessionsPerKey, max(1, c.MaxSessions/2))
	def(&c.MaxConversations, 50)
	defTime(&c.IdleTTL, 10*time.Minute)
	defTime(&c.StartTimeout, 10*time.Second)
	defTime(&c.FirstByteTimeout, 120*time.Second)
	defTime(&c.IdleTimeout, 300*time.Second)
	defTime(&c.TurnTimeout, 30*time.Minute)
	if c.Changed == nil {
		c.Changed = func(Holding) {}
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.MaxSessions < 1:
		return fmt.Errorf("max sessions must be at least 1, not %d", c.MaxSessions)
	case c.Spares < 0 || c.Spares > c.MaxSessions:
		return fmt.Errorf("spares must be between 0 and max sessions (%d), not %d", c.MaxSessions, c.Spares)
	}
	return nil
}
