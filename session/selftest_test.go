package session_test

import (
	"os"
	"testing"

	"maxrelay/session"
)

func TestSelfTestHoldsForThePinnedCLI(t *testing.T) {
	dir := t.TempDir()
	checks, err := session.SelfTest(t.Context(), realConfig(t, ""), dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range checks {
		if c.Err != nil {
			t.Errorf("%s: %v", c.Name, c.Err)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("it left %d files behind (%v)", len(left), err)
	}
}

func TestProbeTellsWhoTheCLIIs(t *testing.T) {
	cfg := realConfig(t, "http://127.0.0.1:1")
	id, err := session.Probe(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if id.Version == "" || !id.SignedIn || len(id.Models) == 0 {
		t.Errorf("with a key: %+v", id)
	}
	cfg.Env = session.Environ([]string{"PATH=/usr/bin:/bin", "HOME=" + t.TempDir()}, "", nil)
	if id, err = session.Probe(t.Context(), cfg); err != nil || id.SignedIn {
		t.Errorf("without any sign-in: %+v (%v)", id, err)
	}
	cfg.Path = "/nonexistent/claude"
	if _, err := session.Probe(t.Context(), cfg); err == nil {
		t.Error("a CLI that is not there was probed")
	}
	cfg.Path = "/bin/false"
	if _, err := session.Probe(t.Context(), cfg); err == nil {
		t.Error("a program that is no CLI was taken for one")
	}
}
