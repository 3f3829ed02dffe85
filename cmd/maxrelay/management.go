package main

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"maxrelay/api/admin"
	"maxrelay/api/key"
)

// openKeys opens the managed keys, and what manages them.
func (p *program) openKeys(ctx context.Context) error {
	nc, err := p.connect("keys")
	if err != nil {
		return err
	}
	err = p.patiently(ctx, func(ctx context.Context) (err error) {
		p.store, err = key.OpenStore(ctx, nc, key.StoreConfig{Replicas: p.cfg.NATS.Cluster.Replicas}, p.log)
		return err
	})
	if err != nil {
		return err
	}
	p.opened("keys", func(context.Context) { p.store.Close() })
	cfg, err := p.adminConfig()
	if err != nil {
		return err
	}
	err = p.patiently(ctx, func(ctx context.Context) (err error) {
		p.admin, err = admin.Open(ctx, nc, p.store, cfg, p.log)
		return err
	})
	if err != nil {
		return err
	}
	keys, err := p.clientKeys(p.cfg)
	if err != nil {
		return err
	}
	if len(keys.Callers()) == 0 {
		p.log.Warn().Msg("nobody can call yet: make an API key with `maxrelay key create`")
	}
	return nil
}

func (p *program) adminConfig() (admin.Config, error) {
	password, err := p.adminPassword()
	if err != nil {
		return admin.Config{}, err
	}
	networks, err := key.ParseNetworks(p.cfg.Admin.AllowedIPs)
	if err != nil {
		return admin.Config{}, fmt.Errorf("admin.allowed_ips: %w", err)
	}
	proxies, err := trustedProxies(p.cfg)
	if err != nil {
		return admin.Config{}, err
	}
	return admin.Config{
		Username: p.cfg.Admin.Username, Password: password, Networks: networks,
		Tiers:      func() []string { return p.limits.Tiers() },
		Owner:      p.owner,
		Members:    p.members,
		Usage:      p.useOf,
		ClientAddr: proxies.ClientAddr, Replicas: p.cfg.NATS.Cluster.Replicas,
	}, nil
}

func trustedProxies(cfg Config) (key.Proxies, error) {
	networks, err := key.ParseNetworks(cfg.Proxies)
	if err != nil {
		return nil, fmt.Errorf("trusted_proxies: %w", err)
	}
	return key.Proxies(networks), nil
}

// passwordFile has the administrator's password where the configuration has none.
func (c Config) passwordFile() string { return filepath.Join(c.DataDir, "admin.password") }

func (p *program) adminPassword() (string, error) {
	if p.cfg.Admin.Password != "" {
		return p.cfg.Admin.Password, nil
	}
	file := p.cfg.passwordFile()
	password, made, err := admin.LoadPassword(file)
	if made {
		p.log.Info().Str("file", file).Str("username", p.cfg.Admin.Username).Msg("a password for management was made")
	}
	return password, err
}

// clientKeys are all keys that a configuration lets in.
func (p *program) clientKeys(cfg Config) (*key.Keys, error) {
	static, err := staticKeys(cfg.Auth)
	if err != nil {
		return nil, err
	}
	return static.With(p.store), nil
}

// staticKeys are those that the configuration itself has.
func staticKeys(auth AuthConfig) (*key.Keys, error) {
	keys, err := key.New(auth.APIKeys, auth.Enabled, key.DefaultPool)
	if err != nil {
		return nil, fmt.Errorf("auth.api_keys: %w", err)
	}
	for _, pool := range slices.Sorted(maps.Keys(auth.Pools)) {
		if err := keys.AddPool(pool, auth.Pools[pool].APIKeys); err != nil {
			return nil, fmt.Errorf("auth.pools.%s.api_keys: %w", pool, err)
		}
	}
	return keys, nil
}
