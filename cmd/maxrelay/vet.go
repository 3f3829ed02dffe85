package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"maxrelay/session"
	"maxrelay/session/selftest"
)

// selfTest says why a CLI must not serve. Tests replace it for the scripted CLI, which
// asks no model and so has nothing to show.
var selfTest = selftest.Vet

const checkingCLI = "checking the claude CLI"

// vetting decides whether the CLI of a worker may serve: whatever its version is, it
// has to prove on this machine that it is only a model. It is asked before the worker
// joins the queue, and again by the pool for its first process and for each CLI that
// is installed later.
type vetting struct {
	cfg session.Config
	dir string // where the self-test may work
	log zerolog.Logger

	mu      sync.Mutex // held while a self-test runs, so that there is one at a time
	passed  fs.FileInfo
	version string // of passed
}

func (v *vetting) vet(ctx context.Context, version string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	file, err := os.Stat(v.cfg.Path)
	if err != nil {
		return fmt.Errorf("claude CLI: %w", err)
	}
	if version == v.version && same(file, v.passed) {
		return nil
	}
	if err := os.MkdirAll(v.dir, 0o700); err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	v.log.Info().Str("cli", version).Msg(checkingCLI)
	if version != session.TestedCLI {
		v.log.Warn().Str("cli", version).Str("tested", session.TestedCLI).Msg("maxrelay is tested with another version of the claude CLI")
	}
	begun := time.Now()
	if err := selfTest(ctx, v.cfg, v.dir, version); err != nil {
		return err
	}
	v.passed, v.version = file, version
	v.log.Info().Str("cli", version).Dur("took", time.Since(begun)).Msg("the claude CLI passed the self-test")
	return nil
}

// same reports whether a file is still the one that it was.
func same(a, b fs.FileInfo) bool {
	return b != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
