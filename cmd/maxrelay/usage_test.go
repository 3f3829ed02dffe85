package main

import (
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// lookUp is what GET answers to a key, decoded.
func lookUp[T any](t testing.TB, url, secret string) (answer T) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %s", url, resp.StatusCode, raw)
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		t.Fatalf("%s: %v in %s", url, err, raw)
	}
	return answer
}

// usageOf asks until usage has caught up with n requests of the key.
func (s *site) usageOf(url, secret string, n int) object {
	s.t.Helper()
	var used object
	eventually(s.t, "usage of the key", func() bool {
		used = lookUp[object](s.t, url+"/api/usage", secret)
		return used["total_requests"] == float64(n)
	})
	return used
}

func TestAKeyReadsWhatItUsed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.extra = managed
	p := s.start("serve", servesHTTP, scriptedCLI, "serve")
	o := openOffice(t, p.url)
	id, secret := o.create(`{"name":"alice","token_limit":50000,"expires_in_days":7}`)
	_, other := o.create(`{"name":"bob"}`)
	for _, k := range []string{secret, secret, other} {
		if a, err := send(t.Context(), p.url, chatRequest{Messages: []message{{"user", "hello there"}}, key: k}, nil); err != nil || a.status != http.StatusOK {
			t.Fatalf("%d %s %v", a.status, a.errCode, err)
		}
	}
	if a, err := send(t.Context(), p.url, chatRequest{Messages: []message{{"user", "[[status 429]]"}}, key: secret}, nil); err != nil || a.status < 400 {
		t.Fatalf("an error: %d %v", a.status, err)
	}

	used := s.usageOf(p.url, secret, 3)
	tokens := used["total_tokens"].(float64)
	if used["error_count"] != 1.0 || tokens == 0 || used["total_cost"].(float64) <= 0 || len(used["error_breakdown"].([]any)) != 1 {
		t.Errorf("usage %v", used)
	}
	if days := lookUp[[]object](t, p.url+"/api/usage/daily", secret); len(days) == 0 || days[0]["date"] != time.Now().UTC().Format(time.DateOnly) && len(days) < 2 {
		t.Errorf("days %v", days)
	}
	logs := lookUp[[]object](t, p.url+"/api/usage/logs", secret)
	if len(logs) != 3 || logs[0]["is_error"] != true || logs[0]["total_cost"] != 0.0 || logs[2]["api_key_id"] != id {
		t.Errorf("logs %v", logs)
	}
	quota := lookUp[object](t, p.url+"/api/usage/quota", secret)
	if quota["token_limit"] != 50000.0 || quota["token_used"] != tokens || quota["token_remaining"] != 50000-tokens || quota["rate_limit_tier"] != "basic" || quota["is_active"] != true || quota["is_expired"] != false || quota["expires_at"] == nil {
		t.Errorf("quota %v after %v", quota, tokens)
	}

	numbers := o.must("GET", "/api-keys/"+id+"/stats", "")
	if numbers["request_count"] != 3.0 || numbers["error_count"] != 1.0 || numbers["token_used"] != tokens || numbers["last_used_at"] == nil {
		t.Errorf("numbers of the key: %v", numbers)
	}
	all := o.must("GET", "/usage?group_by=key,model", "")
	if items := all["items"].([]any); len(items) != 2 || all["total"].(object)["requests"] != 4.0 || items[0].(object)["day"] != nil || items[0].(object)["model"] != "claude-sonnet-4" {
		t.Errorf("all usage %v", all)
	}
	if status, answer := o.ask("GET", "/usage?group_by=user", ""); status != http.StatusUnprocessableEntity || errorOf(answer)["param"] != "group_by" {
		t.Errorf("grouped by user: %d %v", status, answer)
	}
	stranger := &office{t, p.url, secret}
	if status, answer := stranger.ask("GET", "/usage", ""); status != http.StatusUnauthorized {
		t.Errorf("all usage for a key: %d %v", status, answer)
	}

	o.must("POST", "/api-keys/"+id+"/disable", "")
	if status, _ := knock(t, p.url, secret); status != http.StatusUnauthorized {
		t.Errorf("disabled: %d", status)
	}
	p.stop()
}

// run runs a command on a site's installation, as its operator would.
func (s *site) run(name string, args ...string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), os.Args[0], append(args, "--config", filepath.Join(s.dir, name+".yaml"))...)
	cmd.Env = []string{asProgram + "=1", "PATH=/usr/bin:/bin"}
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("%v: %v, %s", args, err, err.(*exec.ExitError).Stderr)
	}
	return string(out)
}

func TestUsageIsExportedAndMadeAnew(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start("serve", servesHTTP, scriptedCLI, "serve")
	for range 3 {
		if a, err := send(t.Context(), p.url, chatRequest{Messages: []message{{"user", "hello there"}}}, nil); err != nil || a.status != http.StatusOK {
			t.Fatalf("%d %v", a.status, err)
		}
	}
	s.usageOf(p.url, "", 3)
	ids := s.mustExport()

	// A mark in the log is gone when it is made anew: by the node that runs, or without one.
	s.mark()
	if out := s.run("serve", "stats", "rebuild"); !strings.HasPrefix(out, "3 requests in ") {
		t.Errorf("rebuilding says %q", out)
	}
	if !slices.Equal(s.mustExport(), ids) || s.marked() {
		t.Error("the running node did not make the log anew")
	}
	p.stop()
	s.mark()
	if out := s.run("serve", "stats", "rebuild"); !strings.HasPrefix(out, "3 requests in ") {
		t.Errorf("rebuilding says %q", out)
	}
	if !slices.Equal(s.mustExport(), ids) || s.marked() {
		t.Error("the log was not made anew")
	}

	file := s.usageFile("serve")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 || strings.Count(string(text), `"first_message":"hello there"`) != 3 || !strings.Contains(string(text), `{"total":{"requests":3,`) {
		t.Errorf("%v %s", info.Mode(), text)
	}
}

// mustExport exports in both forms and returns the ids, which are the same.
func (s *site) mustExport() (ids []string) {
	s.t.Helper()
	lines, err := csv.NewReader(strings.NewReader(s.run("serve", "stats", "export"))).ReadAll()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, line := range lines[1:] {
		ids = append(ids, line[0])
	}
	var rows []object
	if err := json.Unmarshal([]byte(s.run("serve", "stats", "export", "--format", "json", "--from", "2026-01-01", "--key", "local")), &rows); err != nil {
		s.t.Fatal(err)
	}
	for i, row := range rows {
		if len(rows) != len(ids) || row["id"] != ids[i] || row["total_tokens"] == 0.0 {
			s.t.Errorf("%v beside %v", rows, ids)
		}
	}
	if len(ids) != 3 {
		s.t.Errorf("%d requests are exported", len(ids))
	}
	return ids
}

func TestAnExportSaysWhichFlagIsWrong(t *testing.T) {
	const form = "must be a day like 2026-02-24 or a time like 2026-02-24T12:00:00Z"
	for flags, want := range map[string]string{
		"--from x":                          "--from: " + form,
		"--to 2026-02-30":                   "--to: " + form,
		"--from 2026-02-24 --to 2026-02-01": "--to: is before from",
		"--format xml":                      "--format: neither csv nor json",
	} {
		c := command()
		c.SetArgs(append([]string{"stats", "export"}, strings.Fields(flags)...))
		if err := c.ExecuteContext(t.Context()); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", flags, err, want)
		}
	}
}

// mark changes the log behind its keeper's back.
func (s *site) mark() {
	s.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(s.dir, "data", "usage", "usage.db"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("UPDATE log SET path = '/mark'"); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) marked() bool { return strings.Contains(s.run("serve", "stats", "export"), "/mark") }
