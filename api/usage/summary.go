package usage

import (
	"cmp"
	"math"
	"net/http"
	"slices"

	"maxrelay/api/key"
	"maxrelay/stats"
	"maxrelay/stats/totals"
)

// summary answers GET /api/usage.
type summary struct {
	Requests     int64        `json:"total_requests"`
	Tokens       int64        `json:"total_tokens"`
	Prompt       int64        `json:"total_prompt_tokens"` // cached ones included
	Completion   int64        `json:"total_completion_tokens"`
	Cost         float64      `json:"total_cost"`
	MeanMillis   float64      `json:"avg_response_time_ms"`
	Errors       int64        `json:"error_count"`
	ErrorPercent float64      `json:"error_rate"` // in percent
	Models       []modelUsage `json:"model_usage"`
	Codes        []errorCount `json:"error_breakdown"`
}

// modelUsage is a model's part of a summary, the most used first.
type modelUsage struct {
	Model      string  `json:"model"`
	Requests   int64   `json:"request_count"`
	Tokens     int64   `json:"total_tokens"`
	Prompt     int64   `json:"prompt_tokens"`
	Completion int64   `json:"completion_tokens"`
	CacheRead  int64   `json:"cache_read_tokens"`
	CacheWrite int64   `json:"cache_write_tokens"`
	Cost       float64 `json:"total_cost"`
	Errors     int64   `json:"error_count"`
}

// errorCount is how often something went wrong, the most frequent first.
type errorCount struct {
	Code    string `json:"error_code"`
	Message string `json:"error_message"`
	Count   int64  `json:"count"`
}

// Summary tells a caller what it used in a span of time.
func (u *Usage) Summary(w http.ResponseWriter, r *http.Request, who key.Identity) error {
	in, err := query(r.URL.Query()).span("start_date", "end_date")
	if err != nil {
		return err
	}
	models, codes := make(map[string]tally), make(map[string]int64)
	prices := u.cfg.Prices()
	err = u.cfg.Records.Of(r.Context(), who.ID, in, func(c totals.Cell, s totals.Sum) {
		models[c.Model] = models[c.Model].plus(c, s, prices)
		if c.Failed() {
			codes[c.Code] += s.Requests
		}
	})
	if err != nil {
		return told(err)
	}
	return writeJSON(w, summaryOf(models, codes))
}

func summaryOf(models map[string]tally, codes map[string]int64) summary {
	s := summary{Models: []modelUsage{}, Codes: []errorCount{}}
	var all tally
	for model, t := range models {
		all = all.and(t)
		s.Models = append(s.Models, modelUsage{model, t.Requests, t.Tokens(), t.Prompt(), t.Output, t.CacheRead, t.CacheWrite, stats.Dollars(t.cost), t.errors})
	}
	for code, n := range codes {
		s.Codes = append(s.Codes, errorCount{code, stats.Explain(code), n})
	}
	slices.SortFunc(s.Models, func(a, b modelUsage) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Model, b.Model))
	})
	slices.SortFunc(s.Codes, func(a, b errorCount) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Code, b.Code))
	})
	s.Requests, s.Tokens, s.Prompt, s.Completion = all.Requests, all.Tokens(), all.Prompt(), all.Output
	s.Cost, s.MeanMillis, s.Errors, s.ErrorPercent = stats.Dollars(all.cost), all.meanMillis(), all.errors, percent(all.errors, all.Requests)
	return s
}

// tally is a sum of several cells, with what depends on theirs.
type tally struct {
	totals.Sum
	cost   float64
	errors int64
}

func (t tally) plus(c totals.Cell, s totals.Sum, prices stats.Prices) tally {
	more := tally{Sum: s, cost: s.Cost(c, prices)}
	if c.Failed() {
		more.errors = s.Requests
	}
	return t.and(more)
}

func (t tally) and(more tally) tally {
	return tally{t.Sum.Plus(more.Sum), t.cost + more.cost, t.errors + more.errors}
}

func (t tally) meanMillis() float64 {
	return round2(float64(t.Millis) / float64(cmp.Or(t.Requests, 1)))
}

func round2(x float64) float64 { return math.Round(100*x) / 100 }
