package claudetest

import (
	"os"
	"path/filepath"
	"runtime"
)

// tester is the part of testing.TB that RealCLI needs; without the import, the fake's binary stays free of package testing.
type tester interface {
	Helper()
	Fatal(args ...any)
}

// RealCLI is the path of the Claude Code release that this module is tested against. It fails the test when that is not installed.
func RealCLI(tb tester) string {
	tb.Helper()
	root, err := moduleRoot()
	if err != nil {
		tb.Fatal(err)
	}
	dir := "claude-code-" + npmPlatform()
	path := filepath.Join(root, "session", "testdata", "cli", "node_modules", "@anthropic-ai", dir, "claude")
	if _, err := os.Stat(path); err != nil {
		tb.Fatal("the Claude Code CLI is not installed: run `make cli`")
	}
	return path
}

// npmPlatform names this machine as npm packages do.
func npmPlatform() string {
	arch := runtime.GOARCH
	if arch == "amd64" {
		arch = "x64"
	}
	return runtime.GOOS + "-" + arch
}

// moduleRoot is the folder of the nearest go.mod at or above the working directory, which go test makes the package's own.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		return "", os.ErrNotExist
	}
}
