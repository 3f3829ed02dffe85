package admin_test

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"maxrelay/api/admin"
)

func TestANewKeyIsShownOnceWithItsSecret(t *testing.T) {
	n := newNode(t)
	got := n.must(http.MethodPost, "/admin/api-keys", `{"name":"bot"}`)
	secret := got["api_key"].(string)
	if !regexp.MustCompile(`^sk-proxy-[a-z2-7]{52}$`).MatchString(secret) || !regexp.MustCompile(`^key_[a-z2-7]{16}$`).MatchString(got["id"].(string)) {
		t.Errorf("got %v", got)
	}
	want := object{"id": got["id"], "api_key": secret, "name": "bot", "description": "", "token_limit": 1e6, "tokens_used": 0.0,
		"rate_limit_tier": "basic", "is_active": true, "expires_at": nil, "created_at": n.time().UTC().Format(time.RFC3339)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
	if !n.accepts(secret) {
		t.Error("it does not work at once")
	}
}

func TestAKeyIsShownWithAllItsFields(t *testing.T) {
	n := newNode(t)
	n.usage = admin.Usage{Tokens: 250_001, Requests: 7, Errors: 2, LastUsed: n.time().UTC()}
	id, secret := n.create(`{"name":"bot","description":"d","pool":"team","token_limit":1000000,"rate_limit_tier":"premium","expires_in_days":2,
		"allowed_ips":["10.0.0.0/8"],"allowed_origins":["https://a.example"],"allowed_models":["claude-opus-4"],"metadata":{"team":{"a":[1]}}}`)
	now := n.time().UTC()
	want := object{"id": id, "name": "bot", "description": "d", "pool": "team", "key_prefix": secret[:12], "token_limit": 1e6, "token_used": 250001.0, "tokens_used": 250001.0,
		"token_remaining": 749999.0, "usage_percentage": 25.0, "rate_limit_tier": "premium", "request_count": 7.0, "error_count": 2.0, "is_active": true,
		"created_at": now.Format(time.RFC3339), "updated_at": now.Format(time.RFC3339), "last_used_at": now.Format(time.RFC3339),
		"expires_at":  now.Add(48 * time.Hour).Format(time.RFC3339),
		"allowed_ips": []any{"10.0.0.0/8"}, "allowed_origins": []any{"https://a.example"}, "allowed_models": []any{"claude-opus-4"}, "metadata": object{"team": object{"a": []any{1.0}}}}
	if got := n.must(http.MethodGet, "/admin/api-keys/"+id, ""); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
	list := n.must(http.MethodGet, "/admin/api-keys", "")
	if !reflect.DeepEqual(list, object{"items": []any{want}, "total": 1.0, "skip": 0.0, "limit": 100.0}) {
		t.Errorf("listed as %v", list)
	}
	stats := n.must(http.MethodGet, "/admin/api-keys/"+id+"/stats", "")
	if got := slices.Sorted(maps.Keys(stats)); !reflect.DeepEqual(got, strings.Fields("error_count id is_active last_used_at name rate_limit_tier request_count token_limit token_remaining token_used tokens_used usage_percentage")) {
		t.Errorf("stats have %v", got)
	}
	for name, value := range stats {
		if !reflect.DeepEqual(value, want[name]) {
			t.Errorf("stats: %s is %v", name, value)
		}
	}
}

func TestEmptyFieldsAreNotNull(t *testing.T) {
	n := newNode(t)
	id, _ := n.create(`{"name":"n","allowed_ips":null,"metadata":null,"expires_at":null,"expires_in_days":null}`)
	got := n.must(http.MethodGet, "/admin/api-keys/"+id, "")
	empty := object{"allowed_ips": []any{}, "allowed_origins": []any{}, "allowed_models": []any{}, "metadata": object{}, "last_used_at": nil, "expires_at": nil}
	for name, want := range empty {
		if value, there := got[name]; !there || !reflect.DeepEqual(value, want) {
			t.Errorf("%s is %v", name, value)
		}
	}
	if _, there := got["deleted_at"]; there {
		t.Error("it has a time of deletion")
	}
}

func TestBadBodiesAreRefusedAndNamed(t *testing.T) {
	n := newNode(t)
	id, _ := n.create(`{"name":"n"}`)
	for _, tc := range []struct{ body, param string }{
		{``, ""}, {`{`, ""}, {`null`, ""}, {`[]`, ""}, {`"hunter2"`, ""}, {"{\"name\":\"\xff\"", ""},
		{`{"name":""}`, "name"}, {`{"name":null}`, "name"}, {`{"name":1}`, "name"}, {`{"name":"  "}`, "name"}, {`{"name":"a\u0000b"}`, "name"},
		{`{"name":"n","description":["hunter2"]}`, "description"},
		{`{"name":"n","pool":""}`, "pool"}, {`{"name":"n","pool":"a.b"}`, "pool"}, {`{"name":"n","pool":1}`, "pool"},
		{`{"name":"n","token_limit":0}`, "token_limit"}, {`{"name":"n","token_limit":-1}`, "token_limit"}, {`{"name":"n","token_limit":1.5}`, "token_limit"},
		{`{"name":"n","token_limit":"1"}`, "token_limit"}, {`{"name":"n","token_limit":1e30}`, "token_limit"},
		{`{"name":"n","rate_limit_tier":"hunter2"}`, "rate_limit_tier"}, {`{"name":"n","rate_limit_tier":""}`, "rate_limit_tier"},
		{`{"name":"n","expires_at":"2001-01-01T00:00:00Z"}`, "expires_at"}, {`{"name":"n","expires_at":"tomorrow hunter2"}`, "expires_at"}, {`{"name":"n","expires_at":1}`, "expires_at"},
		{`{"name":"n","expires_in_days":0}`, "expires_in_days"}, {`{"name":"n","expires_in_days":36501}`, "expires_in_days"}, {`{"name":"n","expires_in_days":0.5}`, "expires_in_days"},
		{`{"name":"n","expires_in_days":1,"expires_at":"2999-01-01T00:00:00Z"}`, "expires_in_days"},
		{`{"name":"n","allowed_ips":"10.0.0.1"}`, "allowed_ips"}, {`{"name":"n","allowed_ips":["hunter2"]}`, "allowed_ips"}, {`{"name":"n","allowed_ips":[1]}`, "allowed_ips"}, {`{"name":"n","allowed_ips":[null]}`, "allowed_ips"},
		{`{"name":"n","allowed_origins":["*"]}`, "allowed_origins"}, {`{"name":"n","allowed_models":[""]}`, "allowed_models"},
		{`{"name":"n","metadata":[]}`, "metadata"}, {`{"name":"n","metadata":"hunter2"}`, "metadata"},
		{`{"name":"n","allowed_ip":["10.0.0.1"]}`, "allowed_ip"}, {`{"name":"n","hunter2 is here":1}`, ""}, {`{"name":"n","is_active":false}`, "is_active"},
	} {
		for method, path := range map[string]string{http.MethodPost: "/admin/api-keys", http.MethodPatch: "/admin/api-keys/" + id} {
			status, answer := n.ask(method, path, tc.body)
			message, param, _ := detail(answer)
			named := param == tc.param || param == nil && tc.param == ""
			if status != http.StatusUnprocessableEntity || !named || message == "" || strings.Contains(message, "hunter2") {
				t.Errorf("%s %q: %d, %v", method, tc.body, status, answer)
			}
		}
	}
	if status, answer := n.ask(http.MethodPost, "/admin/api-keys", `{}`); status != http.StatusUnprocessableEntity {
		t.Errorf("without a name: %d, %v", status, answer)
	}
	if status, _ := n.ask(http.MethodPost, "/admin/api-keys", `{"name":"`+strings.Repeat("x", 65<<10)+`"}`); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a large body: %d", status)
	}
	if list := n.must(http.MethodGet, "/admin/api-keys", ""); list["total"] != 1.0 {
		t.Errorf("%v keys were made", list["total"])
	}
}

func TestAChangeKeepsWhatItDoesNotName(t *testing.T) {
	n := newNode(t)
	id, _ := n.create(`{"name":"n","description":"d","allowed_ips":["192.0.2.1"],"expires_in_days":1,"metadata":{"a":1}}`)
	path := "/admin/api-keys/" + id
	before := n.must(http.MethodGet, path, "")
	n.pass(time.Minute)

	got := n.must(http.MethodPatch, path, `{"token_limit":5}`)
	before["token_limit"], before["token_remaining"], before["updated_at"] = 5.0, 5.0, n.time().UTC().Format(time.RFC3339)
	if !reflect.DeepEqual(got, before) {
		t.Errorf("got\n%v\nwant\n%v", got, before)
	}
	got = n.must(http.MethodPatch, path, `{"expires_at":null,"allowed_ips":null,"description":null,"metadata":null}`)
	if got["expires_at"] != nil || len(got["allowed_ips"].([]any)) != 0 || got["description"] != "" || len(got["metadata"].(object)) != 0 || got["name"] != "n" {
		t.Errorf("null does not take away: %v", got)
	}
	n.must(http.MethodPatch, path, `{"expires_in_days":1}`)
	n.pass(25 * time.Hour)
	if status, _ := n.ask(http.MethodGet, path, ""); status != http.StatusUnauthorized {
		t.Errorf("the token outlived its day: %d", status)
	}
	_, answer := n.login("admin", password)
	n.token = answer["access_token"].(string)
	if got := n.must(http.MethodPatch, path, `{"name":"an expired key can be renamed"}`); got["name"] != "an expired key can be renamed" {
		t.Errorf("got %v", got)
	}
}

func TestSwitchingDeletingAndRotating(t *testing.T) {
	n := newNode(t)
	id, secret := n.create(`{"name":"n"}`)
	path := "/admin/api-keys/" + id
	if m := n.must(http.MethodPost, path+"/disable", "")["message"]; m == "" || n.accepts(secret) {
		t.Errorf("disabled: %v", m)
	}
	if n.must(http.MethodGet, path, "")["is_active"] != false {
		t.Error("it is shown as active")
	}
	n.must(http.MethodPost, path+"/disable", "") // again changes nothing
	n.must(http.MethodPost, path+"/enable", "")
	if !n.accepts(secret) {
		t.Error("an enabled key is refused")
	}

	rotated := n.must(http.MethodPost, path+"/rotate?grace=1h", "")
	second := rotated["api_key"].(string)
	if rotated["id"] != id || second == secret || !n.accepts(secret) || !n.accepts(second) {
		t.Errorf("rotated: %v", rotated)
	}
	n.pass(time.Hour)
	if n.accepts(secret) || !n.accepts(second) {
		t.Error("the grace does not end")
	}
	third := n.must(http.MethodPost, path+"/rotate", "")["api_key"].(string)
	n.pass(22 * time.Hour)
	if !n.accepts(second) || !n.accepts(third) {
		t.Error("the default grace is not a day")
	}
	fourth := n.must(http.MethodPost, path+"/rotate?grace=0", "")["api_key"].(string)
	if n.accepts(third) || !n.accepts(fourth) {
		t.Error("no grace is not at once")
	}

	n.must(http.MethodDelete, path, "")
	if n.accepts(fourth) {
		t.Error("a deleted key works")
	}
	for method, action := range map[string]string{"POST /disable": "", "POST /enable": "", "POST /rotate": "", "PATCH ": `{"name":"x"}`, "DELETE ": ""} {
		verb, rest, _ := strings.Cut(method, " ")
		if status, answer := n.ask(verb, path+rest, action); status != http.StatusNotFound {
			t.Errorf("%s of a deleted key: %d, %v", method, status, answer)
		}
	}
	if got := n.must(http.MethodGet, path, ""); got["deleted_at"] == nil || got["is_active"] != false {
		t.Errorf("a deleted key is shown as %v", got)
	}
	if got := n.must(http.MethodGet, "/admin/api-keys", "")["total"]; got != 0.0 {
		t.Errorf("%v keys are listed", got)
	}
	if got := n.must(http.MethodGet, "/admin/api-keys?include_deleted=true", "")["total"]; got != 1.0 {
		t.Errorf("%v keys are listed with deleted ones", got)
	}
	n.must(http.MethodDelete, path+"?hard_delete=true", "")
	if status, _ := n.ask(http.MethodGet, path, ""); status != http.StatusNotFound {
		t.Errorf("a removed key is shown: %d", status)
	}
}

func TestEnablingAKeySaysWhetherItWorks(t *testing.T) {
	n := newNode(t)
	expires := n.time().Add(time.Hour)
	id, secret := n.create(`{"name":"n","expires_at":"` + expires.Format(time.RFC3339) + `"}`)
	path := "/admin/api-keys/" + id
	n.must(http.MethodPost, path+"/disable", "")
	if m := n.must(http.MethodPost, path+"/enable", "")["message"]; m != "the key is enabled" || !n.accepts(secret) {
		t.Errorf("before it expires: %v", m)
	}
	n.must(http.MethodPost, path+"/disable", "")
	n.pass(2 * time.Hour)
	want := "the key is enabled, but still refused: it expired on " + expires.UTC().Format(time.DateTime) + " UTC; change its expires_at"
	if m := n.must(http.MethodPost, path+"/enable", "")["message"]; m != want || n.accepts(secret) {
		t.Errorf("afterwards: %v, want %v", m, want)
	}
	n.must(http.MethodPatch, path, `{"expires_at":null}`)
	if !n.accepts(secret) {
		t.Error("it is refused with a new expires_at too")
	}
}

func TestUnknownKeysAndQueries(t *testing.T) {
	n := newNode(t)
	for _, tc := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/api-keys/key_aaaaaaaaaaaaaaaa", 404},
		{"GET", "/api-keys/key_aaaaaaaaaaaaaaaa/stats", 404},
		{"PATCH", "/api-keys/key_aaaaaaaaaaaaaaaa", 404},
		{"DELETE", "/api-keys/key_aaaaaaaaaaaaaaaa", 404},
		{"DELETE", "/api-keys/key_aaaaaaaaaaaaaaaa?hard_delete=true", 404},
		{"POST", "/api-keys/key_aaaaaaaaaaaaaaaa/disable", 404},
		{"POST", "/api-keys/key_aaaaaaaaaaaaaaaa/enable", 404},
		{"POST", "/api-keys/key_aaaaaaaaaaaaaaaa/rotate", 404},
		{"PATCH", "/api-keys/a.*.%3E", 404},
		{"DELETE", "/api-keys/%20?hard_delete=true", 404},
		{"GET", "/api-keys?limit=0", 422}, {"GET", "/api-keys?limit=x", 422}, {"GET", "/api-keys?skip=-1", 422}, {"GET", "/api-keys?include_deleted=maybe", 422},
		{"GET", "/audit?limit=-1", 422}, {"POST", "/api-keys/key_aaaaaaaaaaaaaaaa/rotate?grace=later", 422}, {"POST", "/api-keys/key_aaaaaaaaaaaaaaaa/rotate?grace=-1h", 422},
		{"POST", "/api-keys/key_aaaaaaaaaaaaaaaa/rotate?grace=9999h", 422}, {"DELETE", "/api-keys/key_aaaaaaaaaaaaaaaa?hard_delete=perhaps", 422},
		{"GET", "/api-keys?skip=9000000000000000000&limit=9000000000000000000", 200},
	} {
		resp, answer := n.send(tc.method, "/admin"+tc.path, `{"name":"n"}`, http.Header{"Authorization": {"Bearer " + n.token}})
		message, _, _ := detail(answer)
		if resp.StatusCode != tc.status || tc.status != 200 && message == "" {
			t.Errorf("%s %s: %d, %v", tc.method, tc.path, resp.StatusCode, answer)
		}
		if resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s may be cached", tc.method, tc.path)
		}
	}
}

func TestPagesShowTheNewestFirst(t *testing.T) {
	n := newNode(t)
	for i := range 5 {
		n.create(fmt.Sprintf(`{"name":"%d"}`, i))
		n.pass(time.Second)
	}
	for query, want := range map[string]string{
		"": "4 3 2 1 0", "?limit=2": "4 3", "?skip=1&limit=2": "3 2", "?skip=4": "0", "?skip=5": "", "?skip=99": "", "?limit=5000": "4 3 2 1 0",
	} {
		got := n.must(http.MethodGet, "/admin/api-keys"+query, "")
		var names []string
		for _, item := range got["items"].([]any) {
			names = append(names, item.(object)["name"].(string))
		}
		if strings.Join(names, " ") != want || got["total"] != 5.0 || got["limit"].(float64) > 1000 {
			t.Errorf("%s: %v of %v, limit %v", query, names, got["total"], got["limit"])
		}
	}
}

func TestTwoNodesAgree(t *testing.T) {
	srv := startBroker(t)
	a, b := openNode(t, srv, nil), openNode(t, srv, nil)
	id, secret := a.create(`{"name":"n"}`)
	path := "/admin/api-keys/" + id
	eventually(t, "the new key", func() bool { return b.accepts(secret) })
	b.must(http.MethodPost, path+"/disable", "")
	eventually(t, "the disabled key to be refused", func() bool { return !a.accepts(secret) })
	a.must(http.MethodPost, path+"/enable", "")
	eventually(t, "the enabled key", func() bool { return b.accepts(secret) })
	b.must(http.MethodPatch, path, `{"allowed_ips":["198.51.100.0/24"]}`)
	eventually(t, "the list of addresses", func() bool { return !a.accepts(secret) })
	a.callFrom("198.51.100.7")
	if !a.accepts(secret) {
		t.Error("an address of the list is refused")
	}
	second := b.must(http.MethodPost, path+"/rotate?grace=0s", "")["api_key"].(string)
	eventually(t, "the new secret", func() bool { return a.accepts(second) && !a.accepts(secret) })
	a.must(http.MethodDelete, path+"?hard_delete=true", "")
	eventually(t, "the removed key to be gone", func() bool { status, _ := b.ask(http.MethodGet, path, ""); return status == http.StatusNotFound })

	a.token = b.token
	if status, _ := a.ask(http.MethodGet, "/admin/api-keys", ""); status != http.StatusOK {
		t.Errorf("a token of the other node: %d", status)
	}
}

func TestNoSecretIsAnywhere(t *testing.T) {
	n := newNode(t)
	const canary = "canary-7f3a"
	var secrets []string
	id, secret := n.create(`{"name":"` + canary + `","description":"` + canary + `","metadata":{"` + canary + `":1}}`)
	secrets = append(secrets, secret)
	secrets = append(secrets, n.must(http.MethodPost, "/admin/api-keys/"+id+"/rotate", "")["api_key"].(string))
	n.login("admin", canary)
	n.ask(http.MethodPost, "/admin/api-keys", `{"name":"n","allowed_ips":["`+canary+`"],"`+canary+`":1}`)
	n.ask(http.MethodGet, "/admin/api-keys/"+canary, "")
	n.must(http.MethodPatch, "/admin/api-keys/"+id, `{"name":"`+canary+`2"}`)

	shown := fmt.Sprint(n.must(http.MethodGet, "/admin/api-keys/"+id, ""), n.must(http.MethodGet, "/admin/api-keys", ""))
	audit := fmt.Sprint(n.audit())
	kept := everything(t, n, "KV_KEYS", "KV_ADMIN", "AUDIT")
	for where, text := range map[string]string{"the log": n.log.String(), "the audit record": audit, "answers": shown, "the broker": kept} {
		for _, s := range append(secrets, n.token, password) {
			if strings.Contains(text, s) || strings.Contains(text, s[len(s)-12:]) {
				t.Errorf("a secret is in %s", where)
			}
		}
	}
	for where, text := range map[string]string{"the log": n.log.String(), "the audit record": audit} {
		if strings.Contains(text, canary) {
			t.Errorf("what a caller sent is in %s: %s", where, text)
		}
	}
}

// everything returns all messages of the streams.
func everything(t *testing.T, n *node, streams ...string) string {
	t.Helper()
	js, err := jetstream.New(n.nc)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range streams {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		state := stream.CachedInfo().State
		if state.Msgs == 0 {
			t.Errorf("stream %s is empty", name)
		}
		for seq := state.FirstSeq; seq <= state.LastSeq; seq++ {
			if m, err := stream.GetMsg(t.Context(), seq); err == nil {
				fmt.Fprintln(&all, m.Subject, m.Header, string(m.Data))
			}
		}
	}
	return all.String()
}
