package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"maxrelay/session/anthropictest"
	"maxrelay/session/chat"
	"maxrelay/session/claudetest"
)

// agent is the real CLI as a client: with its own tools, in a folder of its own, and with
// maxrelay for the Messages API.
type agent struct {
	t              *testing.T
	path, home, in string
	url, key       string
}

func newAgent(t *testing.T) *agent {
	return &agent{t: t, path: claudetest.RealCLI(t), home: t.TempDir(), in: t.TempDir(), key: sdkKey}
}

// ask runs the CLI for one question and returns what it prints at its end.
func (a *agent) ask(args ...string) string {
	a.t.Helper()
	cmd := exec.CommandContext(a.t.Context(), a.path, append(args, "--model", "sonnet", "--allowedTools", "Bash,Read", "--output-format", "json")...)
	cmd.Dir = a.in
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + a.home, "ANTHROPIC_BASE_URL=" + a.url, "ANTHROPIC_API_KEY=" + a.key,
		"DISABLE_AUTOUPDATER=1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1"}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	var result struct {
		Result  string
		IsError bool `json:"is_error"`
	}
	if err != nil || json.Unmarshal(out, &result) != nil || result.IsError {
		a.t.Fatalf("the CLI: %v\n%s\n%s", err, out, errs.String())
	}
	return result.Result
}

// An agent that is pointed at maxrelay works: its tools are the model's, what they give
// comes back, and its conversation goes on in the process that holds it.
func TestTheCLIItselfAsAClient(t *testing.T) {
	s := newSite(t)
	s.extra = fmt.Sprintf("auth: {enabled: true, api_keys: [%q]}", sdkKey)
	a := newAgent(t)
	picture := filepath.Join(a.in, "dot.png")
	png, err := base64.StdEncoding.DecodeString(dot)
	if err == nil {
		err = os.WriteFile(picture, png, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.model.Script(steps(
		anthropictest.Think("I make a note.").Then(anthropictest.ToolUse("Bash", `{"command":"echo made > note.txt; cat note.txt","description":"Make a note"}`)),
		anthropictest.ToolUse("Read", `{"file_path":`+quote(picture)+`}`).Then(anthropictest.ToolUse(chat.ToolName("ToolSearch"), `{"query":"select:WebFetch","max_results":1}`)),
		anthropictest.Say("The note ", "is made."),
		anthropictest.Say("You are welcome."),
	))
	p := s.start("serve", servesHTTP, realCLI, "serve")
	rec := record(t, p.url)
	a.url = rec.url

	if got := a.ask("-p", "Make a note."); got != "The note is made." {
		t.Errorf("the agent said %q", got)
	}
	if got := a.ask("-p", "Thank you.", "--continue"); got != "You are welcome." {
		t.Errorf("the agent went on with %q", got)
	}
	if note, err := os.ReadFile(filepath.Join(a.in, "note.txt")); err != nil || string(note) != "made\n" {
		t.Errorf("the note: %q, %v", note, err)
	}
	rec.mustKeepToTheSchemas(t)
	if got, want := rec.sessions(), []string{"new", "warm", "warm", "warm"}; !slices.Equal(got, want) {
		t.Errorf("sessions %q, want %q", got, want)
	}
	mustHaveWorked(t, s.model.Requests(), picture)
}

// steps answers a conversation by how far it has got.
func steps(replies ...anthropictest.Reply) func(anthropictest.Request) *anthropictest.Reply {
	return func(r anthropictest.Request) *anthropictest.Reply {
		step := 0
		for _, m := range anthropictest.Conversation(r) {
			if m.Role == "assistant" {
				step++
			}
		}
		return &replies[min(step, len(replies)-1)]
	}
}

// sessions tells of each answer of a model how its process was had.
func (rec *recorder) sessions() (all []string) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for _, e := range rec.all {
		if strings.HasPrefix(e.path, "/v1/messages") {
			all = append(all, e.header.Get("X-Maxrelay-Session"))
		}
	}
	return all
}

// mustHaveWorked checks what the model saw at the end.
func mustHaveWorked(t *testing.T, all []anthropictest.Request, picture string) {
	t.Helper()
	last := all[len(all)-1]
	lines := sketch(last)
	for i, want := range []string{
		`assistant: thinking | Bash{"command":"echo made > note.txt; cat note.txt","description":"Make a note"}`,
		`user: Bash = made`,
		`assistant: Read{"file_path":` + quote(picture) + `} | ` + chat.ToolName("ToolSearch") + `{"max_results":1,"query":"select:WebFetch"}`,
	} {
		if len(lines) < 4 || lines[i+1] != want {
			t.Errorf("line %d of what the model saw is not %s:\n%s", i+1, want, strings.Join(lines[1:], "\n"))
		}
	}
	kinds := make(map[string]int)
	for _, m := range anthropictest.Conversation(last) {
		for _, b := range m.Content {
			for _, inner := range b.Content {
				kinds[inner.Type]++
			}
		}
	}
	if results := strings.Join(lines, "\n"); kinds["image"] != 1 || !strings.Contains(results, "= <tool_reference>WebFetch</tool_reference>") {
		t.Errorf("results of the kinds %v in\n%s", kinds, results)
	}
	var offered []string
	for _, tool := range last.Body.Tools {
		offered = append(offered, chat.ClientToolName(tool.Name))
	}
	for _, name := range []string{"Agent", "Bash", "Edit", "Read", "ToolSearch", "WebFetch", "Write"} {
		if !slices.Contains(offered, name) {
			t.Errorf("the model was not offered %s, only %q", name, offered)
		}
	}
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}
