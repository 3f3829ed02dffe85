package claudetest_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"maxrelay/session/anthropictest"
)

func startPoints() []point {
	return []point{
		{"the flags are accepted", `answers, exit 0, stderr ""`, func(l *lab) string {
			l.fresh()
			l.ask("get_binary_version", nil)
			code := l.end()
			return fmt.Sprintf("answers, exit %d, stderr %q", code, l.stderr)
		}},
		{"a new process is silent until it is asked", "first line control_response, 0 requests", func(l *lab) string {
			l.fresh()
			l.send(control("1", "get_binary_version", nil))
			return fmt.Sprintf("first line %v, %d requests", l.line()["type"], len(l.api.Requests()))
		}},
		{"the version is told before initialize", *cliVersion, func(l *lab) string {
			l.fresh()
			r, _ := l.ask("get_binary_version", nil)["response"].(object)
			return fmt.Sprint(r["version"])
		}},
		{"initialize after that still sets the system prompt", labSystem, func(l *lab) string {
			l.fresh()
			l.ask("get_binary_version", nil)
			l.initialize(labSystem)
			l.say(text("hello"))
			return strings.Join(anthropictest.System(l.newest()), " + ")
		}},
		{"a second initialize changes nothing", labSystem, func(l *lab) string {
			l.clean()
			l.initialize("Be long.")
			l.say(text("hello"))
			return strings.Join(anthropictest.System(l.newest()), " + ")
		}},
		{"the answer to initialize names the sign-in", `token "none", key "ANTHROPIC_API_KEY", provider "firstParty"`, func(l *lab) string {
			l.clean()
			return l.account()
		}},
		{"the answer to initialize names the models", "default=claude-opus-5-5 opus=claude-opus-5-5 fable=claude-fable-5-2 sonnet=claude-sonnet-5-5 haiku=claude-haiku-5-5", func(l *lab) string {
			l.clean()
			return l.models()
		}},
		{"an empty system prompt sends none", "system blocks: 2 of the vendor's, 0 others", func(l *lab) string {
			l.fresh()
			l.initialize("")
			l.say(text("hello"))
			r := l.newest()
			others := len(anthropictest.System(r))
			return fmt.Sprintf("system blocks: %d of the vendor's, %d others", len(r.Body.System)-others, others)
		}},
		{"without a sign-in the answer to initialize says so", `token "none", key "", provider "firstParty"`, func(l *lab) string {
			l.start(slices.DeleteFunc(l.env(""), func(kv string) bool { return strings.HasPrefix(kv, "ANTHROPIC_API_KEY=") }))
			l.initialize("")
			seen := l.account()
			l.drop()
			return seen
		}},
	}
}

func (l *lab) account() string {
	a, _ := l.greeted["account"].(object)
	of := func(k string) string { s, _ := a[k].(string); return s }
	return fmt.Sprintf("token %q, key %q, provider %q", of("tokenSource"), of("apiKeySource"), of("apiProvider"))
}

func (l *lab) models() string {
	var out []string
	list, _ := l.greeted["models"].([]any)
	for _, m := range list {
		m, _ := m.(object)
		out = append(out, fmt.Sprintf("%v=%v", m["value"], m["resolvedModel"]))
	}
	return strings.Join(out, " ")
}

func endPoints() []point {
	return []point{
		{"SIGTERM ends it in the middle of an answer", "exit 143", func(l *lab) string {
			l.clean()
			l.put(text("[[tokens 9]] [[hang after 2]]"))
			l.firstDelta()
			_ = l.cmd.Process.Signal(syscall.SIGTERM)
			code := l.exit()
			l.drop()
			return fmt.Sprintf("exit %d", code)
		}},
		{"it ends when its stdin closes, and keeps no transcript", "exit 0, 0 files with the text", func(l *lab) string {
			l.clean()
			l.say(text("keep-this-to-yourself"))
			code := l.end()
			l.drop()
			return fmt.Sprintf("exit %d, %d files with the text", code, l.filesWith("keep-this-to-yourself"))
		}},
	}
}

// filesWith counts the files below home that hold a text.
func (l *lab) filesWith(s string) (n int) {
	_ = filepath.WalkDir(l.home, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil
		}
		if data, err := os.ReadFile(path); err == nil && strings.Contains(string(data), s) {
			n++
		}
		return nil
	})
	return n
}

func ifFailed(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}
