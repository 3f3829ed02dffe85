package session_test

import (
	"testing"

	"maxrelay/session"
)

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
