package projection

import (
	"math"
	"time"

	"maxrelay/stats/totals"
)

// Span is a stretch of time: From is in it, Until is not. A zero time does not bound it.
type Span struct{ From, Until time.Time }

// millis are the span's bounds as the log has times.
func (s Span) millis() (from, until int64) {
	from, until = math.MinInt64, math.MaxInt64
	if !s.From.IsZero() {
		from = ceilMilli(s.From)
	}
	if !s.Until.IsZero() {
		until = ceilMilli(s.Until)
	}
	return from, until
}

// ceilMilli makes t >= bound mean the same for whole milliseconds.
func ceilMilli(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	return ms
}

// days are from one to another, both included; none when To is before From.
type days struct{ From, To totals.Day }

// split divides a span into the days that are in it as a whole and the at most two parts
// of days around them.
func (s Span) split() (whole days, parts []Span) {
	whole = days{totals.Earliest, totals.Latest}
	if !s.From.IsZero() {
		if whole.From = totals.DayOf(s.From); s.From.After(whole.From.Start()) {
			whole.From++
		}
	}
	if !s.Until.IsZero() {
		whole.To = totals.DayOf(s.Until) - 1
	}
	if whole.From > whole.To+1 { // both within one day
		return whole, []Span{s}
	}
	if first := whole.From.Start(); !s.From.IsZero() && s.From.Before(first) {
		parts = append(parts, Span{s.From, first})
	}
	if last := (whole.To + 1).Start(); !s.Until.IsZero() && last.Before(s.Until) {
		parts = append(parts, Span{last, s.Until})
	}
	return whole, parts
}
