package limit

import (
	"context"
	"testing"
	"time"
)

// BenchmarkAdmission is what limits cost a request on one node with its broker inside: a
// place in a window, a reservation and its end.
func BenchmarkAdmission(b *testing.B) {
	rate := Rate{maxRequests, time.Second}
	for name, limits := range map[string]Limits{
		"unlimited":      {},
		"rate":           {Rate: rate},
		"quota":          {Tokens: maxAmount},
		"rate_and_quota": {Rate: rate, Tokens: maxAmount, Daily: true},
	} {
		b.Run(name, func(b *testing.B) {
			l := startLimiter(b, startBroker(b), Config{})
			ctx := context.Background()
			for b.Loop() {
				ticket, err := l.Admit(ctx, request(limits, 100, 100))
				if err != nil {
					b.Fatal(err)
				}
				if err := ticket.Settle(ctx, 50); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
