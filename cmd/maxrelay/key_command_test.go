package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// shell runs `maxrelay args…` with the configuration of a process, and an environment of
// its own.
func (s *site) shell(of string, env []string, args ...string) (stdout, stderr string, err error) {
	s.t.Helper()
	return s.feed("", of, env, args...)
}

// feed does so with something on standard input.
func (s *site) feed(stdin, of string, env []string, args ...string) (stdout, stderr string, err error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), guard)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], append(args, "--config", filepath.Join(s.dir, of+".yaml"))...)
	cmd.Env = append([]string{asProgram + "=1", "HOME=" + s.dir, endsAtOnce}, env...)
	var out, diag bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &diag
	err = cmd.Run()
	return out.String(), diag.String(), err
}

// mustShell wants it to go well, and returns what it printed.
func (s *site) mustShell(of string, args ...string) string {
	s.t.Helper()
	stdout, stderr, err := s.shell(of, nil, args...)
	if err != nil {
		s.t.Fatalf("maxrelay %v: %v\n%s%s", args, err, stdout, stderr)
	}
	return stdout
}

// cells returns the words of the line that begins with the first one.
func cells(t testing.TB, table, first string) []string {
	t.Helper()
	for line := range strings.Lines(table) {
		if words := strings.Fields(line); len(words) > 0 && words[0] == first {
			return words
		}
	}
	t.Fatalf("no line begins with %s:\n%s", first, table)
	return nil
}

func TestKeysAreManagedFromTheShell(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.extra = "auth: {enabled: true}\n" // the password is the one in the data folder
	p := s.start("api", servesHTTP, scriptedCLI, "api")
	key := func(args ...string) string {
		return s.mustShell("api", append([]string{"key", "--url", p.url}, args...)...)
	}

	made := key("create", "alice", "--description", "her laptop", "--tier", "premium", "--token-limit", "5000", "--expires-in-days", "30",
		"--allowed-ips", "127.0.0.1,::1", "--allowed-models", "claude-opus-4", "--metadata", `{"team":"a"}`)
	id, secret := cells(t, made, "id")[1], cells(t, made, "secret")[1]
	works := func(secret string, want int) {
		t.Helper()
		if status, _ := knock(t, p.url, secret); status != want {
			t.Errorf("the key: %d, want %d", status, want)
		}
	}
	works(secret, http.StatusOK)

	list := key("list")
	if row := strings.Join(cells(t, list, id), " "); !strings.Contains(row, " alice ") || !strings.Contains(row, " active ") || !strings.Contains(row, " premium 0 5000 ") || strings.Contains(list, secret) {
		t.Errorf("the list:\n%s", list)
	}
	shown := key("show", id)
	for _, want := range []string{"her laptop", "premium", "0 of 5000", "127.0.0.1, ::1", "claude-opus-4", `{"team":"a"}`, "never"} {
		if !strings.Contains(shown, want) || strings.Contains(shown, secret) {
			t.Errorf("%s is not shown, or the secret is:\n%s", want, shown)
		}
	}
	var view shownKey
	if err := json.Unmarshal([]byte(key("show", id, "--json")), &view); err != nil || view.ID != id || view.Tier != "premium" || view.ExpiresAt == nil {
		t.Errorf("as JSON: %+v, %v", view, err)
	}
	changed := key("update", id, "--name", "alice 2", "--allowed-ips", "", "--expires-at", "never", "--token-limit", "7")
	for _, want := range []string{"alice 2", "0 of 7", "her laptop"} {
		if !strings.Contains(changed, want) {
			t.Errorf("%s is not shown:\n%s", want, changed)
		}
	}
	if got := fmt.Sprint(cells(t, changed, "expires"), cells(t, changed, "allowed")); got != "[expires never] [allowed ips all]" {
		t.Errorf("what was taken away: %s", got)
	}
	key("disable", id)
	works(secret, http.StatusUnauthorized)
	key("enable", id)
	rotated := key("rotate", id, "--grace", "0s")
	works(secret, http.StatusUnauthorized)
	secret = cells(t, rotated, "secret")[1]
	works(secret, http.StatusOK)
	key("delete", id)
	works(secret, http.StatusUnauthorized)
	if list := key("list"); strings.Contains(list, id) {
		t.Errorf("the list has the deleted key:\n%s", list)
	}
	if row := cells(t, key("list", "--deleted"), id); row[len(row)-1] != "never" || !strings.Contains(strings.Join(row, " "), "deleted") {
		t.Errorf("the deleted key: %v", row)
	}
	key("delete", id, "--hard")
	if list := key("list", "--deleted"); strings.Contains(list, id) {
		t.Errorf("the list has the key that is gone:\n%s", list)
	}
	if strings.Contains(p.text(), secret) {
		t.Error("the node's log has the secret")
	}
	p.stop()
}

func TestTheShellFindsTheNodeByItsConfiguration(t *testing.T) {
	t.Parallel()
	for name, extra := range map[string]string{
		"at the clients' address": "auth: {enabled: true}\n", "at its own address": "auth: {enabled: true}\nadmin: {address: '%s'}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, address := newSite(t), freeAddress(t)
			host, port, _ := strings.Cut(address, ":")
			args := []string{"--port", port}
			if strings.Contains(extra, "%s") {
				extra, args = fmt.Sprintf(extra, address), []string{"--port", "0"}
			}
			s.extra = extra
			p := s.start("api", servesHTTP, scriptedCLI, append([]string{"api"}, args...)...)
			if list := s.mustShell("api", append([]string{"key", "list", "--host", host}, args...)...); !strings.HasPrefix(list, "ID ") {
				t.Errorf("the list is\n%s", list)
			}
			p.stop()
		})
	}
}

func TestWhatTheShellIsRefusedIsSaid(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start("api", servesHTTP, scriptedCLI, "api")
	hash := "MAXRELAY_ADMIN_PASSWORD=sha256:" + strings.Repeat("a", 64)
	for name, tc := range map[string]struct {
		env  []string
		args []string
		want string
	}{
		"no node":               {nil, []string{"list", "--url", "http://" + freeAddress(t)}, "connection refused"},
		"no address":            {nil, []string{"list"}, "give its address with --url"},
		"a URL of another sort": {nil, []string{"list", "--url", "ftp://x"}, "--url: is not the URL of a node"},
		"a URL with a password": {nil, []string{"list", "--url", "http://admin:hunter2@127.0.0.1:1"}, "holds no password"},
		"not maxrelay":          {nil, []string{"list", "--url", s.model.URL()}, "signing in at " + s.model.URL()},
		"a wrong password":      {[]string{"MAXRELAY_ADMIN_PASSWORD=hunter2"}, []string{"list", "--url", p.url}, "wrong name or password"},
		"only a hash":           {[]string{hash}, []string{"list", "--url", p.url}, "put the password itself into MAXRELAY_ADMIN_PASSWORD"},
		"no password":           {[]string{"MAXRELAY_DATA_DIR=" + t.TempDir()}, []string{"list", "--url", p.url}, "no such file or directory (use the node's configuration"},
		"an unknown key":        {nil, []string{"show", "key_aaaaaaaaaaaaaaaa", "--url", p.url}, "there is no key with this id"},
		"a key like a path":     {nil, []string{"show", "../audit", "--url", p.url}, "nothing at this path"},
		"a wrong field":         {nil, []string{"create", "n", "--tier", "gold", "--url", p.url}, "rate_limit_tier must be one of basic, premium, unlimited"},
		"metadata":              {nil, []string{"create", "n", "--metadata", "{hunter2", "--url", p.url}, "--metadata: is not JSON"},
		"no change":             {nil, []string{"update", "key_aaaaaaaaaaaaaaaa", "--url", p.url}, "nothing to change"},
		"no name":               {nil, []string{"create", "--url", p.url}, "accepts 1 arg(s)"},
	} {
		stdout, stderr, err := s.shell("api", tc.env, append([]string{"key"}, tc.args...)...)
		if err == nil || stdout != "" || !strings.Contains(stderr, tc.want) || strings.Contains(stderr, "hunter2") {
			t.Errorf("%s: %v\n%s%s\nwant %s", name, err, stdout, stderr, tc.want)
		}
	}
	p.stop()
}
