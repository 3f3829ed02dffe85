package admin_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"maxrelay/api/admin"
	"maxrelay/queue"
)

// openGate is a node whose workers join a broker, of which other machines know this address.
func openGate(t *testing.T, advertise string) *node {
	t.Helper()
	dir := t.TempDir()
	b, err := queue.OpenBroker(t.Context(), queue.BrokerConfig{
		Listen: "127.0.0.1:0", Advertise: advertise, StoreDir: filepath.Join(dir, "nats"), TokenFile: filepath.Join(dir, "nats.token"),
		TLS: queue.TLSConfig{SecretFile: filepath.Join(dir, "nats.secret")},
	}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	members, err := b.OpenRegistry(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(members.Close)
	srv := startBroker(t)
	return openNode(t, srv, func(cfg *admin.Config) { cfg.Owner, cfg.Members = openOwner(t, srv), members })
}

func (n *node) members() []any {
	n.t.Helper()
	return n.must(http.MethodGet, "/admin/workers", "")["members"].([]any)
}

func TestAWorkerIsInvitedAndRevoked(t *testing.T) {
	n := openGate(t, "relay.example.org:4222")
	got := n.must(http.MethodPost, "/admin/workers", `{"name": "box2", "pools": ["team", "own"], "expires_in_days": 30}`)
	token, _ := got["token"].(string)
	i, err := queue.ParseInvitation(token)
	if err != nil || i.Name != "box2" || i.URLs[0] != "relay.example.org:4222" {
		t.Errorf("the invitation %+v, %v", i, err)
	}
	if got["state"] != "invited" || got["invited_until"] == nil || got["expires_at"] == nil || got["joined_at"] != nil {
		t.Errorf("the answer %v", got)
	}
	again := n.must(http.MethodPost, "/admin/workers", `{"name": "box2"}`)
	if again["token"] == token || again["expires_at"] != nil || again["pools"].([]any)[0] != "default" {
		t.Errorf("invited again: %v", again)
	}
	all := n.members()
	if len(all) != 1 || all[0].(object)["token"] != nil || all[0].(object)["state"] != "invited" {
		t.Errorf("the list %v", all)
	}
	n.must(http.MethodDelete, "/admin/workers/box2", "")
	if m := n.members()[0].(object); m["state"] != "revoked" || m["revoked_at"] == nil {
		t.Errorf("afterwards %v", m)
	}
	events := n.audit()
	if len(events) != 4 || events[0]["action"] != "revoke" || events[1]["action"] != "invite" || events[1]["worker_id"] != "box2" {
		t.Errorf("written down: %v", events)
	}
	for name, want := range map[string]string{"box2": "revoked already", "nosuch": "no such worker"} {
		if status, answer := n.ask(http.MethodDelete, "/admin/workers/"+name, ""); status != http.StatusNotFound || !strings.Contains(fmt.Sprint(answer), want) {
			t.Errorf("%s revoked: %d %v", name, status, answer)
		}
	}
	if strings.Contains(n.log.String(), token) || strings.Contains(n.log.String(), i.Secret) {
		t.Error("the log has the invitation")
	}
}

func TestWhoIsNotInvited(t *testing.T) {
	n := openGate(t, "relay.example.org:4222")
	for name, tc := range map[string]struct {
		body  string
		param any
		want  string
	}{
		"no name":          {`{}`, "name", "name must have 1 to 40 letters, digits, - and _"},
		"a name of dots":   {`{"name": "a.hunter2"}`, "name", "name must have 1 to 40"},
		"a long name":      {`{"name": "` + strings.Repeat("a", 41) + `"}`, "name", "name must have 1 to 40"},
		"a number":         {`{"name": 5}`, "name", "name has another type"},
		"no pool":          {`{"name": "a", "pools": []}`, "pools", "pools must be between 1 and"},
		"a pool of stars":  {`{"name": "a", "pools": ["*"]}`, "pools", "pools must have names of letters"},
		"one pool":         {`{"name": "a", "pools": "hunter2"}`, "pools", "pools has another type"},
		"a misspelt field": {`{"name": "a", "pool": ["hunter2"]}`, nil, "the body is not a JSON object of name, pools"},
		"no JSON":          {`{"name": `, nil, "the body is not a JSON object of name, pools"},
		"two objects":      {`{"name": "a"} {}`, nil, "the body is not a JSON object of name, pools"},
		"the past":         {`{"name": "a", "expires_at": "2020-01-01T00:00:00Z"}`, "expires_at", "expires_at is in the past"},
		"no days":          {`{"name": "a", "expires_in_days": 0}`, "expires_in_days", "expires_in_days must be a whole number"},
		"two ends":         {`{"name": "a", "expires_in_days": 1, "expires_at": "2120-01-01T00:00:00Z"}`, "expires_in_days", "expires_in_days and expires_at exclude"},
	} {
		status, answer := n.ask(http.MethodPost, "/admin/workers", tc.body)
		message, param, _ := detail(answer)
		if status != http.StatusUnprocessableEntity || param != tc.param || !strings.Contains(message, tc.want) || strings.Contains(message, "hunter2") {
			t.Errorf("%s: %d, %v", name, status, answer)
		}
	}
	if all := n.members(); len(all) != 0 {
		t.Errorf("invited were %v", all)
	}
	if status, answer := n.ask(http.MethodDelete, "/admin/workers/nobody", ""); status != http.StatusNotFound {
		t.Errorf("nobody was revoked: %d, %v", status, answer)
	}
	n.token = ""
	for method, path := range map[string]string{http.MethodPost: "/admin/workers", http.MethodDelete: "/admin/workers/a"} {
		if status, answer := n.ask(method, path, `{"name": "a"}`); status != http.StatusUnauthorized {
			t.Errorf("%s %s without a token: %d, %v", method, path, status, answer)
		}
	}
}

func TestWhereNobodyCanJoin(t *testing.T) {
	srv := startBroker(t)
	outside := openNode(t, srv, func(cfg *admin.Config) { cfg.Owner = openOwner(t, srv) })
	for n, want := range map[*node]string{openGate(t, ""): "set nats.listen to an address that they reach", outside: "workers join the built-in broker only"} {
		status, answer := n.ask(http.MethodPost, "/admin/workers", `{"name": "a"}`)
		if message, _, _ := detail(answer); status != http.StatusConflict || !strings.Contains(message, want) {
			t.Errorf("%d, %v, want %q", status, answer, want)
		}
		if all := n.members(); len(all) != 0 {
			t.Errorf("invited were %v", all)
		}
	}
}
