package totals

import (
	"time"

	"maxrelay/stats"
)

// Day is a day in UTC, counted from 1970.
type Day int32

// Earliest and Latest are days that no event is on.
const (
	Earliest Day = -1 << 30
	Latest   Day = 1 << 30
)

const secondsPerDay = 24 * 60 * 60

// DayOf returns the day that a moment is on.
func DayOf(t time.Time) Day {
	s := t.Unix()
	d := s / secondsPerDay
	if s%secondsPerDay < 0 {
		d--
	}
	return Day(d)
}

// Start is the day's first moment.
func (d Day) Start() time.Time { return time.Unix(int64(d)*secondsPerDay, 0).UTC() }

func (d Day) String() string { return d.Start().Format(time.DateOnly) }

// Cell says what a sum is of.
type Cell struct {
	Day   Day
	Key   string
	Model string // as clients asked for it, or Other
	Code  string // what went wrong, a chat.Code; "": nothing
}

// Failed reports whether the cell's requests count as errors.
func (c Cell) Failed() bool { return stats.Failed(c.Code) }

// Sum is what some requests used.
type Sum struct {
	Requests   int64
	Input      int64 // tokens; cached ones not included
	Output     int64
	CacheRead  int64
	CacheWrite int64
	Hits       int64 // requests that read from the upstream's cache
	Millis     int64 // that they took
	Last       int64 // when the latest of them began, in milliseconds since 1970
}

// Of is the sum of one request.
func Of(e stats.Event) Sum {
	s := Sum{
		Requests: 1, Input: int64(e.Usage.InputTokens), Output: int64(e.Usage.OutputTokens),
		CacheRead: int64(e.Usage.CacheReadTokens), CacheWrite: int64(e.Usage.CacheWriteTokens),
		Millis: e.DurationMS, Last: e.Time.UnixMilli(),
	}
	if s.CacheRead > 0 {
		s.Hits = 1
	}
	return s
}

// Plus returns the sum of both.
func (s Sum) Plus(t Sum) Sum {
	if s.Requests == 0 {
		return t
	}
	return Sum{
		Requests: s.Requests + t.Requests, Input: s.Input + t.Input, Output: s.Output + t.Output,
		CacheRead: s.CacheRead + t.CacheRead, CacheWrite: s.CacheWrite + t.CacheWrite,
		Hits: s.Hits + t.Hits, Millis: s.Millis + t.Millis, Last: max(s.Last, t.Last),
	}
}

// Prompt is all input, cached or not.
func (s Sum) Prompt() int64 { return s.Input + s.CacheRead + s.CacheWrite }

// Tokens is all input and output.
func (s Sum) Tokens() int64 { return s.Prompt() + s.Output }

// Cost estimates what a cell's requests cost. Errors cost nothing.
func (s Sum) Cost(c Cell, prices stats.Prices) float64 {
	if c.Failed() {
		return 0
	}
	return prices.Of(c.Model, s.Input, s.Output, s.CacheRead, s.CacheWrite)
}
