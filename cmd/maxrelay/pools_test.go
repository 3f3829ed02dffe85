package main

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"maxrelay/session"
)

// A worker serves the keys of its pools and no others, and a key that changes its pool
// changes its workers.
func TestPoolsKeepKeysAndWorkersApart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.extra = strings.Replace(managed, "{enabled: true}", "{enabled: true, api_keys: [of-default], pools: {team: {api_keys: [of-team]}, nobody: {api_keys: [of-nobody]}}}", 1)
	node := s.start("api", servesHTTP, scriptedCLI, "api")
	s.start("common", takesJobs, scriptedCLI, "worker")
	s.start("private", takesJobs, scriptedCLI, "worker", "--set", "worker.pools=team")
	o := openOffice(t, node.url)
	id, secret := o.create(`{"name":"laptop","pool":"team"}`)

	ask := func(key, want string) {
		t.Helper()
		for range 4 {
			a, err := send(t.Context(), node.url, chatRequest{Messages: []message{{"user", "hello"}}, key: key}, nil)
			if err != nil || a.status != http.StatusOK || a.worker() != want {
				t.Errorf("key %.10s: %d %q by %s, %v; want %s", key, a.status, a.errCode, a.worker(), err, want)
			}
		}
	}
	ask("of-default", "common")
	ask("of-team", "private")
	ask(secret, "private")
	o.must(http.MethodPatch, "/api-keys/"+id, `{"pool":"default"}`)
	ask(secret, "common")
	if a, err := send(t.Context(), node.url, chatRequest{Messages: []message{{"user", "hello"}}, key: "of-nobody"}, nil); err != nil || a.status != http.StatusServiceUnavailable || a.errCode != "no_worker" {
		t.Errorf("a pool without a worker: %d %q, %v", a.status, a.errCode, err)
	}
}

func TestDoctorSaysTheRuleAboutSubscriptions(t *testing.T) {
	const keys = "auth: {enabled: true, api_keys: [a, b], pools: {mine: {api_keys: [c]}}}\n"
	for name, tc := range map[string]struct {
		file    string
		account session.Account
		want    string // "": nothing
	}{
		"a subscription for two keys":     {keys, session.AccountSubscription, "every API key of pool default: 2 in the configuration"},
		"a subscription for its own key":  {keys + "worker: {pools: [mine]}", session.AccountSubscription, "pool mine: 1 in"},
		"a subscription for all pools":    {keys + "worker: {pools: [default, mine]}", session.AccountSubscription, "pool default and mine: 3 in"},
		"a subscription for this machine": {"", session.AccountSubscription, ""},
		"an API key for two keys":         {keys, session.AccountAPIKey, ""},
		"a cloud provider's for two keys": {keys, "bedrock", ""},
	} {
		var out bytes.Buffer
		(&findings{out: &out}).examineAccount(mustLoad(t, tc.file, nil), tc.account)
		if got := out.String(); !strings.Contains(got, tc.want) || (got == "") != (tc.want == "") || got != "" && !strings.HasPrefix(got, "note  ") {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
