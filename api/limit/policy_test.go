package limit

import (
	"testing"
	"time"

	"maxrelay/api/key"
)

func TestLimitsOfCallers(t *testing.T) {
	gold, static := Rate{7, time.Second}, Rate{60, time.Minute}
	p := Policy{Rate: static, Daily: 1000, Tiers: map[string]Rate{"gold": gold, "unlimited": {}}, Concurrent: 3}
	for name, tc := range map[string]struct {
		who  key.Identity
		want Limits
	}{
		"nobody's key":                 {key.Identity{ID: key.Local}, Limits{static, 1000, true, 3}},
		"static key":                   {key.Identity{ID: "k_1"}, Limits{static, 1000, true, 3}},
		"managed key":                  {key.Identity{ID: "k_2", Managed: true, Tier: "gold", TokenLimit: 5}, Limits{gold, 5, false, 3}},
		"managed key without a rate":   {key.Identity{ID: "k_2", Managed: true, Tier: "unlimited", TokenLimit: 5}, Limits{Rate{}, 5, false, 3}},
		"managed key of a former tier": {key.Identity{ID: "k_2", Managed: true, Tier: "silver", TokenLimit: 5}, Limits{static, 5, false, 3}},
	} {
		if got := p.Of(tc.who); got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
	if got := (Policy{}).Of(key.Identity{ID: key.Local}); got != (Limits{Daily: true}) {
		t.Errorf("without a policy: %+v, want no limit", got)
	}
}
