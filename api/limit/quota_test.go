package limit

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"maxrelay/session/chat"
)

func TestReservation(t *testing.T) {
	for name, tc := range map[string]struct {
		used, input, output int64 // of 100
		want                int64 // reserved; 0: refused
	}{
		"fits":                                {0, 10, 20, 30},
		"answer without a bound":              {0, 10, 0, 100},
		"never more than is left":             {60, 10, 50, 40},
		"just enough for the prompt":          {90, 10, 50, 10},
		"not enough for the prompt":           {91, 10, 50, 0},
		"nothing left for an empty prompt":    {100, 0, 50, 0},
		"more used than there was":            {130, 1, 1, 0},
		"prompt alone is more than the quota": {0, 101, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := startLimiter(t, startBroker(t), Config{})
			settle(t, admit(t, l, request(life(100), 1, 1)), tc.used)
			if tc.want == 0 {
				r := refused(t, l, request(life(100), tc.input, tc.output), chat.CodeQuota)
				if want := max(0, 100-tc.used); r.TokensLeft != want {
					t.Errorf("refusal tells that %d are left, want %d", r.TokensLeft, want)
				}
				awaitTotal(t, l, lifeAccount(), tc.used)
				return
			}
			reserved(t, admit(t, l, request(life(100), tc.input, tc.output)), tc.want)
			if got := counted(t, l, lifeAccount()); got != tc.used+tc.want {
				t.Errorf("counter is %d, want %d", got, tc.used+tc.want)
			}
		})
	}
}

func TestWhatIsTakenTooMuchIsTakenBack(t *testing.T) {
	b := startBroker(t)
	a, stale := startLimiter(t, b, Config{Node: "a"}), startLimiter(t, b, Config{Node: "b"})
	stale.journal.follower.stop() // so that it believes everything is left
	settle(t, admit(t, a, request(life(100), 1, 1)), 70)
	reserved(t, admit(t, stale, request(life(100), 10, 50)), 30)
	refused(t, stale, request(life(100), 10, 50), chat.CodeQuota)
	if got := counted(t, a, lifeAccount()); got != 100 {
		t.Errorf("counter is %d, want 100", got)
	}
}

func TestQuotaIsNeverOverAdmitted(t *testing.T) {
	const requests, quota = 200, 20
	nodes := startLimiters(t, startBroker(t), 3)
	var held sync.WaitGroup
	var admitted atomic.Int64
	tickets := make(chan *Ticket, requests)
	for i := range requests {
		held.Go(func() {
			ticket, err := nodes[i%len(nodes)].Admit(testContext(t), request(life(2*quota), 1, 1))
			if err == nil && admitted.Add(1) <= requests {
				tickets <- ticket
			}
		})
	}
	held.Wait()
	close(tickets)
	if n := admitted.Load(); n > quota || n == 0 {
		t.Errorf("admitted %d requests, want at most %d and one at least", n, quota)
	}
	var used int64
	for ticket := range tickets {
		n := rand.Int64N(3)
		used += n
		settle(t, ticket, n)
	}
	for _, l := range nodes {
		awaitTotal(t, l, lifeAccount(), used)
	}
}

func TestGrowUntilNothingIsLeft(t *testing.T) {
	l := startLimiter(t, startBroker(t), Config{})
	ticket := admit(t, l, request(life(100), 10, 20))
	for _, want := range []int64{50, 20, 0, 0} {
		got, err := ticket.Grow(testContext(t), 50)
		if err != nil || got != want {
			t.Errorf("grew by %d, %v, want %d", got, err, want)
		}
	}
	reserved(t, ticket, 100)
	settle(t, ticket, 103)
	settle(t, ticket, 7) // counts no more
	awaitTotal(t, l, lifeAccount(), 103)
	if _, err := ticket.Grow(testContext(t), 1); err == nil {
		t.Error("a settled ticket grew")
	}
}

func TestKeyWithoutQuotaIsNotCounted(t *testing.T) {
	l := startLimiter(t, startBroker(t), Config{})
	ticket := admit(t, l, request(Limits{}, 10, 20))
	if _, limited := ticket.Reserved(); limited {
		t.Error("ticket has a limit")
	}
	settle(t, ticket, 5)
	if got := counted(t, l, lifeAccount()); got != 0 {
		t.Errorf("counter is %d", got)
	}
}

func TestARequestWithoutTokensIsAdmittedByItsRateAlone(t *testing.T) {
	l := startLimiter(t, startBroker(t), Config{})
	settle(t, admit(t, l, request(life(100), 10, 20)), 100)
	free := request(Limits{Rate: Rate{1, time.Hour}, Tokens: 100}, 0, 0)
	free.Free = true
	ticket := admit(t, l, free)
	if _, limited := ticket.Reserved(); limited {
		t.Error("it has a reservation")
	}
	settle(t, ticket, 0)
	if got := counted(t, l, lifeAccount()); got != 100 {
		t.Errorf("counter is %d, want 100", got)
	}
	free.Request += "2"
	refused(t, l, free, chat.CodeRateLimited)
}

func TestDailyQuotaIsThereAgainAfterMidnight(t *testing.T) {
	var now atomic.Pointer[time.Time]
	evening := time.Date(2026, 3, 31, 23, 59, 30, 0, time.UTC)
	now.Store(&evening)
	l := startLimiter(t, startBroker(t), Config{Now: func() time.Time { return *now.Load() }})
	limits := Limits{Tokens: 100, Daily: true}

	over := admit(t, l, request(limits, 50, 50))
	r := refused(t, l, request(limits, 1, 1), chat.CodeQuota)
	if got := r.reason.RetryAfter; got != 30*time.Second {
		t.Errorf("told to retry after %v, want 30s", got)
	}
	morning := evening.Add(time.Minute)
	now.Store(&morning)
	late := request(limits, 1, 1)
	late.Start = evening // asked yesterday, admitted today
	refused(t, l, late, chat.CodeQuota)
	settle(t, admit(t, l, request(limits, 20, 20)), 40)
	settle(t, over, 90)

	awaitTotal(t, l, account{testKey, "20260331"}, 90)
	awaitTotal(t, l, account{testKey, "20260401"}, 40)
	if got := l.Tokens(testKey, true); got != 40 {
		t.Errorf("today's tokens are %d, want 40", got)
	}
}

func TestCountersOutliveTheBroker(t *testing.T) {
	dir := t.TempDir()
	b := openBroker(t, dir, "")
	a := startLimiter(t, b, Config{Node: "a"})
	settle(t, admit(t, a, request(life(100), 10, 20)), 25)
	admit(t, a, request(life(100), 10, 20)) // never settled
	a.Close(testContext(t))
	b.Close()

	b = openBroker(t, dir, "")
	t.Cleanup(b.Close)
	again := startLimiter(t, b, Config{Node: "a"})
	awaitTotal(t, again, lifeAccount(), 25)
}
