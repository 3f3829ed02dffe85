package limit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// carry takes along what the other place counted, from before the number of replicas
// changed. That one goes last, so that a carry which did not come to its end is made
// anew. No node may use either meanwhile, and so what is reserved there is abandoned.
func (l *Limiter) carry(ctx context.Context, other place) error {
	js := l.journal.js
	stream, err := js.Stream(ctx, other.stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at stream %s: %w", other.stream, err)
	}
	totals, err := l.totalsIn(ctx, other, stream.CachedInfo().Config.Replicas)
	if err != nil {
		return err
	}
	home := l.journal.home
	if err := makeEmpty(ctx, js, home.config(l.cfg.Replicas)); err != nil {
		return err
	}
	for a, n := range totals {
		e := entry{account: a, request: recount, step: rand.Text(), node: l.self, change: n}
		if _, err := js.PublishMsg(ctx, e.message(home), jetstream.WithMsgID(e.id())); err != nil {
			return fmt.Errorf("carrying over to stream %s: %w", home.stream, err)
		}
	}
	l.log.Info().Str("from", other.stream).Str("to", home.stream).Msg("token counters are carried over")
	return js.DeleteStream(ctx, other.stream)
}

// totalsIn reads a place that nobody uses, and settles what is reserved there.
func (l *Limiter) totalsIn(ctx context.Context, p place, replicas int) (map[account]int64, error) {
	cfg := l.cfg
	cfg.Replicas = replicas
	j := newJournal(l.nc, l.journal.js, p, l.self, cfg, l.log)
	defer j.follower.stop()
	if err := j.follower.open(ctx); err != nil {
		return nil, err
	}
	totals := make(map[account]int64)
	for a, b := range j.ledger.accounts {
		totals[a] = b.total
	}
	for _, h := range j.ledger.open() {
		used, err := l.usedBy(ctx, h)
		if err != nil {
			return nil, fmt.Errorf("settling what is reserved in stream %s: %w", p.stream, err)
		}
		totals[h.account] += used - h.tokens
	}
	return totals, nil
}

func makeEmpty(ctx context.Context, js jetstream.JetStream, cfg jetstream.StreamConfig) error {
	stream, err := js.CreateOrUpdateStream(ctx, cfg)
	if err == nil {
		err = stream.Purge(ctx)
	}
	if err != nil {
		return fmt.Errorf("carrying over to stream %s: %w", cfg.Name, err)
	}
	return nil
}
