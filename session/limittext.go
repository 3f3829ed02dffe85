package session

import (
	"cmp"
	"regexp"
	"strconv"
	"strings"
	"time"

	"maxrelay/session/chat"
)

// sayings are how a CLI begins to say, where a model's answer would stand, that the
// account is out of use (Claude Code 2.1.330), and whether waiting helps. Only its own notices are asked: a
// model may write the same.
var sayings = []struct {
	begin string
	code  chat.Code
}{
	{"You've hit your ", chat.CodeUsageLimit},
	{"You've reached your ", chat.CodeUsageLimit},
	{"You're out of usage credits", chat.CodeUsageLimit},
	{"You're out of extra usage", chat.CodeUsageLimit},
	{"Claude AI usage limit reached", chat.CodeUsageLimit}, // older releases
	{"Your org is out of usage", chat.CodeAccount},
	{"Your seat type doesn't include ", chat.CodeAccount},
	{"Your usage allocation has been disabled", chat.CodeAccount},
	{"Your group's usage limit is set to $0", chat.CodeAccount},
	{"This service is disabled for your org", chat.CodeAccount},
}

// toldBy returns what a notice says in words alone, "" for nothing of the account's use.
func toldBy(text string) chat.Code {
	for _, s := range sayings {
		if !strings.HasPrefix(text, s.begin) {
			continue
		}
		if strings.HasSuffix(s.begin, "your ") && !strings.Contains(text, "limit") && !strings.Contains(text, "budget") {
			continue // it is something else that was hit
		}
		return s.code
	}
	return ""
}

// limitNames are the CLI's names for the windows.
var limitNames = map[string]string{
	"5-hour limit": "five_hour", "session limit": "five_hour", "weekly limit": "seven_day",
	"Opus limit": "seven_day_opus", "Sonnet limit": "seven_day_sonnet", "Fable limit": "seven_day_overage_included",
}

// reachedIn reads from the words of a notice which window is used up, as far as they tell.
func reachedIn(text string, now time.Time) Reached {
	window := ""
	for name := range limitNames {
		if strings.Contains(text, name) {
			window = limitNames[name]
		}
	}
	return reachedOf(window, resetIn(text, now))
}

var (
	// resetTime is "resets 10pm (UTC)", and with a day, "resets Nov 30, 10:30pm (Europe/Berlin)".
	resetTime = regexp.MustCompile(`resets (?:([A-Z][a-z]{2} \d{1,2})(?:, (\d{4}))?, )?(\d{1,2})(?::(\d{2}))?([ap]m) \(([A-Za-z0-9_+/-]+)\)`)
	// resetStamp is older releases'.
	resetStamp = regexp.MustCompile(`limit reached\|(\d{9,11})$`)
)

// resetIn returns when a limit resets by the words of a notice, zero if they do not tell.
func resetIn(text string, now time.Time) time.Time {
	if m := resetStamp.FindStringSubmatch(text); m != nil {
		seconds, _ := strconv.ParseInt(m[1], 10, 64) // so few digits fit
		return time.Unix(seconds, 0)
	}
	m := resetTime.FindStringSubmatch(text)
	if m == nil {
		return time.Time{}
	}
	day, year, hour, minute, half, place := m[1], m[2], m[3], cmp.Or(m[4], "00"), m[5], m[6]
	zone, err := time.LoadLocation(place)
	if err != nil {
		return time.Time{}
	}
	today := now.In(zone)
	named := cmp.Or(day, today.Format("Jan 2")) + " " + cmp.Or(year, today.Format("2006"))
	at, err := time.ParseInLocation("Jan 2 2006 3:04pm", named+" "+hour+":"+minute+half, zone)
	if err != nil {
		return time.Time{}
	}
	if day == "" && !at.After(now) { // a time without a day is the next of that name
		at = at.AddDate(0, 0, 1)
	}
	return at
}
