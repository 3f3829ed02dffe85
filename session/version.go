package session

import (
	_ "embed"
	"encoding/json"
)

// The one place where the CLI's version stands is the npm manifest that installs it.
//
//go:embed testdata/cli/package.json
var cliManifest []byte

// TestedCLI is the version of Claude Code that this package is tested with.
var TestedCLI = pinnedVersion(cliManifest)

func pinnedVersion(manifest []byte) string {
	var m struct {
		Dependencies map[string]string `json:"dependencies"`
	}
	if err := json.Unmarshal(manifest, &m); err != nil {
		panic("the embedded npm manifest is not JSON")
	}
	return m.Dependencies["@anthropic-ai/claude-code"]
}

// Flags are the command line of every CLI process, for tests that hold one themselves.
func Flags(model string) []string { return flags(model) }
