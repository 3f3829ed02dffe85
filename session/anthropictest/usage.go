package anthropictest

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"maxrelay/session/anthropictest/wire"
)

// Usage is the token counts of one answer.
type Usage struct {
	InputTokens              int           `json:"input_tokens"`
	CacheCreationInputTokens int           `json:"cache_creation_input_tokens"`
	CacheReadInputTokens     int           `json:"cache_read_input_tokens"`
	CacheCreation            CacheCreation `json:"cache_creation"`
	OutputTokens             int           `json:"output_tokens"`
	ServiceTier              string        `json:"service_tier"`
}

// CacheCreation splits what was written to the cache by time to live.
type CacheCreation struct {
	Ephemeral5m int `json:"ephemeral_5m_input_tokens"`
	Ephemeral1h int `json:"ephemeral_1h_input_tokens"`
}

func (u Usage) with(output int) Usage {
	if u.OutputTokens == 0 {
		u.OutputTokens = output
	}
	return u
}

const (
	bytesPerToken = 4
	lookback      = 20      // blocks before a breakpoint in which the API looks for a known prefix
	maxPrefixes   = 1 << 16 // beyond that, prefixes are forgotten, whichever
)

// cache remembers prompt prefixes as the API does: those that ended in a cache_control, until their time to live has passed
// without use.
type cache struct {
	now       func() time.Time
	minTokens int

	mu       sync.Mutex
	prefixes map[prefix]lifetime
}

type (
	prefix   [sha256.Size]byte
	lifetime struct {
		ttl     time.Duration
		expires time.Time
	}
)

func newCache() *cache { return &cache{now: time.Now, prefixes: map[prefix]lifetime{}} }

// count is the usage of a prompt; its breakpoints are known from now on.
func (c *cache) count(body Body) Usage {
	places := chain(body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweepLocked()
	read, last := c.lookUpLocked(places), lastBreakpoint(places)
	u := Usage{CacheReadInputTokens: read, ServiceTier: "standard"}
	written := max(last.tokens-read, 0)
	if last.ttl == 0 || last.tokens < c.minTokens {
		written = 0
	}
	u.CacheCreationInputTokens = written
	if last.ttl == time.Hour {
		u.CacheCreation.Ephemeral1h = written
	} else {
		u.CacheCreation.Ephemeral5m = written
	}
	u.InputTokens = places[len(places)-1].tokens - read - written
	c.storeLocked(places)
	return u
}

// lookUpLocked finds the longest known prefix within reach of a breakpoint, and lets it live on.
func (c *cache) lookUpLocked(places []place) int {
	reach := 0
	for i := len(places) - 1; i >= 0; i-- {
		if places[i].ttl > 0 {
			reach = lookback + 1
		}
		if reach == 0 {
			continue
		}
		reach--
		if l, ok := c.prefixes[places[i].prefix]; ok {
			l.expires = c.now().Add(l.ttl)
			c.prefixes[places[i].prefix] = l
			return places[i].tokens
		}
	}
	return 0
}

func (c *cache) storeLocked(places []place) {
	for _, p := range places {
		if p.ttl == 0 || p.tokens < c.minTokens {
			continue
		}
		ttl := max(p.ttl, c.prefixes[p.prefix].ttl)
		c.prefixes[p.prefix] = lifetime{ttl, c.now().Add(ttl)}
	}
	for p := range c.prefixes {
		if len(c.prefixes) <= maxPrefixes {
			break
		}
		delete(c.prefixes, p)
	}
}

func (c *cache) sweepLocked() {
	now := c.now()
	for p, l := range c.prefixes {
		if !l.expires.After(now) {
			delete(c.prefixes, p)
		}
	}
}

// place is the end of a block in the prompt: everything up to it, and whether it is a breakpoint.
type place struct {
	prefix prefix
	tokens int
	ttl    time.Duration // 0: no breakpoint
}

func lastBreakpoint(places []place) place {
	for i := len(places) - 1; i >= 0; i-- {
		if places[i].ttl > 0 {
			return places[i]
		}
	}
	return place{}
}

// chain walks the prompt in the API's order, tools, system, messages, and hashes each prefix on top of the one before. Choice
// of tool and thinking belong to the messages: another choice makes them new, but not tools and system.
func chain(body Body) []place {
	var w walk
	w.mix([]byte(body.Model))
	for _, t := range body.Tools {
		w.step(wire.Block{Raw: t.Raw}.Canonical(), t.CacheControl)
	}
	w.mix([]byte("system"))
	for _, b := range body.System {
		w.step(b.Canonical(), b.CacheControl)
	}
	w.mix([]byte("messages"), body.Fields["tool_choice"], body.Fields["thinking"])
	for _, m := range body.Messages {
		w.mix([]byte(m.Role), wire.Canonical(m.Extra))
		for _, b := range m.Content {
			w.step(b.Canonical(), b.CacheControl)
		}
	}
	return append(w.places, place{prefix: w.at, tokens: w.bytes / bytesPerToken})
}

type walk struct {
	at     prefix
	bytes  int
	places []place
}

// mix adds to the prefix what is no block.
func (w *walk) mix(parts ...[]byte) {
	h := sha256.New()
	h.Write(w.at[:])
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(p))))
		h.Write(p)
	}
	w.at = prefix(h.Sum(nil))
}

func (w *walk) step(block []byte, cc *wire.CacheControl) {
	w.mix(block)
	w.bytes += len(block)
	w.places = append(w.places, place{w.at, w.bytes / bytesPerToken, ttl(cc)})
}

func ttl(cc *wire.CacheControl) time.Duration {
	switch {
	case cc == nil:
		return 0
	case cc.TTL == "1h":
		return time.Hour
	}
	return 5 * time.Minute
}

// estimate is the number of tokens of a prompt.
func estimate(body Body) int {
	places := chain(body)
	return places[len(places)-1].tokens
}
