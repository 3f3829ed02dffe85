package usage

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"maxrelay/session/chat"
	"maxrelay/stats/projection"
	"maxrelay/stats/totals"
)

// query is what a client asks with. Its errors name the parameter and repeat nothing.
type query url.Values

func (q query) get(name string) string { return strings.TrimSpace(url.Values(q).Get(name)) }

// number reads a whole number between two others.
func (q query) number(name string, absent, least, most int) (int, error) {
	text := q.get(name)
	if text == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, chat.Invalid(name, "must be a whole number between %d and %d", least, most)
	}
	return n, nil
}

// word reads one of some words; the first is the default.
func (q query) word(name string, words ...string) (string, error) {
	text := q.get(name)
	if text == "" {
		return words[0], nil
	}
	if !slices.Contains(words, text) {
		return "", chat.Invalid(name, "must be one of %s", strings.Join(words, ", "))
	}
	return text, nil
}

// moments are the forms in which a moment can be written; without a zone it is UTC.
var moments = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04"}

// span reads two bounds, both included: days as a whole, moments as they are.
func (q query) span(from, to string) (s projection.Span, err error) {
	if s.From, _, err = q.moment(from); err != nil {
		return s, err
	}
	until, whole, err := q.moment(to)
	switch {
	case err != nil:
		return s, err
	case until.IsZero():
		return s, nil
	case whole:
		s.Until = until.AddDate(0, 0, 1)
	default:
		s.Until = until.Add(time.Millisecond) // the log has times to the millisecond
	}
	if !s.Until.After(s.From) {
		return s, chat.Invalid(to, "is before %s", from)
	}
	return s, nil
}

// ParseSpan reads two bounds as GET /api/usage does; "" does not bound.
func ParseSpan(from, to string) (projection.Span, error) {
	return query{"from": {from}, "to": {to}}.span("from", "to")
}

// moment reads a day, which is whole, or a moment.
func (q query) moment(name string) (at time.Time, whole bool, err error) {
	text := q.get(name)
	if text == "" {
		return time.Time{}, false, nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day, true, nil
	}
	for _, form := range moments {
		if at, err := time.Parse(form, text); err == nil {
			return at.UTC(), false, nil
		}
	}
	return time.Time{}, false, chat.Invalid(name, "must be a day like 2026-02-24 or a time like 2026-02-24T12:00:00Z")
}

// days reads two days, both included.
func (q query) days(from, to string) (first, last totals.Day, err error) {
	first, last = totals.Earliest, totals.Latest
	for _, bound := range []struct {
		name string
		into *totals.Day
	}{{from, &first}, {to, &last}} {
		text := q.get(bound.name)
		if text == "" {
			continue
		}
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return 0, 0, chat.Invalid(bound.name, "must be a day like 2026-02-24")
		}
		*bound.into = totals.DayOf(day)
	}
	if last < first {
		return 0, 0, chat.Invalid(to, "is before %s", from)
	}
	return first, last, nil
}
