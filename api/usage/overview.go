package usage

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"maxrelay/session/chat"
	"maxrelay/stats"
	"maxrelay/stats/totals"
)

// overview answers GET /admin/usage.
type overview struct {
	GroupBy []string `json:"group_by"`
	Items   []group  `json:"items"`
	Total   sums     `json:"total"`
}

// group is what some requests have in common; what they were not grouped by is null.
type group struct {
	Day     *string `json:"day"`
	KeyID   *string `json:"api_key_id"`
	KeyName *string `json:"api_key_name"`
	Model   *string `json:"model"`
	sums
}

// sums are what they used.
type sums struct {
	Requests   int64   `json:"requests"`
	Errors     int64   `json:"errors"`
	Prompt     int64   `json:"prompt_tokens"` // cached ones included
	Completion int64   `json:"completion_tokens"`
	Tokens     int64   `json:"total_tokens"`
	CacheRead  int64   `json:"cache_read_tokens"`
	CacheWrite int64   `json:"cache_write_tokens"`
	Cost       float64 `json:"total_cost"`
	MeanMillis float64 `json:"avg_response_time_ms"`
}

func sumsOf(t tally) sums {
	return sums{t.Requests, t.errors, t.Prompt(), t.Output, t.Tokens(), t.CacheRead, t.CacheWrite, stats.Dollars(t.cost), t.meanMillis()}
}

// groupings are what totals can be grouped by, in the order of the answer.
var groupings = []string{"day", "key", "model"}

// Overview tells an administrator what all keys used.
func (u *Usage) Overview(w http.ResponseWriter, r *http.Request) error {
	q := query(r.URL.Query())
	by, err := q.grouping()
	if err != nil {
		return err
	}
	from, to, err := q.days("from", "to")
	if err != nil {
		return err
	}
	format, err := q.word("format", "json", "csv")
	if err != nil {
		return err
	}
	groups, prices := make(map[totals.Cell]tally), u.cfg.Prices()
	err = u.cfg.Records.All(from, to, func(c totals.Cell, s totals.Sum) {
		at := by.reduce(c)
		groups[at] = groups[at].plus(c, s, prices)
	})
	if err != nil {
		return told(err)
	}
	answer := overview{GroupBy: by.names(), Items: u.items(by, groups)}
	var all tally
	for _, t := range groups {
		all = all.and(t)
	}
	answer.Total = sumsOf(all)
	return write(w, format, "usage", answer.Items, answer)
}

// grouping is what to group by.
type grouping struct{ day, key, model bool }

// grouping reads a list with commas; without any all is one group for each day.
func (q query) grouping() (by grouping, err error) {
	text := q.get("group_by")
	if text == "" {
		return grouping{day: true}, nil
	}
	for name := range strings.SplitSeq(text, ",") {
		switch strings.TrimSpace(name) {
		case "day":
			by.day = true
		case "key":
			by.key = true
		case "model":
			by.model = true
		default:
			return by, chat.Invalid("group_by", "must be some of %s, with commas between them", strings.Join(groupings, ", "))
		}
	}
	return by, nil
}

func (by grouping) names() []string {
	all := []string{}
	for i, set := range []bool{by.day, by.key, by.model} {
		if set {
			all = append(all, groupings[i])
		}
	}
	return all
}

// reduce leaves of a cell what its group is told by.
func (by grouping) reduce(c totals.Cell) (at totals.Cell) {
	if by.day {
		at.Day = c.Day
	}
	if by.key {
		at.Key = c.Key
	}
	if by.model {
		at.Model = c.Model
	}
	return at
}

// items are the groups, newest day first, then by key and model.
func (u *Usage) items(by grouping, groups map[totals.Cell]tally) []group {
	order := make([]totals.Cell, 0, len(groups))
	for at := range groups {
		order = append(order, at)
	}
	slices.SortFunc(order, func(a, b totals.Cell) int {
		return cmp.Or(cmp.Compare(b.Day, a.Day), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Model, b.Model))
	})
	items := make([]group, 0, len(order))
	for _, at := range order {
		g := group{sums: sumsOf(groups[at])}
		if by.day {
			g.Day = new(at.Day.String())
		}
		if by.key {
			g.KeyID, g.KeyName = &at.Key, new(u.cfg.Names(at.Key))
		}
		if by.model {
			g.Model = &at.Model
		}
		items = append(items, g)
	}
	return items
}
