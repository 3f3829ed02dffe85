package claudetest_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"maxrelay/session"
	"maxrelay/session/claudetest"
)

// `make contract` sets these; without them the pinned release is examined.
var (
	cliPath    = flag.String("cli", "", "path of the CLI to examine; its findings are printed")
	cliVersion = flag.String("cli-version", session.TestedCLI, "version of that CLI")
)

// point is one fact of the CLI that this program is built on.
type point struct {
	name string
	want string // what the tested release shows
	see  func(*lab) string
}

// TestContract examines a CLI point by point. docs/cli-versions.md says what each point is needed for.
func TestContract(t *testing.T) {
	if *cliPath != "" {
		printContract(t, *cliPath)
		return
	}
	l := openLab(t, claudetest.RealCLI(t))
	for _, p := range contract() {
		t.Run(p.name, func(t *testing.T) {
			if seen := l.examine(p); seen != p.want {
				t.Errorf("expected %s\nseen     %s", p.want, seen)
			}
		})
	}
}

// printContract says of every point whether it holds, and fails if one does not.
func printContract(t *testing.T, path string) {
	path, err := filepath.Abs(path) // the CLI runs in another folder
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("Claude Code %s, compared with %s\n", *cliVersion, session.TestedCLI)
	l := openLab(t, path)
	points, differ := contract(), 0
	for i, p := range points {
		seen := l.examine(p)
		if seen == p.want {
			fmt.Printf("ok       %s: %s\n", p.name, p.want)
			continue
		}
		differ++
		fmt.Printf("DIFFERS  %s: expected %s; seen %s\n", p.name, p.want, strings.ReplaceAll(seen, "\n", " "))
		if i == 0 {
			t.Fatal("it does not start as maxrelay starts it: nothing more can be found out")
		}
	}
	fmt.Printf("%d of %d points differ\n", differ, len(points))
	if differ > 0 {
		t.Fail()
	}
}

func contract() []point {
	return slices.Concat(startPoints(), accountPoints(), requestPoints(), isolationPoints(), textPoints(), historyPoints(), rewindPoints(),
		stopPoints(), settingPoints(), toolPoints(), endPoints())
}

func TestContractIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/cli-versions.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range contract() {
		if !strings.Contains(string(page), "| "+p.name+" |") {
			t.Errorf("docs/cli-versions.md does not say what this is for: %s", p.name)
		}
	}
}

func TestAPointCanDiffer(t *testing.T) {
	l := openLab(t, "/bin/false")
	for _, p := range contract() {
		if seen := l.examine(p); seen == p.want {
			t.Errorf("%s: holds for a program that is no CLI", p.name)
		}
	}
}
