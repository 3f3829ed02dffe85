package limit

import (
	"maps"
	"net/http"
	"testing"
	"time"
)

func TestHeaders(t *testing.T) {
	for name, tc := range map[string]struct {
		standing Standing
		want     map[string]string // behind x-ratelimit-
	}{
		"no limits": {Standing{}, nil},
		"rate": {
			Standing{Limits: Limits{Rate: Rate{60, time.Minute}}, RequestsLeft: 59, RequestsReset: 59100 * time.Millisecond},
			map[string]string{"Limit-Requests": "60", "Remaining-Requests": "59", "Reset-Requests": "1m0s"},
		},
		"daily quota": {
			Standing{Limits: Limits{Tokens: 1000, Daily: true}, TokensLeft: 7, TokensReset: 6 * time.Minute},
			map[string]string{"Limit-Tokens": "1000", "Remaining-Tokens": "7", "Reset-Tokens": "6m0s"},
		},
		"quota that no time heals": {
			Standing{Limits: Limits{Tokens: 1000}},
			map[string]string{"Limit-Tokens": "1000", "Remaining-Tokens": "0"},
		},
		"short": {
			Standing{Limits: Limits{Rate: Rate{1, time.Second}}, RequestsReset: time.Nanosecond},
			map[string]string{"Limit-Requests": "1", "Remaining-Requests": "0", "Reset-Requests": "1s"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := make(http.Header)
			tc.standing.SetHeaders(h)
			want := make(http.Header)
			for name, value := range tc.want {
				want.Set("X-Ratelimit-"+name, value)
			}
			if !maps.EqualFunc(h, want, func(a, b []string) bool { return a[0] == b[0] }) {
				t.Errorf("got %v, want %v", h, want)
			}
		})
	}
}

func TestTicketTellsHowItsKeyStands(t *testing.T) {
	l := startLimiter(t, startBroker(t), Config{})
	h := make(http.Header)
	admit(t, l, request(Limits{Rate: Rate{5, time.Minute}, Tokens: 100}, 10, 20)).SetHeaders(h)
	if got := h.Get("x-ratelimit-remaining-requests"); got != "4" {
		t.Errorf("%s requests are left, want 4", got)
	}
	if got := h.Get("x-ratelimit-remaining-tokens"); got != "70" {
		t.Errorf("%s tokens are left, want 70", got)
	}
}

func TestMidnightIsUTC(t *testing.T) {
	west := time.FixedZone("west", -5*3600)
	if got := untilMidnight(time.Date(2026, 12, 31, 18, 59, 0, 0, west)); got != time.Minute {
		t.Errorf("%v until midnight, want 1m", got)
	}
	if got := untilMidnight(time.Date(2026, 12, 31, 0, 0, 0, 0, time.UTC)); got != 24*time.Hour {
		t.Errorf("%v until midnight, want 24h", got)
	}
}
