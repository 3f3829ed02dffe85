package limit

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func at(seconds float64) time.Time {
	return time.Unix(1_700_000_000, 0).Add(time.Duration(seconds * float64(time.Second)))
}

func TestWindowSlides(t *testing.T) {
	two := Rate{2, 10 * time.Second}
	for name, tc := range map[string]struct {
		times []float64
		want  []bool
	}{
		"room for two":                   {[]float64{0, 1, 2}, []bool{true, true, false}},
		"the first one leaves":           {[]float64{0, 6, 9.9, 10, 15.9, 16}, []bool{true, true, false, true, false, true}},
		"refused ones take no place":     {[]float64{0, 0, 5, 6, 7, 10, 10}, []bool{true, true, false, false, false, true, true}},
		"a clock that goes back":         {[]float64{5, 3, 14.9, 15, 15}, []bool{true, true, false, true, true}},
		"no burst where two windows met": {[]float64{9, 9.5, 10.5, 19, 19.4, 19.5}, []bool{true, true, false, true, false, true}},
	} {
		t.Run(name, func(t *testing.T) {
			var w window
			for i, s := range tc.times {
				if got := w.take(at(s), two); got != tc.want[i] {
					t.Errorf("request %d at %v: admitted %t, want %t", i, s, got, tc.want[i])
				}
			}
		})
	}
}

func TestNoWindowOfAnyPlaceHoldsMoreThanItsRate(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Rate{rapid.IntRange(1, 5).Draw(t, "requests"), time.Duration(rapid.IntRange(1, 50).Draw(t, "period")) * time.Second}
		var w window
		var admitted []time.Time
		now := at(0)
		for range rapid.IntRange(1, 200).Draw(t, "asked") {
			now = now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "pause")) * time.Second)
			left := w.at(now, r).left
			if took := w.take(now, r); took != (left > 0) {
				t.Fatalf("admitted %t with %d places left", took, left)
			} else if took {
				admitted = append(admitted, now)
			}
		}
		for i := r.Requests; i < len(admitted); i++ {
			if admitted[i].Sub(admitted[i-r.Requests]) < r.Period {
				t.Fatalf("%d requests within %v", r.Requests+1, r.Period)
			}
		}
	})
}

func TestWindowTellsWhenThereIsRoom(t *testing.T) {
	r := Rate{2, 10 * time.Second}
	var w window
	if got := w.at(at(0), r); got != (view{left: 2}) {
		t.Errorf("empty: %+v", got)
	}
	w.take(at(0), r)
	w.take(at(4), r)
	if got, want := w.at(at(5), r), (view{left: 0, next: 5 * time.Second, empty: 9 * time.Second}); got != want {
		t.Errorf("full: %+v, want %+v", got, want)
	}
	if got, want := w.at(at(11), r), (view{left: 1, empty: 3 * time.Second}); got != want {
		t.Errorf("later: %+v, want %+v", got, want)
	}
}
