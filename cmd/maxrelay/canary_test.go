package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// witness keeps all that a node answers, headers included, and not what it was asked.
type witness struct {
	t    testing.TB
	root string
	seen strings.Builder
}

// ask sends a request with headers, name and value in turn, and returns its status.
func (w *witness) ask(method, path, body string, header ...string) int {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.root+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	fmt.Fprintln(&w.seen, resp.Status, resp.Header, string(raw))
	return resp.StatusCode
}

// misuse puts a secret wherever a caller could by mistake.
func (w *witness) misuse(secret string) {
	w.t.Helper()
	escaped := strings.NewReplacer(" ", "%20", "/", "%2F").Replace(secret)
	const chat = "/v1/chat/completions"
	for _, header := range [][]string{
		{"Authorization", secret}, {"Authorization", "Bearer x" + secret}, {"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("admin:x"+secret))},
		{"X-API-Key", "x" + secret}, {"Cookie", "key=" + secret}, {"Origin", "https://" + escaped + ".example"}, {"Content-Type", "text/" + secret}, {"X-Forwarded-For", secret},
	} {
		w.ask("POST", chat, `{}`, header...)
		w.ask("POST", "/admin/login", "", header...)
		w.ask("GET", "/admin/api-keys", "", header...)
	}
	for _, path := range []string{"/" + escaped, "/v1/models/" + escaped, "/v1/models?key=" + escaped, "/admin/api-keys/" + escaped, "/admin/api-keys?limit=" + escaped, "/admin/" + escaped} {
		w.ask("GET", path, "")
	}
	w.ask("POST", "/admin/api-keys", `{"name":"`+secret+`","`+secret+`":1}`)
}

// Nothing that a run writes or answers holds a secret, but the files made for it.
func TestSecretsStayWhereTheyBelong(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const staticKey, account, upstreamKey = "canary-static-1b7c55", "canary-account-e01f93", "canary-upstream-44d0a8"
	s.extra = "auth: {enabled: true, api_keys: [" + staticKey + "]}\nupstream: [{url: '" + s.model.URL() + "', api_key: " + upstreamKey + "}]\n"
	cli := func(t testing.TB) (string, map[string]string) {
		path, env := scriptedCLI(t)
		env["ANTHROPIC_AUTH_TOKEN"] = account
		return path, env
	}
	p := s.start("serve", servesHTTP, cli, "serve", "--log-level", "trace")
	secretIn := func(name string) string {
		text, err := os.ReadFile(filepath.Join(s.dir, "data", name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(text))
	}
	secrets := map[string]string{"static key": staticKey, "account": account, "upstream's key": upstreamKey, "password": secretIn("admin.password"), "broker token": secretIn("nats.token")}
	_, answer := login(t, p.url, "admin", secrets["password"])
	o := &office{t, p.url, answer["access_token"].(string)}
	secrets["token of the administrator"] = o.token
	id, managedKey := o.create(`{"name":"n"}`)
	secrets["managed key"] = managedKey
	secrets["rotated key"] = o.must("POST", "/api-keys/"+id+"/rotate", "")["api_key"].(string)

	w := &witness{t: t, root: p.url}
	for _, key := range []string{"static key", "managed key", "rotated key"} {
		if status := w.ask("POST", "/v1/chat/completions", `{"model":"claude-sonnet-4","stream":true,"messages":[{"role":"user","content":"x"}]}`, "Authorization", "Bearer "+secrets[key]); status != http.StatusOK {
			t.Fatalf("with the %s: %d", key, status)
		}
	}
	w.ask("POST", "/v1/messages/count_tokens", `{"model":"claude-sonnet-4","messages":[{"role":"user","content":"x"}]}`, "X-API-Key", managedKey)
	for _, path := range []string{"/api/usage", "/api/usage/daily", "/api/usage/logs", "/api/usage/quota"} {
		if status := w.ask("GET", path, "", "X-API-Key", secrets["rotated key"]); status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
	}
	for _, path := range []string{"/admin/usage", "/admin/api-keys", "/admin/api-keys/" + id, "/admin/api-keys/" + id + "/stats", "/admin/audit", "/health", "/metrics"} {
		if status := w.ask("GET", path, "", "Authorization", "Bearer "+o.token); status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
	}
	for _, secret := range secrets {
		w.misuse(secret)
	}
	p.hangup()
	running := s.written(t)
	p.stop()
	for where, text := range map[string]string{"an answer": w.seen.String(), "the log": p.text()} {
		mustNotHold(t, where, text, secrets)
	}
	left := s.written(t)
	for _, files := range []map[string]string{running, left} {
		for file, text := range files {
			mustNotHold(t, file, text, secrets)
		}
	}
	keys, counted := false, false
	for file, text := range left {
		keys = keys || strings.Contains(text, id)
		counted = counted || filepath.Base(file) == "stats.json"
	}
	if !keys || !counted {
		t.Errorf("among %d files: the store of keys %t, stats.json %t", len(left), keys, counted)
	}
}

// written are the files of a run that are not made for secrets. The broker's may come and
// go meanwhile.
func (s *site) written(t testing.TB) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		switch d.Name() {
		case "admin.password", "nats.token", "serve.yaml":
			return nil
		}
		if text, err := os.ReadFile(path); err == nil {
			files[path] = string(text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func mustNotHold(t testing.TB, where, text string, secrets map[string]string) {
	t.Helper()
	for name, secret := range secrets {
		for _, form := range []string{secret, base64.StdEncoding.EncodeToString([]byte("admin:" + secret)), secret[len(secret)-12:]} {
			if at := strings.Index(text, form); at >= 0 {
				t.Errorf("the %s is in %s: %.300q", name, where, text[max(0, at-100):])
			}
		}
	}
}
