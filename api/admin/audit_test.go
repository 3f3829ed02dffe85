package admin_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

func TestEveryActionIsWrittenDownOnce(t *testing.T) {
	n := newNode(t)
	id, _ := n.create(`{"name":"n","allowed_ips":["10.0.0.1"],"token_limit":1000000}`)
	path := "/admin/api-keys/" + id
	n.must(http.MethodPatch, path, `{"name":"n","description":"d","allowed_models":["opus"]}`)
	n.must(http.MethodPost, path+"/disable", "")
	n.must(http.MethodPost, path+"/enable", "")
	n.must(http.MethodPost, path+"/enable", "")
	n.must(http.MethodPost, path+"/rotate", "")
	n.callFrom("2001:db8::1")
	n.must(http.MethodDelete, path, "")
	n.must(http.MethodDelete, path+"?hard_delete=true", "")
	n.ask(http.MethodDelete, path, "")                      // nothing to do
	n.ask(http.MethodPost, "/admin/api-keys", `{"name":1}`) // nor here
	n.must(http.MethodGet, "/admin/api-keys", "")

	want := []string{"login ", "create name allowed_ips", "update description allowed_models", "disable is_active", "enable is_active", "enable ",
		"rotate api_key", "delete is_active deleted_at", "hard_delete "}
	events := n.audit()
	var got []string
	for i := len(events) - 1; i >= 0; i-- {
		e := events[i]
		var fields []string
		for _, f := range asList(e["fields"]) {
			fields = append(fields, f.(string))
		}
		got = append(got, e["action"].(string)+" "+strings.Join(fields, " "))
		if e["actor"] != "admin" || e["time"] == nil || e["request_id"] == "" || (e["key_id"] == id) == (e["action"] == "login") {
			t.Errorf("event %v", e)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	if events[0]["address"] != "2001:db8::1" || events[len(events)-1]["address"] != "192.0.2.1" {
		t.Errorf("addresses %v, %v", events[0]["address"], events[len(events)-1]["address"])
	}
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}

func TestPagesOfTheAuditRecord(t *testing.T) {
	n := newNode(t)
	id, _ := n.create(`{"name":"n"}`)
	for range 5 {
		n.must(http.MethodPost, "/admin/api-keys/"+id+"/enable", "")
		n.must(http.MethodPost, "/admin/api-keys/"+id+"/disable", "")
	}
	for query, want := range map[string]string{
		"?limit=1": "disable", "?limit=3": "disable enable disable", "?skip=9&limit=2": "enable create", "?skip=11": "login", "?skip=12": "", "?skip=999999": "",
	} {
		got := n.must(http.MethodGet, "/admin/audit"+query, "")
		var actions []string
		for _, e := range got["items"].([]any) {
			actions = append(actions, e.(object)["action"].(string))
		}
		if strings.Join(actions, " ") != want || got["total"] != 12.0 {
			t.Errorf("%s: %q of %v", query, actions, got["total"])
		}
	}
}

func TestNothingIsDoneThatCannotBeWrittenDown(t *testing.T) {
	n := newNode(t)
	id, secret := n.create(`{"name":"n"}`)
	js, err := jetstream.New(n.nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "AUDIT"); err != nil {
		t.Fatal(err)
	}
	resp, answer := n.send(http.MethodPost, "/admin/api-keys/"+id+"/disable", "", http.Header{"Authorization": {"Bearer " + n.token}})
	if _, _, code := detail(answer); resp.StatusCode != http.StatusServiceUnavailable || code != "broker_unavailable" || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d, %v", resp.StatusCode, answer)
	}
	if status, _ := n.ask(http.MethodPost, "/admin/api-keys", `{"name":"m"}`); status != http.StatusServiceUnavailable {
		t.Errorf("creating: %d", status)
	}
	if !n.accepts(secret) || len(n.store.List()) != 1 {
		t.Error("something was done")
	}
	if status, _ := n.login("admin", password); status != http.StatusOK {
		t.Errorf("signing in: %d", status)
	}
	if log := n.log.String(); !strings.Contains(log, resp.Header.Get("X-Request-Id")) {
		t.Errorf("the log does not tell: %s", log)
	}
}

func TestAnActionThatFailedIsSaid(t *testing.T) {
	n := newNode(t)
	js, err := jetstream.New(n.nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "KV_KEYS"); err != nil {
		t.Fatal(err)
	}
	if status, _ := n.ask(http.MethodPost, "/admin/api-keys", `{"name":"n"}`); status != http.StatusServiceUnavailable {
		t.Errorf("creating: %d", status)
	}
	events := n.audit()
	if events[0]["failed"] != true || events[1]["failed"] != nil || events[0]["request_id"] != events[1]["request_id"] || events[0]["action"] != "create" {
		t.Errorf("got %v", events)
	}
}
