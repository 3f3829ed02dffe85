package maxrelay_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/doc"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "maxrelay"

// folders is all that the top level may hold.
var folders = []string{"cmd", "api", "worker", "queue", "session", "stats", "docs", "tools", "deploy", ".ci"}

// arrows is which of our packages a package may import, the ones below its own folder aside. A package that is not
// listed obeys the nearest folder above it that is.
var arrows = map[string]struct {
	imports []string
	leaf    bool // nothing but the standard library
}{
	"cmd":                   {imports: []string{"api", "worker", "queue", "session", "stats"}},
	"api":                   {imports: []string{"queue", "stats", "session/chat", "session/picture"}},
	"worker":                {imports: []string{"queue", "session", "session/chat"}},
	"queue":                 {},
	"stats":                 {imports: []string{"session/chat"}},
	"session":               {imports: []string{"session/chat", "session/picture"}},
	"session/chat":          {leaf: true},
	"session/picture":       {},
	"session/anthropictest": {leaf: true},
	"session/selftest":      {imports: []string{"session", "session/chat", "session/anthropictest"}},
	"session/claudetest":    {imports: []string{"session/chat", "session/anthropictest"}},
}

type listedPackage struct {
	Dir, ImportPath string
	Imports         []string
	GoFiles         []string
	IgnoredGoFiles  []string // other platforms'
}

func (p listedPackage) name() string { return strings.TrimPrefix(p.ImportPath, module+"/") }

// ourPackages leaves out what holds tests only.
func ourPackages(t *testing.T) []listedPackage {
	t.Helper()
	out := run(t, "go", "list", "-e", "-json=Dir,ImportPath,Imports,GoFiles,IgnoredGoFiles", "./...")
	var packages []listedPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 {
			packages = append(packages, p)
		}
	}
}

func run(t *testing.T, name string, args ...string) []byte {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, stderr.String())
	}
	return out
}

func TestImportsFollowTheArrows(t *testing.T) {
	for _, p := range ourPackages(t) {
		home := ruleOf(p.name())
		if home == "" {
			t.Errorf("%s has no place in the layout", p.name())
			continue
		}
		for _, imported := range p.Imports {
			if !mayImport(home, imported) {
				t.Errorf("%s must not import %s", p.name(), imported)
			}
		}
	}
}

// ruleOf returns the key of arrows that holds for the package.
func ruleOf(name string) string {
	for ; name != "."; name = filepath.Dir(name) {
		if _, ok := arrows[name]; ok {
			return name
		}
	}
	return ""
}

func mayImport(home, imported string) bool {
	name, ours := strings.CutPrefix(imported, module+"/")
	if !ours {
		return !arrows[home].leaf || isStandard(imported)
	}
	for _, allowed := range arrows[home].imports {
		// A folder listed in arrows of its own is not meant by the one above it, except by cmd, which joins everything.
		if ruleOf(name) == allowed || home == "cmd" && strings.HasPrefix(name, allowed+"/") {
			return true
		}
	}
	return ruleOf(name) == home
}

// isStandard tells by the missing dot, which every other module's host has.
func isStandard(path string) bool {
	host, _, _ := strings.Cut(path, "/")
	return !strings.Contains(host, ".")
}

func TestArrowsTellGoodFromBad(t *testing.T) {
	tests := []struct {
		from, imported string
		want           bool
	}{
		{"cmd/maxrelay", "maxrelay/session/anthropictest", true},
		{"api", "maxrelay/queue", true},
		{"api", "maxrelay/api/openai", true},
		{"api/openai", "maxrelay/session/chat", true},
		{"api", "maxrelay/worker", false},
		{"api", "maxrelay/session", false},
		{"worker", "maxrelay/api", false},
		{"worker", "maxrelay/api/key", false},
		{"queue", "maxrelay/session/chat", false},
		{"queue", "github.com/nats-io/nats.go", true},
		{"session", "maxrelay/session/claudetest", false},
		{"session/chat", "github.com/rs/zerolog", false},
		{"session/chat", "encoding/json", true},
		{"stats", "maxrelay/cmd/maxrelay", false},
	}
	for _, tt := range tests {
		if got := mayImport(ruleOf(tt.from), tt.imported); got != tt.want {
			t.Errorf("%s may import %s: %t, want %t", tt.from, tt.imported, got, tt.want)
		}
	}
}

func TestEveryPackageSaysOnceWhatItIs(t *testing.T) {
	for _, p := range ourPackages(t) {
		var said []string
		for _, file := range slices.Concat(p.GoFiles, p.IgnoredGoFiles) {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if sentence := new(doc.Package).Synopsis(parsed.Doc.Text()); sentence != "" {
				said = append(said, sentence)
			}
		}
		switch {
		case len(said) != 1:
			t.Errorf("%s has %d package docs: %q", p.name(), len(said), said)
		case !strings.HasSuffix(said[0], "."):
			t.Errorf("%s: %q is no sentence", p.name(), said[0])
		}
	}
}

func TestTopLevelHoldsOnlyItsFolders(t *testing.T) {
	files := run(t, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	for file := range strings.SplitSeq(string(files), "\x00") {
		folder, _, below := strings.Cut(file, "/")
		if below && !slices.Contains(folders, folder) {
			t.Errorf("%s: there is no place for a folder %s", file, folder)
		}
	}
}
