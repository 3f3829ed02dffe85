package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"maxrelay/api/admin"
	"maxrelay/api/key"
	"maxrelay/queue"
)

// openManaged is a node that wants keys and has a store of managed ones. It trusts
// proxies on this machine.
func openManaged(t *testing.T, run script) (*node, *key.Store) {
	t.Helper()
	proxies := key.Proxies{netip.MustParsePrefix("127.0.0.1/32")}
	n := openNode(t, Config{Keys: newKeys(t, true), Proxies: proxies}, queue.OwnerConfig{}, run)
	store, err := key.OpenStore(testContext(t), n.nc, key.StoreConfig{}, zerolog.Nop())
	must(t, err)
	t.Cleanup(store.Close)
	n.Change(Config{Keys: newKeys(t, true).With(store)})
	return n, store
}

// mint adds a key with these settings and returns its secret.
func mint(t *testing.T, store *key.Store, change func(*key.Settings)) string {
	t.Helper()
	settings := key.DefaultSettings()
	settings.Name = "n"
	change(&settings)
	must(t, settings.Validate())
	record, secret := key.Mint(settings, time.Now())
	must(t, store.Add(testContext(t), record))
	return secret
}

func TestAKeyReachesItsModelsOnly(t *testing.T) {
	n, store := openManaged(t, echo)
	secret := mint(t, store, func(s *key.Settings) { s.AllowedModels = []string{"claude-opus-4", "claude-elsewhere"} })
	bearer := []string{"Authorization", "Bearer " + secret}
	if resp := n.post(ask("x", ""), bearer...); resp.StatusCode != http.StatusOK {
		t.Errorf("its model: %d, %s", resp.StatusCode, read(t, resp))
	}
	for _, id := range []string{"claude-sonnet-4", "opus", "no-model-at-all", "claude-opus-4 "} {
		quoted, _ := json.Marshal(id)
		for _, more := range []string{"", `,"stream":true`} {
			resp := n.post(`{"model":`+string(quoted)+`,"messages":[{"role":"user","content":"x"}]`+more+`}`, bearer...)
			if kind, code, _ := errorCode(t, read(t, resp)); resp.StatusCode != http.StatusForbidden || kind != "permission_error" || code != "" {
				t.Errorf("%q: %d, %s %s", id, resp.StatusCode, kind, code)
			}
		}
	}
	list := read(t, n.do(testContext(t), http.MethodGet, "/v1/models", "", bearer...))
	if !strings.Contains(list, `"claude-opus-4"`) || strings.Count(list, `"id"`) != 1 {
		t.Errorf("the models are %s", list)
	}
	for id, want := range map[string]int{"claude-opus-4": 200, "opus": 403, "no-model-at-all": 403, "claude-elsewhere": 404} {
		if resp := n.do(testContext(t), http.MethodGet, "/v1/models/"+id, "", bearer...); resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", id, resp.StatusCode, want)
		}
	}
	n.usage(1) // what was refused cost nothing
}

func TestAKeyIsBoundToItsAddressesAndOrigins(t *testing.T) {
	n, store := openManaged(t, nil)
	direct := mint(t, store, func(s *key.Settings) { s.AllowedIPs = []string{"127.0.0.0/8", "2001:db8::/32"} })
	paged := mint(t, store, func(s *key.Settings) { s.AllowedOrigins = []string{"https://chat.example.org"} })
	for name, tc := range map[string]struct {
		secret string
		header []string
		want   int
	}{
		"from a listed address":             {direct, nil, 200},
		"through a proxy from a listed one": {direct, []string{"X-Forwarded-For", "2001:db8::7"}, 200},
		"through a proxy from another":      {direct, []string{"X-Forwarded-For", "203.0.113.7"}, 403},
		"… that says it is here":            {direct, []string{"X-Forwarded-For", "127.0.0.9, 203.0.113.7"}, 403},
		"… in the other header":             {direct, []string{"Forwarded", "for=127.0.0.9", "X-Forwarded-For", "203.0.113.7"}, 403},
		"from a proxy that does not know":   {direct, []string{"Forwarded", "for=unknown"}, 403},
		"a page of the listed origin":       {paged, []string{"Origin", "https://chat.example.org"}, 200},
		"a page of another origin":          {paged, []string{"Origin", "https://evil.example"}, 403},
		"a page below the listed origin":    {paged, []string{"Origin", "https://chat.example.org.evil.example"}, 403},
		"a sandboxed frame":                 {paged, []string{"Origin", "null"}, 403},
		"no page":                           {paged, nil, 403},
	} {
		resp := n.do(testContext(t), http.MethodGet, "/v1/models", "", append(tc.header, "X-API-Key", tc.secret)...)
		if resp.StatusCode != tc.want {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, tc.want)
		}
		if body := read(t, resp); tc.want == http.StatusForbidden {
			if kind, _, _ := errorCode(t, body); kind != "permission_error" {
				t.Errorf("%s: %s", name, body)
			}
		}
	}
}

// Without auth a managed key is still somebody: its lists hold, and others are local.
func TestAManagedKeyStaysItselfWhereNoKeyIsNeeded(t *testing.T) {
	n, store := openManaged(t, echo)
	n.Change(Config{Keys: newKeys(t, false).With(store)})
	secret := mint(t, store, func(s *key.Settings) { s.AllowedModels = []string{"claude-haiku-4"} })
	for name, tc := range map[string]struct {
		secret string
		want   int
	}{"nobody": {"", 200}, "anybody": {"not-needed", 200}, "the key, for another model": {secret, 403}} {
		resp := n.post(ask("x", ""), "X-API-Key", tc.secret)
		if read(t, resp); resp.StatusCode != tc.want {
			t.Errorf("%s: %d, want %d", name, resp.StatusCode, tc.want)
		}
	}
	for _, e := range n.usage(2) {
		if e.KeyID != "local" {
			t.Errorf("counted for %s", e.KeyID)
		}
	}
}

func TestAChangeIsForRequestsThatCome(t *testing.T) {
	s := bare(t, Config{Keys: newKeys(t, true, "one"), Models: map[string]string{"a": "opus"}, Origins: []string{"https://one.example"}})
	s.Change(Config{Keys: newKeys(t, true, "two"), Models: map[string]string{"b": "sonnet"}, Origins: []string{"https://two.example"}})
	if _, err := s.resolve("a"); err == nil {
		t.Error("a model that is gone is found")
	}
	if name, err := s.resolve("b"); name != "sonnet" || err != nil {
		t.Errorf("a new model is %q, %v", name, err)
	}
	for secret, good := range map[string]bool{"one": false, "two": true} {
		r := httptest.NewRequest(http.MethodGet, "/v1/models", nil)
		r.Header.Set("X-API-Key", secret)
		if _, err := s.live.Load().keys.Identify(r, netip.Addr{}); (err == nil) != good {
			t.Errorf("key %s: %v", secret, err)
		}
	}
	for origin, listed := range map[string]bool{"https://one.example": false, "https://two.example": true} {
		r := httptest.NewRequest(http.MethodGet, "/api/open", nil)
		r.Header.Set("Origin", origin)
		if s.originListed(r) != listed {
			t.Errorf("%s: listed %t", origin, !listed)
		}
	}
}

func TestWhoIsToldWhatAilsAWorker(t *testing.T) {
	n, store := openManaged(t, nil)
	a, err := admin.Open(testContext(t), n.nc, store, admin.Config{Password: "secret"}, zerolog.Nop())
	must(t, err)
	s := bare(t, Config{Admin: a})
	login := httptest.NewRequest(http.MethodPost, "/admin/login", nil)
	login.SetBasicAuth("admin", "secret")
	w := httptest.NewRecorder()
	s.clients.http.Handler.ServeHTTP(w, login)
	var signedIn struct {
		Token string `json:"access_token"`
	}
	must(t, json.Unmarshal(w.Body.Bytes(), &signedIn))
	for name, tc := range map[string]struct {
		remote, host, token string
		want                bool
	}{
		"on this machine":                     {"127.0.0.1:9", "localhost", "", true},
		"a page that rebinds its name":        {"127.0.0.1:9", "evil.example", "", false},
		"elsewhere":                           {"203.0.113.7:9", "localhost", "", false},
		"elsewhere, an administrator":         {"203.0.113.7:9", "relay.example", signedIn.Token, true},
		"elsewhere, with a token of nobody's": {"203.0.113.7:9", "relay.example", signedIn.Token + "x", false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/health", nil)
		r.RemoteAddr, r.Host = tc.remote, tc.host
		r.Header.Set("Authorization", "Bearer "+tc.token)
		if got := s.isInsider(r); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
