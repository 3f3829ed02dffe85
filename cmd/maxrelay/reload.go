package main

import (
	"context"
	"errors"
	"os"
	"reflect"
	"slices"
)

// reloading is a part that takes settings while it runs. It looks at the keys of a
// configuration that are marked reload and either refuses them or returns what puts them
// into force, which cannot fail any more: so a configuration is taken as a whole or not
// at all.
type reloading func(Config) (apply func(), err error)

// onReload is for parts to call where they are opened.
func (p *program) onReload(r reloading) { p.reloadings = append(p.reloadings, r) }

// run reloads the configuration at each hangup until ctx ends.
func (p *program) run(ctx context.Context, hangups <-chan os.Signal, load func() (Config, error)) {
	for {
		select {
		case <-hangups:
			p.reload(load)
		case <-ctx.Done():
			return
		}
	}
}

// reload reads the configuration again. One that is bad changes nothing.
func (p *program) reload(load func() (Config, error)) {
	reloaded, waiting, err := p.takeAgain(load)
	if err != nil {
		p.log.Error().Err(err).Msg("the configuration was not reloaded: the settings stay as they are")
		return
	}
	if len(waiting) > 0 {
		p.log.Warn().Strs("keys", waiting).Msg("some changed settings wait for a restart")
	}
	p.log.Info().Strs("changed", reloaded).Msg("configuration reloaded")
}

func (p *program) takeAgain(load func() (Config, error)) (reloaded, waiting []string, err error) {
	next, err := load()
	if err != nil {
		return nil, nil, err
	}
	effective := reloadedConfig(p.cfg, next)
	apply, err := p.prepare(effective)
	if err != nil {
		return nil, nil, err
	}
	for _, put := range apply {
		put()
	}
	reloaded, waiting = changedKeys(p.cfg, next)
	p.cfg = effective
	return reloaded, waiting, nil
}

// prepare asks all parts before any of them changes.
func (p *program) prepare(cfg Config) (apply []func(), err error) {
	for _, r := range p.reloadings {
		put, refused := r(cfg)
		apply, err = append(apply, put), errors.Join(err, refused)
	}
	return apply, err
}

// reloadedConfig is what runs after a reload: the keys marked so from next, the rest as
// it was.
func reloadedConfig(running, next Config) Config {
	effective := reflect.ValueOf(&running).Elem()
	for _, k := range configKeys {
		if k.isReloaded() {
			effective.FieldByIndex(k.field).Set(reflect.ValueOf(k.valueIn(next)))
		}
	}
	return running
}

// changedKeys names the keys and tables in which two configurations differ: those that a
// reload puts into force, and those that wait for a restart.
func changedKeys(running, next Config) (reloaded, waiting []string) {
	for _, k := range configKeys {
		switch {
		case reflect.DeepEqual(k.valueIn(running), k.valueIn(next)):
		case k.isReloaded():
			reloaded = append(reloaded, k.table())
		default:
			waiting = append(waiting, k.table())
		}
	}
	return slices.Compact(reloaded), slices.Compact(waiting)
}

// reloadLogLevel is the level of the whole process.
func reloadLogLevel(cfg Config) (apply func(), err error) {
	return func() { setLogLevel(cfg.Log.Level) }, nil
}
