package anthropictest

import "strings"

// fit makes a reply obey the request as the model would: it thinks before a tool call if it must, and ends at a stop sequence
// or at max_tokens.
func fit(r Reply, body Body) Reply {
	if body.Thinking != nil && body.Thinking.Type == "enabled" && r.has("tool_use") && !r.has("thinking") {
		r.Parts = append(Think("Hm.").Parts, r.Parts...)
	}
	for _, stop := range body.StopSequences {
		r = r.stopAt(stop)
	}
	if body.MaxTokens > 0 && r.deltas() > body.MaxTokens {
		r = r.head(body.MaxTokens)
	}
	return r
}

// stopAt ends the reply in front of a stop sequence, if one of its text blocks has it.
func (r Reply) stopAt(stop string) Reply {
	for i, p := range r.Parts {
		at := strings.Index(strings.Join(p.Deltas, ""), stop)
		if p.Type != "text" || at < 0 {
			continue
		}
		p.Deltas = cutBytes(p.Deltas, at)
		r.Parts = append(r.Parts[:i:i], p)
		r.StopReason, r.StopSequence = "stop_sequence", stop
		return r
	}
	return r
}

func cutBytes(pieces []string, n int) []string {
	var out []string
	for _, p := range pieces {
		if n <= 0 {
			break
		}
		p = p[:min(len(p), n)]
		n -= len(p)
		out = append(out, p)
	}
	return out
}

// head is the reply's first n deltas, ended by max_tokens.
func (r Reply) head(n int) Reply {
	var parts []Part
	for _, p := range r.Parts {
		if n <= 0 {
			break
		}
		p.Deltas = p.Deltas[:min(len(p.Deltas), n)]
		n -= len(p.Deltas)
		parts = append(parts, p)
	}
	r.Parts = parts
	return r.WithStop("max_tokens")
}
