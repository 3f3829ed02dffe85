package limit

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"maxrelay/session/chat"
)

func hourly(requests int) Limits { return Limits{Rate: Rate{requests, time.Hour}} }

func TestRateIsKeptByAllNodesTogether(t *testing.T) {
	const rate, requests = 20, 200
	nodes := startLimiters(t, startBroker(t), 3)
	var asked sync.WaitGroup
	var admitted atomic.Int64
	for i := range requests {
		asked.Go(func() {
			if _, err := nodes[i%len(nodes)].Admit(testContext(t), request(hourly(rate), 1, 1)); err == nil {
				admitted.Add(1)
			}
		})
	}
	asked.Wait()
	if n := admitted.Load(); n != rate {
		t.Errorf("admitted %d of %d requests, want %d", n, requests, rate)
	}
}

func TestNodesAgreeOnWhoWasAdmitted(t *testing.T) {
	b := startBroker(t)
	nodes := startLimiters(t, b, 2)
	admit(t, nodes[0], request(hourly(3), 1, 1))
	admit(t, nodes[1], request(hourly(3), 1, 1))
	late := startLimiter(t, b, Config{Node: "late"})
	admit(t, late, request(hourly(3), 1, 1))
	for _, l := range append(nodes, late) {
		r := refused(t, l, request(hourly(3), 1, 1), chat.CodeRateLimited)
		if r.reason.RetryAfter < 50*time.Minute || r.reason.RetryAfter > time.Hour {
			t.Errorf("told to retry after %v, want most of an hour", r.reason.RetryAfter)
		}
	}
	other := request(hourly(3), 1, 1)
	other.Key = "k_2"
	admit(t, late, other)
}

func TestRequestsInFlight(t *testing.T) {
	l := startLimiter(t, startBroker(t), Config{})
	limits := Limits{Concurrent: 2, Tokens: 100}
	first := admit(t, l, request(limits, 1, 1))
	admit(t, l, request(limits, 1, 1))
	refused(t, l, request(limits, 1, 1), chat.CodeRateLimited)
	if err := first.Release(testContext(t)); err != nil {
		t.Fatal(err)
	}
	refused(t, l, request(limits, 99, 1), chat.CodeQuota) // and gives its place back
	admit(t, l, request(limits, 1, 1))
	refused(t, l, request(limits, 1, 1), chat.CodeRateLimited)
}

func TestKeysThatDoNotAskAreForgotten(t *testing.T) {
	var now atomic.Pointer[time.Time]
	start := time.Now()
	now.Store(&start)
	l := startLimiter(t, startBroker(t), Config{Now: func() time.Time { return *now.Load() }})
	admit(t, l, request(hourly(3), 1, 1))
	l.rates.prune(time.Hour)
	if n := len(l.rates.windows); n != 1 {
		t.Errorf("%d windows, want 1", n)
	}
	later := start.Add(2 * time.Hour)
	now.Store(&later)
	l.rates.prune(time.Hour)
	if n := len(l.rates.windows); n != 0 {
		t.Errorf("%d windows are left", n)
	}
}

func TestStrangeAsks(t *testing.T) {
	l := startLimiter(t, startBroker(t), Config{})
	for name, change := range map[string]func(*Ask){
		"key with a dot":        func(a *Ask) { a.Key = "k.1" },
		"key with a wildcard":   func(a *Ask) { a.Key = ">" },
		"no key":                func(a *Ask) { a.Key = "" },
		"request with a dot":    func(a *Ask) { a.Request = "a.end" },
		"negative estimate":     func(a *Ask) { a.Input = -1 },
		"endless answer":        func(a *Ask) { a.MaxTokens = 1 << 62 },
		"rate without a period": func(a *Ask) { a.Limits.Rate.Requests = 1 },
	} {
		a := request(life(100), 1, 1)
		change(&a)
		if _, err := l.Admit(testContext(t), a); err == nil {
			t.Errorf("%s: admitted", name)
		}
	}
	if _, err := Open(testContext(t), l.nc, Config{Node: "a.b"}, testLog(t)); err == nil {
		t.Error("node name with a dot: opened")
	}
}

func TestCheckRate(t *testing.T) {
	for r, ok := range map[Rate]bool{
		{}:                         true,
		{1, time.Second}:           true,
		{maxRequests, time.Hour}:   true,
		{0, time.Minute}:           false,
		{-1, time.Minute}:          false,
		{maxRequests + 1, 1 << 40}: false,
		{1, 2 * time.Hour}:         false,
		{1, time.Millisecond}:      false,
	} {
		if err := (Config{}).CheckRate(r); (err == nil) != ok {
			t.Errorf("%v: %v", r, err)
		}
	}
	for name, r := range DefaultTiers {
		if err := (Config{}).CheckRate(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
