package anthropictest

import (
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	window      = 20      // places the API looks at for a known prefix, the breakpoint's own the first of them
	maxPrefixes = 1 << 16 // beyond that, prefixes are forgotten, whichever
)

// cache remembers prompt prefixes as Anthropic's documentation of prompt caching has it: those that ended in a breakpoint, for
// each account on its own, until their time to live has passed without use.
type cache struct {
	now func() time.Time
	min func(model string) int // tokens below which a prefix is not kept

	mu       sync.Mutex
	prefixes map[prefix]lifetime
}

type lifetime struct {
	ttl     time.Duration
	expires time.Time
}

func newCache() *cache {
	return &cache{now: time.Now, min: minCacheTokens, prefixes: map[prefix]lifetime{}}
}

// minCacheTokens is the documented minimum. The models of a family that are not named have that of the family's newest that is.
func minCacheTokens(model string) int {
	for _, m := range []struct {
		prefix string
		tokens int
	}{
		{"claude-opus-4-5", 4096}, {"claude-opus-4-6", 4096}, {"claude-opus-4-7", 2048}, {"claude-opus-4", 1024}, {"claude-opus-", 512},
		{"claude-haiku-", 4096}, {"claude-fable-", 512}, {"claude-mythos-preview", 2048}, {"claude-mythos-", 512},
	} {
		if strings.HasPrefix(model, m.prefix) {
			return m.tokens
		}
	}
	return 1024
}

// account tells whose cache a request uses. The API goes by workspace, which a credential stands for.
func account(h http.Header) string { return h.Get("X-Api-Key") + "\x00" + h.Get("Authorization") }

// count is the usage of a prompt; its breakpoints are known from now on. It is to be called when the answer begins: not before
// that does the API keep a prefix.
func (c *cache) count(account string, body Body) Usage {
	places := chain(account, body)
	read := c.use(places, c.min(body.Model)).tokens()
	long, last := read, read // where what lives an hour ends, and what lives at all
	for _, p := range places {
		if p.ttl == 0 || p.tokens() < c.min(body.Model) {
			continue
		}
		last = max(last, p.tokens())
		if p.ttl == time.Hour {
			long = last
		}
	}
	return Usage{
		CacheReadInputTokens: read, CacheCreationInputTokens: last - read,
		CacheCreation: CacheCreation{Ephemeral1h: long - read, Ephemeral5m: last - long},
		InputTokens:   places[len(places)-1].tokens() - last,
		ServiceTier:   "standard",
	}
}

// use returns where the known part of a prompt ends, and keeps its breakpoints.
func (c *cache) use(places []place, least int) place {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	maps.DeleteFunc(c.prefixes, func(_ prefix, l lifetime) bool { return !l.expires.After(now) })
	hit := c.lookUpLocked(places)
	if l, ok := c.prefixes[hit.prefix]; ok {
		l.expires = now.Add(l.ttl)
		c.prefixes[hit.prefix] = l
	}
	c.storeLocked(places, least)
	return hit
}

// lookUpLocked finds the longest known prefix within the window of a breakpoint. A run of tool calls, or of their results,
// counts as one place.
func (c *cache) lookUpLocked(places []place) place {
	left := 0
	for i := len(places) - 1; i >= 0; i-- {
		p := places[i]
		if p.ttl > 0 {
			left = window
		} else if i+1 < len(places) && !places[i+1].run {
			left--
		}
		if left <= 0 {
			continue
		}
		if _, ok := c.prefixes[p.prefix]; ok {
			return p
		}
	}
	return place{}
}

func (c *cache) storeLocked(places []place, least int) {
	for _, p := range places {
		if p.ttl == 0 || p.tokens() < least {
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
