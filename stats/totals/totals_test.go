package totals

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"maxrelay/session/chat"
	"maxrelay/stats"
)

var noon = time.Date(2026, 2, 24, 12, 0, 0, 0, time.UTC)

func event(key, model, code string, at time.Time) stats.Event {
	return stats.Event{KeyID: key, Model: model, ErrorCode: code, Time: at, DurationMS: 10,
		Usage: chat.Usage{InputTokens: 1, OutputTokens: 2, CacheReadTokens: 3, CacheWriteTokens: 4}}
}

func (t *Totals) add(events ...stats.Event) {
	d := t.Draft()
	for _, e := range events {
		d.Add(e)
	}
	d.Commit()
}

func TestDaysAreThoseOfUTC(t *testing.T) {
	east, west := time.FixedZone("", 9*3600), time.FixedZone("", -8*3600)
	for at, want := range map[time.Time]string{
		time.Date(2026, 2, 28, 23, 59, 59, 999_999_999, time.UTC): "2026-02-28",
		time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC):               "2026-03-01",
		time.Date(2026, 3, 1, 8, 59, 59, 0, east):                 "2026-02-28",
		time.Date(2026, 2, 28, 16, 0, 0, 0, west):                 "2026-03-01",
		time.Date(1969, 12, 31, 23, 0, 0, 0, time.UTC):            "1969-12-31",
		time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC):               "1970-01-01",
	} {
		day := DayOf(at)
		if got := day.String(); got != want {
			t.Errorf("%v is on %s, want %s", at, got, want)
		}
		if at.Before(day.Start()) || !at.Before((day + 1).Start()) {
			t.Errorf("%v is not between %v and %v", at, day.Start(), (day + 1).Start())
		}
	}
}

func TestADraftCountsWhenItIsCommitted(t *testing.T) {
	totals := New()
	totals.add(event("k", "m", "", noon))
	d := totals.Draft()
	d.Add(event("k", "m", "", noon))
	d.Add(event("k", "m", "", noon.Add(time.Minute)))
	if got := totals.Use("k").Requests; got != 1 {
		t.Errorf("%d requests before it is", got)
	}
	changed := map[Cell]Sum{}
	for c, s := range d.Changed() {
		changed[c] = s
	}
	want := map[Cell]Sum{{DayOf(noon), "k", "m", ""}: {Requests: 3, Input: 3, Output: 6, CacheRead: 9, CacheWrite: 12, Hits: 3, Millis: 30, Last: noon.Add(time.Minute).UnixMilli()}}
	if !reflect.DeepEqual(changed, want) {
		t.Errorf("it changes %v, want %v", changed, want)
	}
	d.Commit()
	if got := totals.Use("k"); got != (Use{Requests: 3, Tokens: 30, LastUsed: noon.Add(time.Minute)}) {
		t.Errorf("%+v", got)
	}
}

func TestErrorsAreCountedAndCostNothing(t *testing.T) {
	totals := New()
	totals.add(event("k", "m", "worker_failed", noon), event("k", "m", "cancelled", noon), event("k", "m", "", noon))
	if got := totals.Use("k"); got.Requests != 3 || got.Errors != 1 || got.Tokens != 30 {
		t.Errorf("%+v", got)
	}
	cost := 0.0
	for c, s := range totals.OfKey("k", Earliest, Latest) {
		cost += s.Cost(c, stats.Prices{"m": {Input: 1e6, Output: 2e6, CacheRead: 3e6, CacheWrite: 4e6}})
	}
	if want := 2.0 * (1 + 2*2 + 3*3 + 4*4); cost != want {
		t.Errorf("cost %v, want %v: that of two requests", cost, want)
	}
}

func TestKeysHaveTheirOwn(t *testing.T) {
	totals := New()
	totals.add(event("a", "m", "", noon), event("b", "m", "", noon), event("b", "m", "", noon.AddDate(0, 0, 1)))
	n := func(seq func(func(Cell, Sum) bool)) (n int64) {
		for _, s := range seq {
			n += s.Requests
		}
		return n
	}
	day := DayOf(noon)
	for name, tt := range map[string]struct{ got, want int64 }{
		"one key":       {n(totals.OfKey("b", Earliest, Latest)), 2},
		"on one day":    {n(totals.OfKey("b", day, day)), 1},
		"from a day on": {n(totals.OfKey("b", day+1, Latest)), 1},
		"all keys":      {n(totals.OfAll(Earliest, Latest)), 3},
		"until a day":   {n(totals.OfAll(Earliest, day)), 2},
		"unknown":       {n(totals.OfKey("c", Earliest, Latest)), 0},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %d, want %d", name, tt.got, tt.want)
		}
	}
	days := totals.Days()
	if len(days) != 2 || days[0].Day != day || days[0].Requests != 2 || days[1].Requests != 1 {
		t.Errorf("days %+v", days)
	}
}

func TestNamesThatCallersMakeUpAreBounded(t *testing.T) {
	totals := New()
	for i := range 10 {
		var some []stats.Event
		for j := range MaxModels {
			some = append(some, event("k", fmt.Sprint("claude-", i*MaxModels+j), "model_not_found", noon))
		}
		totals.add(some...)
	}
	totals.add(event("k", "claude-1", "", noon), event("other", "claude-900", "", noon), event("k", "claude-900", "", noon.AddDate(0, 0, 1)))
	models := map[string]int64{}
	for c, s := range totals.OfKey("k", Earliest, DayOf(noon)) {
		models[c.Model] += s.Requests
	}
	if len(models) != MaxModels+1 || models[Other] != 9*MaxModels || models["claude-1"] != 2 {
		t.Errorf("%d models: %v", len(models), models)
	}
	if got := totals.Use("k").Requests; got != 10*MaxModels+2 {
		t.Errorf("%d requests", got)
	}
}

func TestForgottenDaysAreAsIfTheyHadNeverBeen(t *testing.T) {
	totals, want := New(), New()
	late := []stats.Event{event("a", "m", "worker_failed", noon), event("b", "n", "", noon.AddDate(0, 0, 1))}
	totals.add(event("a", "m", "overloaded", noon.AddDate(0, 0, -1)), event("gone", "m", "", noon.AddDate(0, 0, -9)))
	totals.add(late...)
	want.add(late...)
	totals.Forget(DayOf(noon))
	if !reflect.DeepEqual(totals.keys, want.keys) || !slices.Equal(totals.Days(), want.Days()) {
		t.Errorf("got %v, want %v", totals.Days(), want.Days())
	}
}
