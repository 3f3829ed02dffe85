package limit

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"maxrelay/api/key"
)

// Limiter admits the requests of one API node.
type Limiter struct {
	cfg  Config
	self string // the node's name and this start of it
	nc   *nats.Conn
	log  zerolog.Logger

	policy  atomic.Pointer[Policy]
	rates   *rates
	journal *journal
	here    *nats.Subscription // by which others see that this node lives

	stop func()
	done sync.WaitGroup
	poke chan struct{} // one element: look at once

	silent map[string]time.Time // since when other nodes do not answer; of the goroutine that looks

	mu      sync.Mutex
	running map[string]int      // requests in flight, by key
	live    map[string]struct{} // requests whose reservation is in use
	ended   map[string]ending   // ended ones, as long as it is not sure that the broker knows
}

// ending is the end of a request.
type ending struct {
	account account
	used    int64
}

// Open makes the streams, reads how all keys stand, and settles what former starts of
// this node left. The connection stays the caller's, and must outlive the Limiter.
func Open(ctx context.Context, nc *nats.Conn, cfg Config, log zerolog.Logger) (*Limiter, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("limit: %w", err)
	}
	l := &Limiter{
		cfg: cfg, self: cfg.Node + "." + rand.Text(), nc: nc, log: log,
		poke:    make(chan struct{}, 1),
		running: make(map[string]int),
		live:    make(map[string]struct{}),
		ended:   make(map[string]ending),
		silent:  make(map[string]time.Time),
	}
	l.SetPolicy(cfg.Policy)
	l.rates = newRates(nc, js, l.self, cfg, log)
	home, other := placesFor(cfg.Replicas)
	l.journal = newJournal(nc, js, home, l.self, cfg, log)
	if err := l.open(ctx, other); err != nil {
		l.unfollow()
		return nil, err
	}
	run, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	l.done.Go(func() { l.look(run) })
	return l, nil
}

func (l *Limiter) open(ctx context.Context, other place) (err error) {
	if l.here, err = l.nc.Subscribe(hereSubject(l.self), func(m *nats.Msg) { _ = m.Respond(nil) }); err != nil {
		return fmt.Errorf("limit: %w", err)
	}
	if err := l.rates.follower.open(ctx); err != nil {
		return fmt.Errorf("limit: %w", err)
	}
	if err := l.carry(ctx, other); err != nil {
		return fmt.Errorf("limit: %w", err)
	}
	if err := l.journal.follower.open(ctx); err != nil {
		return fmt.Errorf("limit: %w", err)
	}
	l.sweep(ctx)
	return nil
}

// closeWait is how long a broker that does not answer keeps a node from ending.
const closeWait = 3 * time.Second

// Close tries once more to write what could not be written. Tickets that are not settled
// are left to other nodes, or to the next start.
func (l *Limiter) Close(ctx context.Context) {
	l.stop()
	l.done.Wait()
	ctx, cancel := context.WithTimeout(ctx, closeWait)
	defer cancel()
	if current, err := l.journal.follower.check(ctx); err == nil && current {
		l.settleEnded(ctx)
	}
	l.unfollow()
}

func (l *Limiter) unfollow() {
	l.rates.follower.stop()
	l.journal.follower.stop()
	if l.here != nil {
		_ = l.here.Unsubscribe() // fails on a closed connection only
	}
}

// SetPolicy replaces the limits for requests that come from now on.
func (l *Limiter) SetPolicy(p Policy) { l.policy.Store(&p) }

// Tiers names the tiers of managed keys, in order.
func (l *Limiter) Tiers() []string { return slices.Sorted(maps.Keys(l.policy.Load().Tiers)) }

// LimitsOf returns the limits that a caller has now.
func (l *Limiter) LimitsOf(who key.Identity) Limits { return l.policy.Load().Of(who) }

// Ask is a request that wants to be admitted.
type Ask struct {
	Key     string // its id: letters, digits, - and _
	Request string // its id, unique for ever, of the same letters
	Limits  Limits
	Start   time.Time // of the request, whose day pays; now

	Free      bool  // it uses no tokens: only its rate counts
	Input     int64 // estimate of its prompt's tokens
	MaxTokens int64 // that the answers may take in all, DefaultAnswer
}

const (
	// DefaultAnswer is what is reserved for an answer without a bound.
	DefaultAnswer = 16384
	// Growth is a good amount for Ticket.Grow.
	Growth = 16384
)

func (a Ask) validate() error {
	switch {
	case !isToken(a.Key):
		return errors.New("limit: key id is no token")
	case !isToken(a.Request):
		return errors.New("limit: request id is no token")
	case a.Limits.Rate.Requests > 0 && a.Limits.Rate.Period <= 0:
		return errors.New("limit: rate without a period")
	case min(a.Input, a.MaxTokens) < 0 || a.Input > maxAmount || a.MaxTokens > maxAmount:
		return errors.New("limit: number of tokens out of bounds")
	}
	return nil
}

// maxAmount keeps sums of tokens from overflowing.
const maxAmount = math.MaxInt64 >> 8

// Admit counts the request and reserves its tokens, or refuses it with a *Refusal. Other
// errors are those of a broker that cannot be reached, a *chat.Error too, and of the
// context. The ticket must be settled.
func (l *Limiter) Admit(ctx context.Context, a Ask) (*Ticket, error) {
	if a.Start.IsZero() {
		a.Start = l.cfg.Now()
	}
	a.MaxTokens = cmp.Or(a.MaxTokens, DefaultAnswer)
	if err := a.validate(); err != nil {
		return nil, err
	}
	t := &Ticket{limiter: l, ask: a, account: accountOf(a.Key, a.Limits.Daily, a.Start)}
	if !l.enter(a.Key, a.Limits.Concurrent) {
		return nil, tooManyAtOnce(l.Standing(a.Key, a.Limits))
	}
	if err := l.admit(ctx, t); err != nil {
		l.leave(a.Key)
		return nil, err
	}
	return t, nil
}

func (l *Limiter) admit(ctx context.Context, t *Ticket) error {
	rate := t.ask.Limits.Rate
	err := l.rates.take(ctx, t.ask.Key, rate)
	if errors.Is(err, errFull) {
		s := l.Standing(t.ask.Key, t.ask.Limits)
		s.RequestsLeft = 0
		return tooManyRequests(s, l.rates.view(t.ask.Key, rate).next)
	}
	if err != nil {
		return err
	}
	return t.reserve(ctx)
}

// Standing tells how a key stands, as far as this node has heard.
func (l *Limiter) Standing(key string, limits Limits) Standing {
	now := l.cfg.Now()
	s := Standing{Limits: limits}
	if limits.Rate.Requests > 0 {
		v := l.rates.view(key, limits.Rate)
		s.RequestsLeft, s.RequestsReset = v.left, v.empty
	}
	if limits.Tokens > 0 {
		s.TokensLeft = max(0, limits.Tokens-l.journal.ledger.total(accountOf(key, limits.Daily, now)))
	}
	if limits.Daily {
		s.TokensReset = untilMidnight(now)
	}
	return s
}

// Tokens is what a key has used and reserved, today or in its lifetime, as far as this
// node has heard.
func (l *Limiter) Tokens(key string, daily bool) int64 {
	return l.journal.ledger.total(accountOf(key, daily, l.cfg.Now()))
}

// Warning says what is not kept at the moment, "" when all is.
func (l *Limiter) Warning() string {
	switch {
	case l.journal.ailing.is():
		return "token quotas are not kept: the broker does not answer"
	case l.rates.isAlone():
		return "request rates are kept by this node alone: the broker does not answer"
	}
	return ""
}

// enter counts a request in flight.
func (l *Limiter) enter(key string, most int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if most > 0 && l.running[key] >= most {
		return false
	}
	l.running[key]++
	return true
}

func (l *Limiter) leave(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running[key]--; l.running[key] == 0 {
		delete(l.running, key)
	}
}
