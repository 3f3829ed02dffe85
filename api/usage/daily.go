package usage

import (
	"cmp"
	"net/http"
	"slices"

	"maxrelay/api/key"
	"maxrelay/stats"
	"maxrelay/stats/projection"
	"maxrelay/stats/totals"
)

// daily is a day of GET /api/usage/daily.
type daily struct {
	Date     string  `json:"date"`
	Requests int64   `json:"requests"`
	Tokens   int64   `json:"tokens"`
	Cost     float64 `json:"cost"`
	Errors   int64   `json:"errors"`
}

// Daily tells a caller what it used on each of the last days on which it used anything,
// newest first. Today is one of them.
func (u *Usage) Daily(w http.ResponseWriter, r *http.Request, who key.Identity) error {
	days, err := query(r.URL.Query()).number("days", 30, 1, 365)
	if err != nil {
		return err
	}
	in := projection.Span{From: (totals.DayOf(u.cfg.Now()) - totals.Day(days) + 1).Start()}
	byDay := make(map[totals.Day]tally)
	prices := u.cfg.Prices()
	err = u.cfg.Records.Of(r.Context(), who.ID, in, func(c totals.Cell, s totals.Sum) {
		byDay[c.Day] = byDay[c.Day].plus(c, s, prices)
	})
	if err != nil {
		return told(err)
	}
	all := []daily{}
	for day, t := range byDay {
		all = append(all, daily{day.String(), t.Requests, t.Tokens(), stats.Dollars(t.cost), t.errors})
	}
	slices.SortFunc(all, func(a, b daily) int { return cmp.Compare(b.Date, a.Date) })
	return writeJSON(w, all)
}
