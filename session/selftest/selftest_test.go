package selftest_test

import (
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"maxrelay/session"
	"maxrelay/session/claudetest"
	"maxrelay/session/selftest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func run(t *testing.T, path string) []selftest.Check {
	t.Helper()
	t.Chdir(t.TempDir())
	const dir = "data" // relative, as the configuration's default is
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	cfg := session.Config{Path: path, Cwd: "/", StartTimeout: time.Minute,
		Env: session.Environ([]string{"PATH=/usr/bin:/bin", "ANTHROPIC_API_KEY=the-operators"}, "", nil)}
	checks, err := selftest.Run(t.Context(), cfg, dir)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("it left %d files behind (%v)", len(left), err)
	}
	return checks
}

func TestThePinnedCLIPasses(t *testing.T) {
	for _, c := range run(t, claudetest.RealCLI(t)) {
		if c.Err != nil {
			t.Errorf("%s: %v", c.Name, c.Err)
		}
	}
}

func TestAProgramThatIsNoCLIFails(t *testing.T) {
	for _, c := range run(t, "/bin/false") {
		if c.Err == nil {
			t.Errorf("%s: held for a program that is no CLI", c.Name)
		}
	}
}
