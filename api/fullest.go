package api

import (
	"cmp"
	"slices"

	"maxrelay/api/key"
)

// quota is how full a key's token quota is.
type quota struct {
	key   string // its name
	ratio float64
}

// maxQuotas bounds the series of quotas. The fullest are told: those are looked for.
const maxQuotas = 100

// fullest returns the fullest quotas of the callers that have one, each name once.
func (s *Server) fullest(callers []key.Identity) []quota {
	var all []quota
	for _, who := range callers {
		if l := s.limits.LimitsOf(who); l.Tokens > 0 {
			all = append(all, quota{who.Name, float64(s.limits.Tokens(who.ID, l.Daily)) / float64(l.Tokens)})
		}
	}
	return leading(all)
}

func leading(all []quota) []quota {
	slices.SortFunc(all, func(a, b quota) int { return cmp.Or(cmp.Compare(b.ratio, a.ratio), cmp.Compare(a.key, b.key)) })
	told := make(map[string]bool)
	all = slices.DeleteFunc(all, func(q quota) bool {
		again := told[q.key]
		told[q.key] = true
		return again
	})
	return all[:min(len(all), maxQuotas)]
}

// withKeys counts the callers that have a key.
func withKeys(callers []key.Identity) (n int) {
	for _, who := range callers {
		if who.ID != key.Local {
			n++
		}
	}
	return n
}
