package session

import (
	"reflect"
	"testing"
	"time"

	"maxrelay/session/chat"
)

// at is when the windows of these tests reset.
const at = 1795298448

func TestWhatALimitEventTells(t *testing.T) {
	resets := time.Unix(at, 0)
	for name, tc := range map[string]struct {
		info string
		want Limits
	}{
		"two windows, both free": {
			`{"status":"allowed","resetsAt":1795298448,"rateLimitType":"five_hour","unifiedWindows":{"seven_day":{"utilization":0.91,"resetsAt":1795298448,"status":"allowed_warning"},"five_hour":{"utilization":0.4,"resetsAt":1795298448,"status":"allowed"}}}`,
			Limits{Windows: []Window{{"five_hour", "", 0.4, resets}, {"seven_day", "", 0.91, resets}}},
		},
		"a window that is told at the top only": {
			`{"status":"allowed_warning","resetsAt":1795298448,"rateLimitType":"seven_day_opus","utilization":0.8,"unifiedWindows":{"five_hour":{"utilization":0.1,"resetsAt":1795298448}}}`,
			Limits{Windows: []Window{{"five_hour", "", 0.1, resets}, {"seven_day_opus", "opus", 0.8, resets}}},
		},
		"used up": {
			`{"status":"rejected","resetsAt":1795298448,"rateLimitType":"five_hour","isUsingOverage":false}`,
			Limits{Reached: &Reached{"five_hour", "", resets}},
		},
		"used up for some models": {
			`{"status":"rejected","resetsAt":1795298448,"rateLimitType":"seven_day_opus"}`,
			Limits{Reached: &Reached{"seven_day_opus", "opus", resets}},
		},
		"a rejected window of an account that pays for more": {
			`{"status":"allowed","resetsAt":1795298448,"rateLimitType":"five_hour","isUsingOverage":true,"unifiedWindows":{"five_hour":{"utilization":1,"resetsAt":1795298448,"status":"rejected"}}}`,
			Limits{Windows: []Window{{"five_hour", "", 1, resets}}},
		},
		"a plain limit":                  {`{"status":"rejected"}`, Limits{}},
		"a plain limit of a free window": {`{"status":"rejected","resetsAt":1795298448,"rateLimitType":"five_hour","unifiedWindows":{"five_hour":{"utilization":0.4,"status":"allowed"}}}`, Limits{Windows: []Window{{"five_hour", "", 0.4, time.Time{}}}}},
		"nothing":                        {`{}`, Limits{}},
		"fields of other types":          {`{"status":5,"resetsAt":"soon"}`, Limits{}},
	} {
		l, err := decodeLine([]byte(`{"type":"rate_limit_event","rate_limit_info":` + tc.info + `}`))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := l.RateLimit.limits(); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

func TestWhatWordsTellOfALimit(t *testing.T) {
	now := time.Date(2026, 11, 28, 21, 30, 0, 0, time.UTC)
	on := func(day, hour, minute int) time.Time { return time.Date(2026, 11, day, hour, minute, 0, 0, time.UTC) }
	for text, want := range map[string]struct {
		code chat.Code
		Reached
	}{
		"You've hit your 5-hour limit · resets 10pm (UTC)":                             {chat.CodeUsageLimit, Reached{"five_hour", "", on(28, 22, 0)}},
		"You've hit your 5-hour limit · resets 9:30pm (UTC)":                           {chat.CodeUsageLimit, Reached{"five_hour", "", on(29, 21, 30)}},
		"You've hit your session limit · resets 12am (Europe/Berlin) · progress saved": {chat.CodeUsageLimit, Reached{"five_hour", "", on(28, 23, 0)}},
		"You've hit your weekly limit · resets Nov 30, 7:05am (UTC)":                   {chat.CodeUsageLimit, Reached{"seven_day", "", on(30, 7, 5)}},
		"You've hit your Opus limit · resets Jan 2, 2027, 1am (UTC)":                   {chat.CodeUsageLimit, Reached{"seven_day_opus", "opus", time.Date(2027, 1, 2, 1, 0, 0, 0, time.UTC)}},
		"You've reached your Fable limit for this week. Switch models?":                {chat.CodeUsageLimit, Reached{Window: "seven_day_overage_included", Family: "fable"}},
		"You've hit your team's pooled group budget.":                                  {chat.CodeUsageLimit, Reached{}},
		"You're out of usage credits · resets 10pm (UTC)":                              {chat.CodeUsageLimit, Reached{Resets: on(28, 22, 0)}},
		"Claude AI usage limit reached|1795298448":                                     {chat.CodeUsageLimit, Reached{Resets: time.Unix(at, 0)}},
		"You've hit your 5-hour limit · resets 13pm (UTC)":                             {chat.CodeUsageLimit, Reached{Window: "five_hour"}},
		"You've hit your 5-hour limit · resets 10pm (Mars/Olympus)":                    {chat.CodeUsageLimit, Reached{Window: "five_hour"}},
		"Your org is out of usage · add funds to continue":                             {chat.CodeAccount, Reached{}},
		"Your seat type doesn't include usage credits":                                 {chat.CodeAccount, Reached{}},
		"You've hit your head":                                                         {"", Reached{}},
		"As they say: You've hit your 5-hour limit":                                    {"", Reached{Window: "five_hour"}},
		"": {"", Reached{}},
	} {
		got := reachedIn(text, now)
		if code := toldBy(text); code != want.code || got.Window != want.Window || got.Family != want.Family || !got.Resets.Equal(want.Resets) {
			t.Errorf("%q: %q %+v, want %q %+v", text, code, got, want.code, want.Reached)
		}
	}
}

func FuzzResetIn(f *testing.F) {
	now := time.Date(2026, 11, 28, 21, 30, 0, 0, time.UTC)
	f.Add("resets 10pm (UTC)")
	f.Add("resets Feb 31, 2027, 12:59am (Europe/Berlin)")
	f.Add("limit reached|99999999999")
	f.Fuzz(func(t *testing.T, text string) {
		at := resetIn(text, now)
		if day := at.Sub(now); !at.IsZero() && !resetStamp.MatchString(text) && resetTime.FindStringSubmatch(text)[1] == "" && (day <= 0 || day > 25*time.Hour) {
			t.Errorf("%q: %v, which is not within a day of %v", text, at, now) // 25 hours where the clocks go back
		}
	})
}
