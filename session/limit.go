package session

import (
	"maps"
	"slices"
	"strings"
	"time"

	"maxrelay/session/chat"
)

// Limits is what a CLI said of its account's usage windows. It says nothing of an account
// that has none, such as an API key's.
type Limits struct {
	Windows []Window // those it told of, by name
	Reached *Reached // nil: the account may be used
}

// Window is a span of time in which an account has a certain amount of use.
type Window struct {
	Name   string    // in the CLI's words: five_hour, seven_day, …
	Family string    // whose models alone it counts, like opus; "": all models
	Used   float64   // 1 is all of it
	Resets time.Time // zero: not told
}

// Reached is a window that is used up: the account is refused until it resets.
type Reached struct {
	Window string    // "": not told
	Family string    // whose models alone are refused; "": all models
	Resets time.Time // zero: not told
}

// families are the models of windows that count some only (Claude Code 2.1.330 calls the last one the
// Fable limit).
var families = map[string]string{"seven_day_opus": "opus", "seven_day_sonnet": "sonnet", "seven_day_overage_included": "fable"}

// rateLimit is what the CLI says of its account's usage windows. The status is the
// account's: a window may be rejected while its owner pays for more use.
type rateLimit struct {
	Status   string  `json:"status"`
	ResetsAt int64   `json:"resetsAt"` // Unix seconds; 0 when no window was named
	Type     string  `json:"rateLimitType"`
	Used     float64 `json:"utilization"`

	Windows map[string]window `json:"unifiedWindows"`
}

type window struct {
	Status   string  `json:"status"`
	ResetsAt int64   `json:"resetsAt"`
	Used     float64 `json:"utilization"`
}

func (l rateLimit) limits() (all Limits) {
	told := maps.Clone(l.Windows)
	if told == nil {
		told = make(map[string]window)
	}
	if _, twice := told[l.Type]; !twice && l.Type != "" && l.Used > 0 {
		told[l.Type] = window{ResetsAt: l.ResetsAt, Used: l.Used}
	}
	for _, name := range slices.Sorted(maps.Keys(told)) {
		all.Windows = append(all.Windows, Window{name, families[name], told[name].Used, unix(told[name].ResetsAt)})
	}
	if l.usedUp() {
		r := reachedOf(l.Type, unix(l.ResetsAt))
		all.Reached = &r
	}
	return all
}

func reachedOf(window string, resets time.Time) Reached {
	return Reached{window, families[window], resets}
}

// unix leaves out the year 1970, which stands for no time.
func unix(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// usedUp tells a used-up window from a plain rate limit. Of a subscription Claude Code 2.1.330 calls both
// "rejected", but a plain limit has no reset, or names a window that itself still allows.
func (l rateLimit) usedUp() bool { return l.Status == "rejected" && l.ResetsAt != 0 && !l.allows() }

func (l rateLimit) allows() bool { return strings.HasPrefix(l.Windows[l.Type].Status, "allowed") }

// limitCode tells a used-up window of the account from a plain rate limit. A plain
// limit's retry-after cannot be had: the CLI tells it only, and then with jitter, of
// retries it makes itself.
func limitCode(n notice, event rateLimit) chat.Code {
	l := event
	if l.Status == "" {
		l = n.limit
	}
	switch told := toldBy(n.text); {
	case l.allows():
		return chat.CodeRateLimited
	case n.kind == "usage_limit_reached" || l.usedUp():
		return chat.CodeUsageLimit
	case told != "":
		return told
	}
	return chat.CodeRateLimited
}

// reached is what is known of the window that is used up.
func reached(n notice, event rateLimit) Reached {
	for _, l := range []rateLimit{event, n.limit} {
		if l.usedUp() {
			return reachedOf(l.Type, unix(l.ResetsAt))
		}
	}
	return reachedIn(n.text, time.Now())
}

// left is 0 when the reset is not known.
func (r Reached) left() time.Duration {
	if r.Resets.IsZero() {
		return 0
	}
	return max(time.Until(r.Resets), time.Second)
}
