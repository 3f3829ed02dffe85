package selftest_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"maxrelay/session"
	"maxrelay/session/claudetest"
	"maxrelay/session/selftest"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(saboteur); name != "" {
		os.Exit(runSaboteur(name))
	}
	goleak.VerifyTestMain(m)
}

func configOf(path string) session.Config {
	return session.Config{Path: path, Cwd: "/", StartTimeout: time.Minute,
		Env: session.Environ([]string{"PATH=/usr/bin:/bin", "ANTHROPIC_API_KEY=the-operators"}, "", nil)}
}

func run(t *testing.T, path, dir string) []selftest.Check {
	t.Helper()
	checks, err := selftest.Run(t.Context(), configOf(path), dir)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("it left %d files behind (%v)", len(left), err)
	}
	return checks
}

func TestThePinnedCLIPasses(t *testing.T) {
	path := claudetest.RealCLI(t)
	t.Chdir(t.TempDir())
	const dir = "data" // relative, as the configuration's default is
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range run(t, path, dir) {
		if c.Err != nil {
			t.Errorf("%s: %v", c.Name, c.Err)
		}
	}
	if err := selftest.Vet(t.Context(), configOf(path), dir, session.TestedCLI); err != nil {
		t.Error(err)
	}
}

func TestAProgramThatIsNoCLIFails(t *testing.T) {
	for _, c := range run(t, "/bin/false", t.TempDir()) {
		if c.Err == nil {
			t.Errorf("%s: held for a program that is no CLI", c.Name)
		}
	}
}

const (
	literal   = "caller text reaches the model literally"
	history   = "a history is told to the model exactly"
	cut       = "a cut conversation leaves nothing behind"
	tools     = "tools called by the model run nothing"
	isolation = "nothing of the operator's own set-up is used"
)

// Each check fails for a CLI that lost the safeguard it is for.
func TestACLIThatLostASafeguardFails(t *testing.T) {
	tests := map[string]map[string]string{ // sabotage → check → what its error says
		"text is not literal":                 {literal: "expected", history: "expected", isolation: `the baits ["file"]`},
		"the system prompt is the CLI's own":  {literal: "expected the given system prompt alone"},
		"answers of the past are forgotten":   {history: "expected"},
		"nothing is cut":                      {cut: "expected"},
		"tools are offered":                   {literal: "expected no tools to be offered"},
		"tools are run":                       {tools: `the traces ["ran-tool"]`},
		"the operator's settings are used":    {literal: "expected", isolation: `the traces ["ran-helper" "ran-hook"]`},
		"the operator's MCP servers are used": {isolation: `"ran-mcp"`},
		"another sign-in is used":             {isolation: "saw another sign-in"},
	}
	for _, name := range slices.Sorted(maps.Keys(sabotages)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := tests[name]
			if len(want) == 0 {
				t.Fatal("no check is to notice it")
			}
			for _, c := range run(t, sabotaged(t, name), t.TempDir()) {
				if saw, ok := want[c.Name]; ok && (c.Err == nil || !strings.Contains(c.Err.Error(), saw)) {
					t.Errorf("%s: %v, want an error with %s", c.Name, c.Err, saw)
				}
			}
		})
	}
}

func TestTheVerdictTellsTheOperatorWhatToDo(t *testing.T) {
	err := selftest.Vet(t.Context(), configOf("/bin/false"), t.TempDir(), "2.9.9")
	if err == nil {
		t.Fatal("a program that is no CLI may serve")
	}
	for _, part := range []string{"claude CLI 2.9.9", session.TestedCLI, "docs/cli-versions.md", literal, isolation} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("it does not say %q: %v", part, err)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("it is more than a line: %q", err)
	}
}
