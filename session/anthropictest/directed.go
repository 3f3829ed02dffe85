package anthropictest

import (
	"encoding/json"
	"strings"
	"time"

	"maxrelay/session/anthropictest/directive"
	"maxrelay/session/anthropictest/wire"
)

// Bounds on what a prompt can order, since a demonstration is open to whoever reaches it.
const (
	maxTokensOrdered = 1_000_000
	maxBytesOrdered  = 64 << 20
	maxDelayOrdered  = time.Minute
)

// directed builds the reply that the last user text asks for, if it has directives.
func directed(conversation []Message) (Reply, bool) {
	found := directive.Parse(wire.LastUserText(conversation))
	var r Reply
	known := false
	for _, d := range found {
		known = r.obey(d, conversation) || known
	}
	if known && r.Error == nil && len(r.Parts) == 0 {
		r.Parts = Text(8, 0).Parts
	}
	return r, known
}

// obey applies one directive and reports whether it is one of the fake API's.
func (r *Reply) obey(d directive.Directive, conversation []Message) bool {
	if delay := d.Delay(); delay > 0 {
		r.Delay = min(delay, maxDelayOrdered)
	}
	switch d.Name {
	case "echo":
		*r = r.Then(Echo(conversation))
	case "tokens":
		*r = r.Then(Text(min(d.Int(0, 8), maxTokensOrdered), 0))
	case "think":
		*r = r.Then(Think(tokens(min(d.Int(0, 3), maxTokensOrdered))...))
	case "tool":
		if !json.Valid([]byte(d.Arg(1))) {
			return false
		}
		*r = r.Then(ToolUse(d.Arg(0), d.Arg(1)))
	case "huge":
		*r = r.Then(Say(strings.Repeat("x", min(d.Int(0, 1<<20), maxBytesOrdered))))
	case "status":
		*r = Status(min(max(d.Int(0, 500), 400), 599), "", "ordered by a directive")
	case "refuse":
		*r = r.Then(Refuse())
	case "max_tokens":
		r.StopReason = "max_tokens"
	case "lost":
		*r = r.Broken(FaultEOF, d.After(BeforeHeaders))
	case "hang":
		*r = r.Broken(FaultStall, d.After(BeforeHeaders))
	default:
		return false
	}
	return true
}

// Echo answers with the digest of a conversation and the head of its last user text, so that a test can tell which one was seen.
func Echo(conversation []Message) Reply {
	digest, head, _ := strings.Cut(wire.Echo(conversation), " ")
	return Say(digest, " ", head)
}
