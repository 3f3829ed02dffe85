package anthropictest

import (
	"net/http"
	"time"

	"maxrelay/session/anthropictest/wire"
)

// Reads says what a request had from the prompt cache, in tokens.
type Reads struct {
	All   int // as the API counts
	Own   int // of these, what the caller said: tools, system prompt and conversation, without the CLI's additions
	Ideal int // what an ideal client would have had, all of it the caller's
}

// Ideal compares the reads of each answered request, in order, with those of an ideal client: one that puts the same tools,
// system prompt and conversation into plain calls of the Messages API, with a breakpoint behind the system prompt and one
// behind the last block, at the same times, with the same account.
func Ideal(requests []Request) []Reads {
	var now time.Time
	clock := func() time.Time { return now }
	real, ideal := newCache(), newCache()
	real.now, ideal.now = clock, clock
	var all []Reads
	for _, r := range requests {
		if r.Status != http.StatusOK || r.Body.Model == "" {
			continue
		}
		now = r.At
		had := real.hit(r, r.Body)
		all = append(all, Reads{All: had.tokens(), Own: had.ownTokens(), Ideal: ideal.hit(r, plain(r)).ownTokens()})
	}
	return all
}

// hit is where the known part of a prompt ends; its breakpoints are known from now on.
func (c *cache) hit(r Request, body Body) place {
	return c.use(chain(account(r.Header), body), c.min(body.Model))
}

// plain is what an ideal client sends for the same end.
func plain(r Request) Body {
	b := Body{Model: r.Body.Model, Tools: r.Body.Tools, Fields: r.Body.Fields}
	for _, block := range r.Body.System {
		if !isVendor(block.Text) {
			b.System = append(b.System, block)
		}
	}
	b.Messages = Conversation(r)
	mark(b.System)
	if n := len(b.Messages); n > 0 {
		mark(b.Messages[n-1].Content)
	}
	return b
}

func mark(blocks Content) {
	if n := len(blocks); n > 0 {
		blocks[n-1].CacheControl = &wire.CacheControl{Type: "ephemeral"}
	}
}
