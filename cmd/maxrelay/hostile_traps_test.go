package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"maxrelay/session/claudetest"
)

// secret is in the files that lie about.
const secret = "xyzzy-in-a-file"

// bait is a folder with files that texts name, where commands in texts would leave more.
// The CLI works in it.
type bait struct {
	dir   string
	files map[string]string
}

func newBait(t *testing.T) bait {
	b := bait{t.TempDir(), map[string]string{"bait.txt": secret + "\n2\n3\n", "bait file.txt": secret, "CLAUDE.md": secret}}
	for name, content := range b.files {
		mustWrite(t, filepath.Join(b.dir, name), content, 0o600)
	}
	return b
}

func mustWrite(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func (b bait) mustBeUntouched(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(b.dir)
	if err != nil || len(entries) != len(b.files) {
		t.Errorf("the folder of the CLI holds %v (%v)", entries, err)
	}
	for name, content := range b.files {
		if got, err := os.ReadFile(filepath.Join(b.dir, name)); err != nil || string(got) != content {
			t.Errorf("%s holds %q (%v)", name, got, err)
		}
	}
}

// trapped is the real CLI with nothing on its PATH but programs that note that they ran.
func (b *stage) trapped(t testing.TB) (path string, env map[string]string) {
	bin := filepath.Join(b.dir, "bin")
	b.ran = filepath.Join(b.dir, "ran")
	for _, name := range strings.Fields("sh bash zsh touch ls cat env git gh rg grep find id curl wget node bun npx python3 claude code vi nano less open xdg-open base64 calc ps kill") {
		mustWrite(b.t.(*testing.T), filepath.Join(bin, name), fmt.Sprintf("#!/bin/sh\necho $0 $* >>%s\n", b.ran), 0o700)
	}
	mustWrite(b.t.(*testing.T), filepath.Join(b.dir, "home-serve", "bait.txt"), secret, 0o600)
	return claudetest.RealCLI(t), map[string]string{"PATH": bin, "SHELL": filepath.Join(bin, "bash")}
}

// ownProgram is what Claude Code 2.1.330 runs by itself when it starts, whatever it is told.
var ownProgram = regexp.MustCompile(`/bin/git -c core\.hooksPath=/dev/null .* ls-files --error-unmatch -- :\(icase\)\.claude/settings\.local\.json\n$`)

// mustHaveRunNothing checks that no program on the PATH ran, and that no process is left
// that one of the CLIs started.
func (b *stage) mustHaveRunNothing(t *testing.T) {
	t.Helper()
	ran, _ := os.ReadFile(b.ran) // the CLI's own may not have come to it
	for line := range strings.Lines(string(ran)) {
		if !ownProgram.MatchString(line) {
			t.Errorf("a program ran: %s", line)
		}
	}
	for _, cli := range b.program.clis() {
		for _, pid := range childrenOf(t, cli) {
			t.Errorf("process %d was started by a CLI", pid)
		}
	}
}

// traces is all that could hold a caller's text but should not.
func (b *stage) traces(t *testing.T) string {
	t.Helper()
	all := []string{b.program.text()}
	for _, pattern := range []string{"/proc/[0-9]*/cmdline"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatal("no process to look at")
		}
		for _, path := range paths {
			argv, _ := os.ReadFile(path) // processes end
			all = append(all, string(argv))
		}
	}
	return strings.Join(append(all, filesIn(t, b.dir)...), "\n")
}

// filesIn is the names and the contents of all files below a folder.
func filesIn(t *testing.T, dir string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // files come and go while the program runs
		}
		raw, _ := os.ReadFile(path)
		all = append(all, path, string(raw))
		return nil
	})
	if err != nil || len(all) == 0 {
		t.Errorf("looked at %d files (%v)", len(all), err)
	}
	return all
}

// mustNotHaveTold looks for the texts in the log, in arguments of processes and in files.
// Those that cannot be told from other words are passed over.
func (b *stage) mustNotHaveTold(t *testing.T, before string, texts []string) {
	t.Helper()
	after, looked := b.traces(t), 0
	for _, s := range texts {
		for _, form := range []string{s, strings.Trim(encoded(s), `"`)} {
			if form = strings.TrimSpace(form); len(form) < 8 || strings.Contains(before, form) {
				continue
			}
			if looked++; strings.Contains(after, form) {
				t.Errorf("%q is in a log, a file or an argument", clip(s))
			}
		}
	}
	if looked < len(texts) {
		t.Errorf("looked for %d forms of %d texts only", looked, len(texts))
	}
}
