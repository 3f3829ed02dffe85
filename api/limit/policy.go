package limit

import "maxrelay/api/key"

// Policy is what a configuration says of the limits of callers.
type Policy struct {
	Rate       Rate            // of the built-in key and of each static one
	Daily      int64           // tokens a day of those, 0: no quota
	Tiers      map[string]Rate // of managed keys
	Concurrent int             // requests of any key in flight on this node, 0: no limit
}

// Of returns the limits of a caller. A managed key whose tier is gone has the rate of
// static keys until it is given another tier.
func (p Policy) Of(who key.Identity) Limits {
	l := Limits{Rate: p.Rate, Tokens: p.Daily, Daily: true, Concurrent: p.Concurrent}
	if !who.Managed {
		return l
	}
	l.Tokens, l.Daily = who.TokenLimit, false
	if rate, known := p.Tiers[who.Tier]; known {
		l.Rate = rate
	}
	return l
}
