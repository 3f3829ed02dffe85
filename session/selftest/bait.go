package selftest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"maxrelay/session/anthropictest"
)

// What an operator's home may hold for a CLI of their own, each with a word of its own
// or a command that leaves a file. A held CLI must use none of it.
const (
	secretFile = "bait"
	ranFile    = "ran"
	word       = "selftest-bait-"
)

func (l *lab) bait() error {
	servers := encode(map[string]any{"mcpServers": map[string]any{"bait": l.command("mcp")}})
	files := map[string]string{
		secretFile:                     word + "file\n",
		".claude/CLAUDE.md":            word + "memory\n",
		".claude/agents/bait.md":       "---\nname: bait\ndescription: " + word + "agent\n---\n",
		".claude/skills/bait/SKILL.md": "---\nname: bait\ndescription: " + word + "skill\n---\n",
		".claude/settings.json":        encode(l.settings()),
		".claude.json":                 servers,
		".mcp.json":                    servers,
		"CLAUDE.md":                    word + "memory\n",
	}
	for name, content := range files {
		path := filepath.Join(l.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// settings are those in which everything that can run something does.
func (l *lab) settings() map[string]any {
	hooks := make(map[string]any)
	for _, event := range []string{"SessionStart", "UserPromptSubmit", "PreToolUse", "Stop", "SessionEnd"} {
		hooks[event] = []any{map[string]any{"hooks": []any{map[string]any{"type": "command", "command": touch + "hook"}}}}
	}
	return map[string]any{"hooks": hooks, "apiKeyHelper": touch + "helper; echo sk-of-the-helper",
		"env": map[string]any{"ANTHROPIC_API_KEY": "sk-of-the-settings"}, "enableAllProjectMcpServers": true}
}

// touch is the start of a shell command; home's path may hold anything.
const touch = `touch "$HOME"/` + ranFile + "-"

func (l *lab) command(name string) map[string]any {
	return map[string]any{"type": "stdio", "command": "/bin/sh", "args": []string{"-c", touch + name}}
}

// encode is for values that always encode.
func encode(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// baitsTaken says which baits were: commands that ran, or words that went to the model.
func (l *lab) baitsTaken() error {
	files, err := os.ReadDir(l.dir)
	if err != nil {
		return err
	}
	var traces, words []string
	for _, f := range files {
		if strings.HasPrefix(f.Name(), ranFile) {
			traces = append(traces, f.Name())
		}
	}
	for _, name := range []string{"file", "memory", "agent", "skill"} {
		if slices.ContainsFunc(l.wires, func(r anthropictest.Request) bool { return bytes.Contains(r.Raw, []byte(word+name)) }) {
			words = append(words, name)
		}
	}
	switch {
	case len(traces) > 0:
		return fmt.Errorf("expected nothing to be run, saw the traces %q", traces)
	case len(words) > 0:
		return fmt.Errorf("expected no file to be read, saw the words of the baits %q", words)
	}
	return nil
}
