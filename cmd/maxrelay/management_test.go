package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"maxrelay/queue"
)

// office is the management of a node, as a client with the administrator's token sees it.
type office struct {
	t     testing.TB
	url   string
	token string
}

const adminPassword = "correct horse battery staple"

// managed is a line for a site's configuration files.
const managed = "auth: {enabled: true}\nadmin: {password: " + adminPassword + "}\n"

type object = map[string]any

// signIn opens the office at the root of a node's management.
func openOffice(t testing.TB, url string) *office {
	t.Helper()
	status, answer := login(t, url, "admin", adminPassword)
	if status != http.StatusOK || answer["token_type"] != "bearer" || answer["expires_in"] != 86400.0 {
		t.Fatalf("signing in: %d, %v", status, answer)
	}
	return &office{t, url, answer["access_token"].(string)}
}

func login(t testing.TB, url, username, password string, header ...string) (int, object) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/admin/login", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth(username, password)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	req.Host = req.Header.Get("Host") // "" is the URL's
	resp, answer := do(t, req)
	return resp.StatusCode, answer
}

// do returns an answer that is a JSON object, or nil for another.
func do(t testing.TB, req *http.Request) (*http.Response, object) {
	t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer object
	_ = json.Unmarshal(raw, &answer) // not all are objects
	return resp, answer
}

// ask sends a request below /admin.
func (o *office) ask(method, path, body string) (int, object) {
	o.t.Helper()
	req, err := http.NewRequestWithContext(o.t.Context(), method, o.url+"/admin"+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+o.token)
	req.Header.Set("Content-Type", "application/json")
	resp, answer := do(o.t, req)
	return resp.StatusCode, answer
}

func (o *office) must(method, path, body string) object {
	o.t.Helper()
	status, answer := o.ask(method, path, body)
	if status != http.StatusOK {
		o.t.Fatalf("%s %s: %d, %v", method, path, status, answer)
	}
	return answer
}

// create makes a key and returns its id and its secret.
func (o *office) create(body string) (id, secret string) {
	o.t.Helper()
	answer := o.must(http.MethodPost, "/api-keys", body)
	return answer["id"].(string), answer["api_key"].(string)
}

// knock lists the models with a key and headers, and returns the status and the answer.
func knock(t testing.TB, url, secret string, header ...string) (int, object) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/v1/models", nil)
	if err != nil {
		t.Fatal(err)
	}
	if secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, answer := do(t, req)
	return resp.StatusCode, answer
}

func errorOf(answer object) object {
	e, _ := answer["error"].(object)
	return e
}

func TestAKeyIsGoodForItsModelsUntilItIsDisabled(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.extra = managed
	p := s.start("serve", servesHTTP, scriptedCLI, "serve")
	o := openOffice(t, p.url)
	id, secret := o.create(`{"name":"alice","description":"her laptop","token_limit":50000,"allowed_models":["claude-sonnet-4"]}`)
	if !strings.HasPrefix(secret, "sk-proxy-") {
		t.Errorf("the secret begins with %.9s", secret)
	}
	a, err := send(t.Context(), p.url, chatRequest{Messages: []message{{"user", "hello"}}, key: secret}, nil)
	if err != nil || a.status != http.StatusOK || a.text == "" {
		t.Fatalf("with the key: %d %q, %v", a.status, a.errCode, err)
	}
	eventually(t, "the log to name the key", func() bool { return strings.Contains(p.text(), `"key":"`+id+`"`) })
	if a, err = send(t.Context(), p.url, chatRequest{Model: "claude-opus-4", Messages: []message{{"user", "hello"}}, key: secret}, nil); err != nil || a.status != http.StatusForbidden {
		t.Errorf("another model: %d %q, %v", a.status, a.errCode, err)
	}
	if status, answer := knock(t, p.url, secret); status != http.StatusOK || len(answer["data"].([]any)) != 1 {
		t.Errorf("the models of the key: %d, %v", status, answer)
	}
	o.must(http.MethodPost, "/api-keys/"+id+"/disable", "")
	if a, err = send(t.Context(), p.url, chatRequest{Messages: []message{{"user", "hello"}}, key: secret}, nil); err != nil || a.status != http.StatusUnauthorized || a.errCode != "invalid_api_key" {
		t.Errorf("a disabled key: %d %q, %v", a.status, a.errCode, err)
	}
	o.must(http.MethodPost, "/api-keys/"+id+"/enable", "")
	if status, _ := knock(t, p.url, secret); status != http.StatusOK {
		t.Errorf("enabled again: %d", status)
	}
	p.stop()
}

func TestEveryRowOfManagement(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.extra = managed
	p := s.start("api", servesHTTP, scriptedCLI, "api")
	o := openOffice(t, p.url)

	created := o.must("POST", "/api-keys", `{"name":"n","expires_in_days":30,"allowed_ips":["127.0.0.1","2001:db8::/32"],"metadata":{"team":"a"}}`)
	mustHave(t, "create", created, "id api_key name description token_limit tokens_used rate_limit_tier is_active expires_at created_at")
	id, secret := created["id"].(string), created["api_key"].(string)
	if status, _ := knock(t, p.url, secret); status != http.StatusOK {
		t.Errorf("the new key: %d", status)
	}

	shown := o.must("GET", "/api-keys/"+id, "")
	mustHave(t, "show", shown, "id name description key_prefix token_limit token_used tokens_used token_remaining usage_percentage rate_limit_tier request_count error_count "+
		"is_active created_at updated_at last_used_at expires_at allowed_ips allowed_origins allowed_models metadata")
	listed := o.must("GET", "/api-keys?skip=0&limit=2000", "")
	mustHave(t, "list", listed, "items total skip limit")
	if listed["total"] != 1.0 || listed["limit"] != 1000.0 {
		t.Errorf("list: %v", listed)
	}
	mustHave(t, "usage", o.must("GET", "/usage?group_by=day,key,model", ""), "items total")
	mustHave(t, "stats", o.must("GET", "/api-keys/"+id+"/stats", ""), "token_used token_remaining request_count error_count last_used_at")

	changed := o.must("PATCH", "/api-keys/"+id, `{"name":"m","token_limit":5}`)
	if changed["name"] != "m" || changed["token_limit"] != 5.0 || changed["allowed_ips"].([]any)[0] != "127.0.0.1" {
		t.Errorf("change: %v", changed)
	}
	rotated := o.must("POST", "/api-keys/"+id+"/rotate?grace=0s", "")
	mustHave(t, "rotate", rotated, "id api_key")
	if status, _ := knock(t, p.url, secret); status != http.StatusUnauthorized {
		t.Errorf("the replaced secret: %d", status)
	}
	if status, _ := knock(t, p.url, rotated["api_key"].(string)); status != http.StatusOK {
		t.Errorf("the new secret: %d", status)
	}
	for _, step := range []struct {
		method, path string
		want         int
	}{{"POST", "/disable", 401}, {"POST", "/enable", 200}, {"DELETE", "", 401}} {
		mustHave(t, step.path, o.must(step.method, "/api-keys/"+id+step.path, ""), "message")
		if status, _ := knock(t, p.url, rotated["api_key"].(string)); status != step.want {
			t.Errorf("after %s %s: %d, want %d", step.method, step.path, status, step.want)
		}
	}
	if all := o.must("GET", "/api-keys?include_deleted=true", ""); all["total"] != 1.0 || o.must("GET", "/api-keys", "")["total"] != 0.0 {
		t.Errorf("after a deletion: %v", all)
	}
	o.must("DELETE", "/api-keys/"+id+"?hard_delete=true", "")
	if status, _ := o.ask("GET", "/api-keys/"+id, ""); status != http.StatusNotFound {
		t.Errorf("deleted for good: %d", status)
	}
	var actions []string
	for _, e := range o.must("GET", "/audit", "")["items"].([]any) {
		actions = append(actions, e.(object)["action"].(string))
	}
	if got, want := strings.Join(actions, " "), "hard_delete delete enable disable rotate update create login"; got != want {
		t.Errorf("the audit record has %q, want %q", got, want)
	}
	p.stop()
}

func mustHave(t testing.TB, what string, answer object, fields string) {
	t.Helper()
	for field := range strings.FieldsSeq(fields) {
		if _, ok := answer[field]; !ok {
			t.Errorf("%s: no %s in %v", what, field, answer)
		}
	}
}

func TestWrongRequestsToManagement(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.extra = managed
	p := s.start("api", servesHTTP, scriptedCLI, "api")
	o := openOffice(t, p.url)
	_, secret := o.create(`{"name":"n"}`)
	stranger := &office{t, p.url, secret}
	for _, tc := range []struct {
		as                 *office
		method, path, body string
		status             int
		code, param        string
	}{
		{o, "GET", "/api-keys/key_aaaaaaaaaaaaaaaa", "", 404, "not_found", ""},
		{o, "PATCH", "/api-keys/nonsense", `{"name":"x"}`, 404, "not_found", ""},
		{o, "POST", "/api-keys", `{}`, 422, "invalid_request", "name"},
		{o, "POST", "/api-keys", `{"name":"n","expires_at":"2001-01-01T00:00:00Z"}`, 422, "invalid_request", "expires_at"},
		{o, "POST", "/api-keys", `{"name":"n","rate_limit_tier":"gold"}`, 422, "invalid_request", "rate_limit_tier"},
		{o, "POST", "/api-keys", `[`, 422, "invalid_request", ""},
		{o, "POST", "/api-keys", `{"name":"` + strings.Repeat("n", 70<<10) + `"}`, 413, "request_too_large", ""},
		{o, "GET", "/api-keys?limit=0", "", 422, "invalid_request", "limit"},
		{o, "GET", "/nothing", "", 404, "not_found", ""},
		{o, "PUT", "/api-keys", "", 405, "method_not_allowed", ""},
		{o, "GET", "/login", "", 405, "method_not_allowed", ""},
		{o, "OPTIONS", "/api-keys", "", 405, "method_not_allowed", ""},
		{stranger, "GET", "/api-keys", "", 401, "invalid_credentials", ""},
		{stranger, "POST", "/api-keys", `{"name":"n"}`, 401, "invalid_credentials", ""},
		{stranger, "GET", "/audit", "", 401, "invalid_credentials", ""},
	} {
		status, answer := tc.as.ask(tc.method, tc.path, tc.body)
		e := errorOf(answer)
		param, _ := e["param"].(string)
		if status != tc.status || e["code"] != tc.code || param != tc.param || e["message"] == "" || e["type"] == "" {
			t.Errorf("%s %s %.60s: %d, %v; want %d %s %s", tc.method, tc.path, tc.body, status, answer, tc.status, tc.code, tc.param)
		}
	}
	p.stop()
}

func TestThePasswordIsMadeAtTheFirstStart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start("api", servesHTTP, scriptedCLI, "api")
	file, _ := p.await("a password for management was made")["file"].(string)
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 || filepath.Dir(file) != filepath.Join(s.dir, "data") {
		t.Fatalf("%s: %v, %v", file, info, err)
	}
	password, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	made := strings.TrimSpace(string(password))
	if status, _ := login(t, p.url, "admin", made); status != http.StatusOK || strings.Contains(p.text(), made) {
		t.Errorf("signing in: %d, or the log has the password:\n%s", status, p.text())
	}
	p.stop()
	p = s.start("again", servesHTTP, scriptedCLI, "api")
	if status, _ := login(t, p.url, "admin", made); status != http.StatusOK {
		t.Errorf("after a restart: %d", status)
	}
	p.stop()
}

func TestGuessingAPasswordIsHeldUp(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.extra = managed + "trusted_proxies: [127.0.0.2]\n"
	p := s.start("api", servesHTTP, scriptedCLI, "api")
	for i := range 5 {
		if status, _ := login(t, p.url, "admin", "guess", "X-Forwarded-For", "192.0.2."+string(rune('1'+i))); status != http.StatusUnauthorized {
			t.Fatalf("guess %d: %d", i, status)
		}
	}
	for _, header := range [][]string{nil, {"X-Forwarded-For", "192.0.2.9"}, {"Forwarded", "for=192.0.2.9"}, {"X-Real-Ip", "192.0.2.9"}} {
		status, answer := login(t, p.url, "admin", adminPassword, header...)
		if status != http.StatusTooManyRequests || errorOf(answer)["code"] != "rate_limit_exceeded" {
			t.Errorf("the sixth attempt with %v: %d, %v", header, status, answer)
		}
	}
	p.stop()
}

func TestManagementMayHaveItsOwnAddress(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.extra = "auth: {enabled: true}\nadmin: {password: " + adminPassword + ", address: '127.0.0.1:0', allowed_ips: [127.0.0.1]}\n"
	p := s.start("api", servesHTTP, scriptedCLI, "api")
	root, _ := p.await("management is served")["url"].(string)
	o := openOffice(t, root)
	_, secret := o.create(`{"name":"n"}`)
	if status, _ := knock(t, p.url, secret); status != http.StatusOK {
		t.Errorf("the key at the clients' address: %d", status)
	}
	if status, _ := knock(t, root, secret); status != http.StatusNotFound {
		t.Errorf("the key at management's address: %d", status)
	}
	if status, answer := login(t, p.url, "admin", adminPassword); status != http.StatusNotFound || errorOf(answer)["code"] != "not_found" {
		t.Errorf("management at the clients' address: %d, %v", status, answer)
	}
	p.stop()
}

// Without auth a page that a browser on this machine opens could reach everything.
func TestNoPageOfAnotherOriginManages(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const page = "https://chat.example.org"
	s.extra = "admin: {password: " + adminPassword + "}\ncors: {origins: ['" + page + "']}\n"
	p := s.start("api", servesHTTP, scriptedCLI, "api")
	for name, header := range map[string][]string{
		"another origin": {"Origin", "https://evil.example"}, "a listed one": {"Origin", page}, "a sandboxed frame": {"Origin", "null"},
		"a form": {"Sec-Fetch-Site", "cross-site", "Content-Type", "application/x-www-form-urlencoded"}, "a sibling": {"Sec-Fetch-Site", "same-site"},
		"a name that leads here": {"Host", "evil.example:3456", "Origin", "http://evil.example:3456", "Sec-Fetch-Site", "same-origin"},
	} {
		status, answer := login(t, p.url, "admin", "a guess that must not count", header...)
		if status != http.StatusForbidden || errorOf(answer)["type"] != "permission_error" {
			t.Errorf("%s: %d, %v", name, status, answer)
		}
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodOptions, p.url+"/admin/api-keys", nil)
	req.Header.Set("Origin", page)
	req.Header.Set("Access-Control-Request-Method", "DELETE")
	if resp, _ := do(t, req); resp.StatusCode != http.StatusForbidden || resp.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight: %d, %v", resp.StatusCode, resp.Header)
	}
	o := openOffice(t, p.url) // the guesses did not count
	if status, _ := login(t, p.url, "admin", adminPassword, "Origin", p.url, "Sec-Fetch-Site", "same-origin"); status != http.StatusOK {
		t.Errorf("a page of the server's own: %d", status)
	}
	if id, _ := o.create(`{"name":"n"}`); id == "" {
		t.Error("no key")
	}
	p.stop()
}

// A change on one node holds on the others within a second.
func TestThreeNodesAgreeOnAKey(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.extra = managed
	broker, url := outsideBroker(t)
	defer broker.Close()
	var nodes []*proc
	for _, name := range []string{"a", "b", "c"} {
		nodes = append(nodes, s.start(name, servesHTTP, scriptedCLI, "api", "--nats-url", url, "--data-dir", filepath.Join(s.dir, name)))
	}
	a, b, c := nodes[0], nodes[1], nodes[2]
	office := openOffice(t, a.url)
	id, secret := office.create(`{"name":"n"}`)
	within(t, time.Second, "the key to work on b", func() bool { status, _ := knock(t, b.url, secret); return status == http.StatusOK })
	office.url = c.url // one signature holds on all nodes
	within(t, time.Second, "c to know the key", func() bool { status, _ := office.ask("GET", "/api-keys/"+id, ""); return status == http.StatusOK })
	office.must("POST", "/api-keys/"+id+"/disable", "")
	if status, _ := knock(t, c.url, secret); status != http.StatusUnauthorized {
		t.Errorf("on the node that disabled it: %d", status)
	}
	for _, node := range []*proc{a, b} {
		within(t, time.Second, "refusal on "+node.name, func() bool { status, _ := knock(t, node.url, secret); return status == http.StatusUnauthorized })
	}
	for _, node := range nodes {
		node.stop()
	}
}

// within polls, since HTTP tells no events.
func within(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for begun := time.Now(); !ok(); <-time.After(5 * time.Millisecond) {
		if time.Since(begun) > limit {
			t.Fatalf("%s took more than %s", what, limit)
		}
	}
}

// outsideBroker is a NATS server that no node embeds, and the URL that opens it.
func outsideBroker(t testing.TB) (b *queue.Broker, url string) {
	t.Helper()
	tokenFile := filepath.Join(t.TempDir(), "token")
	b, err := queue.OpenBroker(t.Context(), queue.BrokerConfig{Listen: "127.0.0.1:0", StoreDir: t.TempDir(), TokenFile: tokenFile}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	token, err := os.ReadFile(tokenFile)
	if err != nil {
		t.Fatal(err)
	}
	return b, strings.Replace(b.ClientURL(), "nats://", "nats://"+strings.TrimSpace(string(token))+"@", 1)
}
