package limit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// Config is the configuration of a Limiter. Zero fields take the defaults given here.
type Config struct {
	Node     string // name of this API node: letters, digits, - and _; required
	Replicas int    // copies of the streams in a cluster, 1
	Policy   Policy // until SetPolicy; no limits

	// Used finds out what a request of a dead node used; without it, or when it finds
	// nothing, that was nothing. An error makes it be asked again.
	Used func(context.Context, Abandoned) (tokens int64, found bool, err error)

	Window    time.Duration // longest period of a rate, 1 h
	RateWait  time.Duration // how long a request waits for its place in a window, 1 s; then see the package's comment
	QuotaWait time.Duration // how long a change of a counter is tried, 2 s
	Grace     time.Duration // how long a node must be silent before it is dead, 30 s
	Tick      time.Duration // pause between looks at other nodes and at the streams, 5 s

	Now func() time.Time // time.Now
}

// Abandoned is a reservation whose node is gone.
type Abandoned struct {
	Key     string
	Request string
	Node    string
	Since   time.Time // the broker's time of the reservation
}

func (c Config) withDefaults() Config {
	c.Replicas = cmp.Or(c.Replicas, 1)
	if c.Used == nil {
		c.Used = func(context.Context, Abandoned) (int64, bool, error) { return 0, false, nil }
	}
	c.Window = cmp.Or(c.Window, time.Hour)
	c.RateWait = cmp.Or(c.RateWait, time.Second)
	c.QuotaWait = cmp.Or(c.QuotaWait, 2*time.Second)
	c.Grace = cmp.Or(c.Grace, 30*time.Second)
	c.Tick = cmp.Or(c.Tick, 5*time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func (c Config) validate() error {
	if !isToken(c.Node) {
		return fmt.Errorf("limit: node name %q is not made of letters, digits, - and _", c.Node)
	}
	if min(c.Window, c.RateWait, c.QuotaWait, c.Grace, c.Tick) < 0 || c.Replicas < 1 {
		return errors.New("limit: a number is negative")
	}
	return nil
}

// Rate is how many requests a sliding window of that length may hold. The zero Rate
// has no limit.
type Rate struct {
	Requests int
	Period   time.Duration
}

// DefaultTiers are the tiers of managed keys.
var DefaultTiers = map[string]Rate{
	"basic":     {100, time.Minute},
	"premium":   {1000, time.Minute},
	"unlimited": {},
}

// Limits are what holds for one key.
type Limits struct {
	Rate       Rate
	Tokens     int64 // 0: no quota
	Daily      bool  // Tokens are there again at midnight UTC
	Concurrent int   // requests in flight on this node, 0: no limit
}

// CheckRate reports what is wrong with a configured rate.
func (c Config) CheckRate(r Rate) error {
	longest := c.withDefaults().Window
	switch {
	case r == Rate{}:
		return nil
	case r.Requests < 1 || r.Requests > maxRequests:
		return fmt.Errorf("a rate has 1 to %d requests", maxRequests)
	case r.Period < time.Second || r.Period > longest:
		return fmt.Errorf("a rate's period is 1s to %v", longest)
	}
	return nil
}

// maxRequests bounds what a window takes in memory, 8 bytes a request.
const maxRequests = 100_000

// maxToken bounds a subject's tokens: the broker keeps subjects in memory.
const maxToken = 128

func isToken(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return s != "" && len(s) <= maxToken
}
