package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go"

	"maxrelay/api/admin"
	"maxrelay/api/key"
	"maxrelay/api/usage"
	"maxrelay/stats"
	"maxrelay/stats/daybook"
	"maxrelay/stats/projection"
)

// usageFolder has the projection of this node.
func (c Config) usageFolder() string { return filepath.Join(c.DataDir, "usage") }

// openUsage opens what reads the record of usage.
func (p *program) openUsage(nc *nats.Conn) error {
	if err := p.lockUsage(); err != nil {
		return err
	}
	if err := p.openProjection(nc); err != nil {
		return err
	}
	if err := p.openDaybook(); err != nil {
		return err
	}
	prices := p.cfg.Prices.table()
	p.prices.Store(&prices)
	p.onReload(func(cfg Config) (apply func(), err error) {
		prices := cfg.Prices.table()
		return func() { p.prices.Store(&prices) }, nil
	})
	var err error
	p.usage, err = usage.New(usage.Config{
		Records: p.used, Prices: func() stats.Prices { return *p.prices.Load() }, Quota: p.quotaOf, Names: p.nameOf})
	return err
}

// lockUsage keeps other programs out of this node's copy of the record: each would miss
// what the other adds to the totals.
func (p *program) lockUsage() error {
	dir := p.cfg.usageFolder()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	unlock, err := lockFolder(dir, nodeLock)
	if err != nil {
		return fmt.Errorf("data_dir: %w", err)
	}
	p.opened("usage folder", func(context.Context) { unlock() })
	return nil
}

func (p *program) openProjection(nc *nats.Conn) (err error) {
	if p.used, err = projection.Open(p.cfg.usageFolder(), nc, p.log); err != nil {
		return err
	}
	p.opened("usage log", func(context.Context) { p.used.Close() })
	return nil
}

func (p *program) openDaybook() (err error) {
	s := p.cfg.Stats
	if s.File == "" {
		return nil
	}
	p.daybook, err = daybook.Open(daybook.Config{Path: s.File, PerDay: p.cfg.PerDay, FirstMessages: s.FirstMessage}, p.used, p.log)
	if err != nil {
		return fmt.Errorf("stats.file: %w", err)
	}
	p.opened("usage file", func(context.Context) { p.daybook.Close() })
	return nil
}

// noted is what keeps the first messages of requests, nil where none are kept.
func (p *program) noted() func(request, firstMessage string) {
	if p.daybook == nil || !p.cfg.Stats.FirstMessage {
		return nil
	}
	return p.daybook.Note
}

func (p Prices) table() stats.Prices {
	prices := make(stats.Prices, len(p))
	for model, price := range p {
		prices[model] = stats.Price(price)
	}
	return prices
}

// quotaOf tells how a key stands by what the limits count it by.
func (p *program) quotaOf(who key.Identity) usage.Quota {
	limits := p.limits.LimitsOf(who)
	q := usage.Quota{Limit: limits.Tokens, Used: p.limits.Tokens(who.ID, limits.Daily), Tier: who.Tier, Active: true}
	if limits.Tokens == 0 { // and so not counted there
		q.Used = p.used.Use(who.ID).Tokens
	}
	if record, found := p.store.Get(who.ID); found {
		q.Active, q.ExpiresAt = record.Active, record.ExpiresAt
	}
	return q
}

func (p *program) nameOf(keyID string) string {
	record, _ := p.store.Get(keyID)
	return record.Name
}

// useOf tells management what a key has used: tokens by what its limit is held to, the
// rest by the record.
func (p *program) useOf(keyID string) admin.Usage {
	u := p.used.Use(keyID)
	return admin.Usage{Tokens: p.limits.Tokens(keyID, false), Requests: u.Requests, Errors: u.Errors, LastUsed: u.LastUsed}
}
