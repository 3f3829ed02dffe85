// Package selftest proves with the installed CLI and a fake model that a held CLI is a model and nothing else.
package selftest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"maxrelay/session"
)

// Check is one finding of Run; Err is nil when it holds. Its text is of the test's own
// words only: no caller's text is anywhere near.
type Check struct {
	Name string
	Err  error
}

// patience is how long all checks may take after the CLI has started; they take about
// a second.
const patience = time.Minute

var errSlow = errors.New("the self-test took too long")

// Run proves on this machine, with the CLI of cfg and a fake model on loopback, that a
// CLI held by package session is only a model: caller text is data, tools run nothing,
// the operator's own set-up is not used, and a cut leaves nothing behind. It starts
// one process, works in a new folder below dir and uses a made-up key; the operator's
// sign-in and the network are not touched.
func Run(ctx context.Context, cfg session.Config, dir string) ([]Check, error) {
	lab, err := newLab(cfg, dir)
	if err != nil {
		return nil, fmt.Errorf("self-test: %w", err)
	}
	defer lab.close()
	ctx, cancel := context.WithTimeoutCause(ctx, patience+cfg.StartTimeout, errSlow)
	defer cancel()
	checks := []Check{
		{"caller text reaches the model literally", lab.literal(ctx)},
		{"a history is told to the model exactly", lab.history(ctx)},
		{"a cut conversation leaves nothing behind", lab.cut(ctx)},
		{"tools called by the model run nothing", lab.tools(ctx)},
	}
	lab.pool.Close() // what hooks and servers have begun is over then
	return append(checks, Check{"nothing of the operator's own set-up is used", lab.isolation()}), context.Cause(ctx)
}

// Vet says why the CLI of cfg, which calls itself version, must not serve; nil if it
// may. The error is for the operator.
func Vet(ctx context.Context, cfg session.Config, dir, version string) error {
	checks, err := Run(ctx, cfg, dir)
	if err != nil {
		return err
	}
	var failed []error
	for _, c := range checks {
		if c.Err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", c.Name, c.Err))
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return fmt.Errorf("claude CLI %s failed the self-test and is not used; maxrelay is tested with %s, see docs/cli-versions.md: %w",
		version, session.TestedCLI, joined(failed))
}

// joined is errors on one line, as logs want them.
func joined(errs []error) error {
	all := errs[0]
	for _, err := range errs[1:] {
		all = fmt.Errorf("%w; %w", all, err)
	}
	return all
}
