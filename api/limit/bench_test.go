package limit

import (
	"context"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"maxrelay/api/key"
	"maxrelay/queue"
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

// BenchmarkManagedKey is all that admission costs the request of a managed key, one of a
// thousand: whose it is, its limits, a place in its window, a reservation and its end.
func BenchmarkManagedKey(b *testing.B) {
	broker := startBroker(b)
	keys, secret := managedKeys(b, broker, 1000)
	l := startLimiter(b, broker, Config{Policy: Policy{Tiers: map[string]Rate{"basic": {maxRequests, time.Second}}}})
	r := &http.Request{Header: http.Header{"Authorization": {"Bearer " + secret}}}
	ctx := context.Background()
	for b.Loop() {
		who, err := keys.Identify(r, netip.Addr{})
		if err != nil {
			b.Fatal(err)
		}
		ask := request(l.LimitsOf(who), 100, 100)
		ask.Key = who.ID
		ticket, err := l.Admit(ctx, ask)
		if err != nil {
			b.Fatal(err)
		}
		if err := ticket.Settle(ctx, 50); err != nil {
			b.Fatal(err)
		}
	}
}

// managedKeys returns n keys and the secret of the last.
func managedKeys(b *testing.B, broker *queue.Broker, n int) (keys *key.Keys, secret string) {
	b.Helper()
	store, err := key.OpenStore(testContext(b), connect(b, broker), key.StoreConfig{}, testLog(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(store.Close)
	settings := key.DefaultSettings()
	settings.Name, settings.TokenLimit = "bench", 1<<40
	for range n {
		var record key.Record
		record, secret = key.Mint(settings, time.Now())
		if err := store.Add(testContext(b), record); err != nil {
			b.Fatal(err)
		}
	}
	static, err := key.New(nil, true, "default")
	if err != nil {
		b.Fatal(err)
	}
	return static.With(store), secret
}
