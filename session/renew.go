package session

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// errRefusedCLI means that the CLI now at Config.Path has not passed Config.Vet, and
// that the one before it is gone.
var errRefusedCLI = errors.New("the claude CLI that is installed now is not used")

// identity tells one executable file from another, or from itself rewritten.
type identity struct {
	path     string // of the file itself, behind links
	inode    uint64
	size     int64
	modified int64 // in nanoseconds
}

// executable is a file to start.
type executable struct {
	identity
	start string // how to start it
}

// edition is a CLI that processes run. The version is part of it because the file may
// be a script that starts another one.
type edition struct {
	file    identity
	version string
}

// renewal follows the CLI behind Config.Path as its operator replaces it. Guarded by
// the pool's mutex.
type renewal struct {
	looked   time.Time         // when last looked without a start
	renewed  time.Time         // when the latest idle session was stopped for its age
	seen     identity          // what was at the path when last looked
	current  edition           // what new processes run; zero before the first
	verdicts map[edition]error // of Vet, which is asked once for each
	refused  edition           // the latest that has failed
	reason   string
}

// outdated says that s runs a CLI that was replaced by one that has passed.
func (r *renewal) outdated(s *session) bool {
	return r.current != edition{} && s.edition != r.current
}

// scout says that a process has to be started to find out about a new file.
func (r *renewal) scout() bool {
	return r.current != edition{} && r.seen != r.current.file && r.seen != r.refused.file
}

// refusal is why the file at the path is not used, "" if it is.
func (r *renewal) refusal() string {
	if r.reason == "" || r.seen != r.refused.file {
		return ""
	}
	return r.reason
}

func identify(path string) (executable, error) {
	found, err := exec.LookPath(path)
	if err != nil {
		return executable{}, err
	}
	file, err := filepath.EvalSymlinks(found)
	if err != nil {
		return executable{}, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return executable{}, err
	}
	id := identity{path: file, size: info.Size(), modified: info.ModTime().UnixNano()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		id.inode = sys.Ino
	}
	return executable{identity: id, start: path}, nil
}

// look notes which file is at the path, every few seconds at most. While it is being
// replaced there may be none.
func (p *Pool) look() {
	p.mu.Lock()
	due := time.Since(p.renewal.looked) >= p.cfg.rhythm.tick
	p.mu.Unlock()
	if !due {
		return
	}
	file, err := identify(p.cfg.Path)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.renewal.looked = time.Now()
	if err == nil {
		p.renewal.seen = file.identity
	}
}

// candidate is what to start: the file at the path, or the one used so far when that
// is gone or was refused.
func (p *Pool) candidate() (executable, error) {
	file, err := identify(p.cfg.Path)
	p.mu.Lock()
	if err == nil {
		p.renewal.seen = file.identity
	}
	refusal, former := p.renewal.refusal(), p.renewal.current.file
	p.mu.Unlock()
	if err == nil && refusal == "" {
		return file, nil
	}
	if again, gone := identify(former.path); former.path != "" && gone == nil && again.identity == former {
		return again, nil
	}
	if err != nil {
		return executable{}, fmt.Errorf("start the CLI: %w", err)
	}
	return executable{}, fmt.Errorf("%w: %s", errRefusedCLI, refusal)
}

// admit says whether processes of an edition may serve, and asks Vet for the first.
// The pool moves on to it when it is the one at the path.
func (p *Pool) admit(e edition) error {
	verdict := p.verdict(e)
	p.mu.Lock()
	defer p.mu.Unlock()
	if verdict != nil {
		p.renewal.refused, p.renewal.reason = e, verdict.Error()
		return fmt.Errorf("%w: %w", errRefusedCLI, verdict)
	}
	if e.file == p.renewal.seen {
		p.adoptLocked(e)
	}
	return nil
}

// verdict asks Vet at most once for an edition. Others that start meanwhile wait for it.
func (p *Pool) verdict(e edition) error {
	p.vetting.Lock()
	defer p.vetting.Unlock()
	p.mu.Lock()
	verdict, known := p.renewal.verdicts[e]
	former := p.renewal.current.version
	p.mu.Unlock()
	if known {
		return verdict
	}
	verdict = p.cfg.Vet(p.closing, e.version)
	if p.closing.Err() != nil {
		return errClosed
	}
	if verdict != nil {
		p.log.Error().Err(verdict).Str("cli", e.version).Str("in_use", former).Msg("a claude CLI is not used")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.renewal.verdicts[e] = verdict
	return verdict
}

// adoptLocked makes e what new processes run. Spares of another are of no use any more;
// sessions go when their turn comes.
func (p *Pool) adoptLocked(e edition) {
	former := p.renewal.current
	if e == former {
		return
	}
	p.renewal.current = e
	if former == (edition{}) {
		return
	}
	p.log.Info().Str("cli", e.version).Str("was", former.version).Msg("the claude CLI was replaced")
	p.dropOldSparesLocked()
}

func (p *Pool) dropOldSparesLocked() {
	for i := len(p.spares) - 1; i >= 0; i-- {
		if p.renewal.outdated(p.spares[i]) {
			p.retireSpareLocked(i, EndOutdated)
		}
	}
}

// renewLocked stops the longest idle session of a CLI that was replaced, one at a
// time: each may cost its next turn a start. It returns when to look again.
func (p *Pool) renewLocked() time.Duration {
	p.dropOldSparesLocked()
	if wait := p.cfg.rhythm.renew - time.Since(p.renewal.renewed); wait > 0 {
		return wait
	}
	if p.retireIdleLocked(EndOutdated, p.renewal.outdated) {
		p.renewal.renewed = time.Now()
		return p.cfg.rhythm.renew
	}
	return p.cfg.rhythm.tick
}
