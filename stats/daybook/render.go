package daybook

import (
	"bufio"
	"encoding/json"
	"io"
	"strconv"
	"time"

	"maxrelay/stats"
	"maxrelay/stats/totals"
)

// summary is a sum in the file.
type summary struct {
	Requests   int64 `json:"requests"`
	Input      int64 `json:"input_tokens"` // cached ones not included
	Output     int64 `json:"output_tokens"`
	CacheRead  int64 `json:"cache_read_tokens"`
	CacheWrite int64 `json:"cache_write_tokens"`
}

func summaryOf(s totals.Sum) summary {
	return summary{s.Requests, s.Input, s.Output, s.CacheRead, s.CacheWrite}
}

// cacheStats tell how often the upstream had read a part of the prompt before.
type cacheStats struct {
	Requests int64  `json:"total_requests"`
	Hits     int64  `json:"cache_hits"`
	HitRate  string `json:"hit_rate"` // in percent, like 45.00
	Saved    int64  `json:"tokens_saved"`
}

func cacheStatsOf(s totals.Sum) cacheStats {
	rate := 0.0
	if s.Requests > 0 {
		rate = 100 * float64(s.Hits) / float64(s.Requests)
	}
	return cacheStats{s.Requests, s.Hits, strconv.FormatFloat(rate, 'f', 2, 64), s.CacheRead}
}

// request is one request in the file.
type request struct {
	ID           string `json:"id"`
	Timestamp    string `json:"timestamp"` // 2026-02-24T12:00:00.000Z
	Model        string `json:"model"`
	Stream       bool   `json:"stream"`
	Input        int    `json:"input_tokens"`
	Output       int    `json:"output_tokens"`
	CacheRead    int    `json:"cache_read_input_tokens"`
	CacheWrite   int    `json:"cache_creation_input_tokens"`
	Millis       int64  `json:"response_time_ms"`
	FirstMessage string `json:"first_message"`
}

const timestamp = "2006-01-02T15:04:05.000Z"

func line(e stats.Event, firstMessage string) []byte {
	return marshal(request{
		ID: e.ID, Timestamp: e.Time.UTC().Format(timestamp), Model: e.Model, Stream: e.Stream,
		Input: e.Usage.InputTokens, Output: e.Usage.OutputTokens, CacheRead: e.Usage.CacheReadTokens, CacheWrite: e.Usage.CacheWriteTokens,
		Millis: e.DurationMS, FirstMessage: firstMessage,
	})
}

// marshal is for values that are made of texts and whole numbers.
func marshal(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // this program's own mistake
	}
	return data
}

// renderLocked writes one request a line, days and months in their order.
func (d *Daybook) renderLocked(to io.Writer, days []totals.DaySum) error {
	months := monthsOf(days)
	var all totals.Sum
	for _, m := range months {
		all = all.Plus(m.sum)
	}
	w := writer{bufio.NewWriterSize(to, 256<<10)}
	w.text(`{"total":`, marshal(summaryOf(all)), `,"cache_stats":`, marshal(cacheStatsOf(all)), `,"months":{`)
	for i, m := range months {
		w.comma(i)
		w.text("\n"+`"`+m.name+`":{"summary":`, marshal(summaryOf(m.sum)), `,"days":{`)
		for i, day := range m.days {
			w.comma(i)
			w.text("\n"+`"`+day.Day.Start().Format("02")+`":{"summary":`, marshal(summaryOf(day.Sum)), `,"requests":[`)
			w.lines(d.pages[day.Day].lines)
			w.text(`]}`)
		}
		w.text(`}}`)
	}
	w.text("}}\n")
	return w.Flush()
}

// writer writes pieces. Flush returns the first error there was.
type writer struct{ *bufio.Writer }

func (w writer) text(pieces ...any) {
	for _, p := range pieces {
		switch p := p.(type) {
		case string:
			_, _ = w.WriteString(p)
		case []byte:
			_, _ = w.Write(p)
		}
	}
}

// comma stands before all elements but the first.
func (w writer) comma(i int) {
	if i > 0 {
		_ = w.WriteByte(',')
	}
}

// lines writes the elements of an array.
func (w writer) lines(all [][]byte) {
	for i, l := range all {
		w.comma(i)
		_ = w.WriteByte('\n')
		_, _ = w.Write(l)
	}
}

// month is the days of a month.
type month struct {
	name string // 2026-02
	sum  totals.Sum
	days []totals.DaySum
}

func monthsOf(days []totals.DaySum) (all []month) {
	for _, d := range days {
		name := d.Day.Start().Format("2006-01")
		if len(all) == 0 || all[len(all)-1].name != name {
			all = append(all, month{name: name})
		}
		m := &all[len(all)-1]
		m.sum = m.sum.Plus(d.Sum)
		m.days = append(m.days, d)
	}
	return all
}

// formerFile is what a file is read for.
type formerFile struct {
	Months map[string]struct {
		Days map[string]struct {
			Requests []struct {
				ID           string `json:"id"`
				FirstMessage string `json:"first_message"`
			} `json:"requests"`
		} `json:"days"`
	} `json:"months"`
}

// firstMessages are those that the file has, by day and request. Days that are none are
// left out.
func (f formerFile) firstMessages() map[totals.Day]map[string]string {
	all := make(map[totals.Day]map[string]string)
	for month, m := range f.Months {
		for day, d := range m.Days {
			at, err := time.Parse(time.DateOnly, month+"-"+day)
			if err != nil {
				continue
			}
			first := make(map[string]string, len(d.Requests))
			for _, q := range d.Requests {
				first[q.ID] = q.FirstMessage
			}
			all[totals.DayOf(at)] = first
		}
	}
	return all
}
