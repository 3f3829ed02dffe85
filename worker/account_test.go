package worker

import (
	"reflect"
	"testing"
	"time"

	"maxrelay/queue"
	"maxrelay/session"
)

func TestWhatAnAccountIsKnownToBe(t *testing.T) {
	now := time.Unix(1795298448, 0)
	in := func(d time.Duration) time.Time { return now.Add(d) }
	window := func(name string, used float64, resets time.Time) session.Limits {
		return session.Limits{Windows: []session.Window{{Name: name, Used: used, Resets: resets}}}
	}
	used := func(r session.Reached) session.Limits { return session.Limits{Reached: &r} }
	for name, tc := range map[string]struct {
		kind  session.Account
		heard []session.Limits
		after time.Duration
		use   float64
		rests []queue.Rest
	}{
		"nothing":                               {},
		"signed out":                            {kind: session.AccountNone, rests: []queue.Rest{{}}},
		"its fullest window":                    {heard: []session.Limits{window("five_hour", 0.2, in(time.Hour)), window("seven_day", 0.6, in(time.Hour)), window("five_hour", 0.3, in(time.Hour))}, use: 0.6},
		"a window that reset":                   {heard: []session.Limits{window("five_hour", 0.9, in(time.Hour))}, after: time.Hour},
		"a window beyond its end":               {heard: []session.Limits{window("five_hour", 1.2, in(time.Hour))}, use: 1},
		"a window of some models":               {heard: []session.Limits{{Windows: []session.Window{{Name: "seven_day_opus", Family: "opus", Used: 0.9}}}}},
		"used up":                               {heard: []session.Limits{used(session.Reached{Window: "five_hour", Resets: in(time.Hour)})}, rests: []queue.Rest{{Until: in(time.Hour)}}},
		"used up until then":                    {heard: []session.Limits{used(session.Reached{Window: "five_hour", Resets: in(time.Hour)})}, after: time.Hour},
		"used up, who knows until when":         {heard: []session.Limits{used(session.Reached{})}, rests: []queue.Rest{{Until: in(restUnknown)}}},
		"used up, and once more without a time": {heard: []session.Limits{used(session.Reached{Resets: in(time.Hour)}), used(session.Reached{})}, rests: []queue.Rest{{Until: in(time.Hour)}}},
		"used up until a time that is over":     {heard: []session.Limits{used(session.Reached{Resets: in(-time.Minute)})}, rests: []queue.Rest{{Until: in(restMore)}}},
		"used up for some models":               {heard: []session.Limits{used(session.Reached{Window: "seven_day_opus", Family: "opus", Resets: in(time.Hour)})}, rests: []queue.Rest{{Models: "opus", Until: in(time.Hour)}}},
		"free again by another process's word":  {heard: []session.Limits{used(session.Reached{Resets: in(time.Hour)}), window("five_hour", 0.99, in(time.Hour))}, use: 0.99, rests: []queue.Rest{{Until: in(time.Hour)}}},
	} {
		if tc.kind == "" {
			tc.kind = session.AccountSubscription
		}
		a := newAccount(tc.kind)
		for _, l := range tc.heard {
			a.hear(l, now)
		}
		if tc.after > 0 && a.changesIn(now) != tc.after {
			t.Errorf("%s: it is to be told again in %v", name, a.changesIn(now))
		}
		if use, rests := a.standing(now.Add(tc.after)); use != tc.use || !reflect.DeepEqual(rests, tc.rests) {
			t.Errorf("%s: %v %+v, want %v %+v", name, use, rests, tc.use, tc.rests)
		}
	}
}

func TestARefusedAccountIsAskedLastForAWhile(t *testing.T) {
	now := time.Now()
	a := newAccount(session.AccountAPIKey)
	a.refused(now)
	for after, want := range map[time.Duration]float64{0: 1, doubtFor - 1: 1, doubtFor: 0} {
		if use, rests := a.standing(now.Add(after)); use != want || rests != nil {
			t.Errorf("%v after it: %v %v, want %v and no rest", after, use, rests, want)
		}
	}
}

func TestOneOfManyRefusalsIsNews(t *testing.T) {
	now := time.Now()
	a := newAccount(session.AccountSubscription)
	l := session.Limits{Reached: &session.Reached{Window: "five_hour", Resets: now.Add(time.Hour)}}
	for i, want := range []bool{true, false, false} {
		if until, news := a.hear(l, now); news != want || !until.Equal(now.Add(time.Hour)) {
			t.Errorf("refusal %d: news %v, until %v", i, news, until)
		}
	}
	if _, news := a.hear(l, now.Add(2*time.Hour)); !news {
		t.Error("the next rest is no news")
	}
}

func TestPeopleAreToldOfWindows(t *testing.T) {
	now := time.Now()
	resets := now.Add(time.Hour)
	a := newAccount(session.AccountSubscription)
	a.hear(session.Limits{Windows: []session.Window{{Name: "seven_day", Used: 0.5, Resets: resets}, {Name: "five_hour", Used: 0.99, Resets: resets}},
		Reached: &session.Reached{Window: "five_hour", Resets: resets}}, now)
	want := []Limit{{Window: "five_hour", Used: 1, ResetsAt: resets, Reached: true}, {Window: "seven_day", Used: 0.5, ResetsAt: resets}}
	if got := a.limits(now); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := a.limits(resets); got != nil {
		t.Errorf("after the reset: %+v", got)
	}
}
