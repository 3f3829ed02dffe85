package limit

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// keepDays is how long daily counters can be looked at.
	keepDays = 45

	// compactEvery is not shorter than the ids of changes must stay.
	compactEvery = repeatable

	lookWait = 5 * time.Second // for one look
	hereWait = time.Second     // for another node's sign of life
)

// hereSubject is where a node answers as long as it lives.
func hereSubject(node string) string { return "limit." + node + ".here" }

// look keeps the ledger current and clears up, until ctx ends.
func (l *Limiter) look(ctx context.Context) {
	tick := time.NewTicker(l.cfg.Tick)
	defer tick.Stop()
	compact := time.NewTicker(compactEvery)
	defer compact.Stop()
	for {
		select {
		case <-tick.C:
			l.lookAround(ctx)
		case <-l.poke:
			l.lookAround(ctx)
		case <-compact.C:
			l.compact(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (l *Limiter) lookAround(running context.Context) {
	ctx, cancel := context.WithTimeout(running, lookWait)
	defer cancel()
	if current, err := l.rates.follower.check(ctx); err == nil && current {
		l.rates.meet()
	}
	l.rates.prune(l.cfg.Window)
	current, err := l.journal.follower.check(ctx)
	if running.Err() != nil {
		return
	}
	l.journal.ailing.heard(err)
	if err == nil {
		l.journal.probe(ctx)
	}
	if err == nil && current {
		l.settleEnded(ctx)
		l.sweep(ctx)
	}
}

// sweep ends the reservations that nobody will end: those of dead nodes, and those that
// this node gave up and that reached the broker nevertheless. The ledger must be current,
// so that what another node ended long ago is not ended twice.
func (l *Limiter) sweep(ctx context.Context) {
	dead := make(map[string]bool)
	for _, h := range l.journal.ledger.open() {
		if h.node == l.self {
			l.sweepOwn(ctx, h)
			continue
		}
		if _, known := dead[h.node]; !known {
			dead[h.node] = l.isDead(ctx, h.node)
		}
		if dead[h.node] {
			l.sweepAbandoned(ctx, h)
		}
	}
	for node := range l.silent {
		if _, holds := dead[node]; !holds {
			delete(l.silent, node)
		}
	}
}

func (l *Limiter) sweepOwn(ctx context.Context, h hold) {
	l.mu.Lock()
	_, live := l.live[h.request]
	_, ended := l.ended[h.request]
	l.mu.Unlock()
	if !live && !ended {
		l.endHold(ctx, h, 0)
	}
}

func (l *Limiter) sweepAbandoned(ctx context.Context, h hold) {
	used, err := l.usedBy(ctx, h)
	if err != nil {
		l.log.Warn().Err(err).Str("request", h.request).Msg("what an abandoned request used is not known yet")
		return
	}
	if l.endHold(ctx, h, used) {
		l.log.Info().Str("request", h.request).Str("key", h.account.key).Str("node", h.node).Int64("reserved", h.tokens).Int64("used", used).
			Msg("reservation of a node that is gone is settled")
	}
}

// usedBy is what an abandoned request used.
func (l *Limiter) usedBy(ctx context.Context, h hold) (int64, error) {
	used, found, err := l.cfg.Used(ctx, Abandoned{Key: h.account.key, Request: h.request, Node: h.node, Since: h.since})
	if err != nil || !found {
		return 0, err
	}
	return used, nil
}

// endHold reports whether it was this node that ended the reservation.
func (l *Limiter) endHold(ctx context.Context, h hold, used int64) bool {
	_, err := l.journal.write(ctx, entry{account: h.account, request: h.request, step: stepEnd, change: used - h.tokens})
	return err == nil
}

// isDead asks a node for a sign of life. A former start of this node is dead as soon as
// it does not answer, another one after Config.Grace.
func (l *Limiter) isDead(ctx context.Context, node string) bool {
	ctx, cancel := context.WithTimeout(ctx, hereWait)
	defer cancel()
	_, err := l.nc.RequestWithContext(ctx, hereSubject(node), nil)
	if !errors.Is(err, nats.ErrNoResponders) {
		delete(l.silent, node)
		return false
	}
	if name, _, _ := strings.Cut(node, "."); name == l.cfg.Node {
		return true
	}
	since, silent := l.silent[node]
	if !silent {
		l.silent[node] = l.cfg.Now()
		return false
	}
	return l.cfg.Now().Sub(since) >= l.cfg.Grace
}

// compact keeps the stream of quotas short.
func (l *Limiter) compact(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookWait)
	defer cancel()
	gone := l.journal.ledger.compact(l.cfg.Now().AddDate(0, 0, -keepDays))
	if err := l.journal.purge(ctx, gone); err != nil {
		l.log.Debug().Err(err).Msg("the stream of quotas is compacted later")
	}
}
