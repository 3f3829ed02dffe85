package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"maxrelay/api/limit"
	"maxrelay/api/upstream"
	"maxrelay/stats"
)

func (p *program) openLimits(ctx context.Context, recorder *stats.Recorder) error {
	nc, err := p.connect("limits")
	if err != nil {
		return err
	}
	cfg := limit.Config{Node: nodeName(p.cfg.DataDir), Replicas: p.cfg.NATS.Cluster.Replicas, Policy: p.cfg.Limit.policy(), Used: usedIn(recorder)}
	err = p.patiently(ctx, func(ctx context.Context) (err error) {
		p.limits, err = limit.Open(ctx, nc, cfg, p.log)
		return err
	})
	if err != nil {
		return err
	}
	p.opened("limits", p.limits.Close)
	p.onReload(func(cfg Config) (apply func(), err error) {
		return func() { p.limits.SetPolicy(cfg.Limit.policy()) }, nil
	})
	return nil
}

// usedIn finds in the record of usage what a request used whose node is gone.
func usedIn(recorder *stats.Recorder) func(context.Context, limit.Abandoned) (int64, bool, error) {
	return func(ctx context.Context, a limit.Abandoned) (int64, bool, error) {
		e, found, err := recorder.Find(ctx, a.Key, a.Request, a.Since)
		return int64(e.Usage.Total()), found, err
	}
}

var notInNodeName = regexp.MustCompile(`[^A-Za-z0-9-]+`)

// nodeName is this API node's for as long as it keeps its data folder: what it left when
// it was killed, its next start settles at once.
func nodeName(dataDir string) string {
	host, _ := os.Hostname() // a machine without a name is told apart by its folder
	dir, err := filepath.Abs(dataDir)
	if err != nil {
		dir = dataDir
	}
	sum := sha256.Sum256([]byte(dir))
	name := notInNodeName.ReplaceAllString(host, "-")
	return name[:min(len(name), 64)] + "-" + hex.EncodeToString(sum[:4])
}

func (c LimitConfig) policy() limit.Policy {
	p := limit.Policy{
		Rate:  TierConfig{c.MaxRequestsPerMinute, time.Minute}.rate(),
		Daily: int64(c.MaxTokensPerDay), Concurrent: c.MaxConcurrent,
		Tiers: make(map[string]limit.Rate),
	}
	for name, tier := range c.ByTier {
		p.Tiers[name] = tier.rate()
	}
	return p
}

func (t TierConfig) rate() limit.Rate {
	if t.Requests == 0 {
		return limit.Rate{}
	}
	return limit.Rate{Requests: t.Requests, Period: t.Period}
}

func (c Config) upstreams() (all []upstream.Upstream) {
	for _, u := range c.Forward {
		all = append(all, u.upstream())
	}
	return all
}

func (u UpstreamConfig) upstream() upstream.Upstream {
	return upstream.Upstream{Name: u.Name, URL: u.URL, APIKey: u.APIKey, Timeout: u.Timeout, MaxRetries: u.MaxRetries}
}
