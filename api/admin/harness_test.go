package admin_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"maxrelay/api/admin"
	"maxrelay/api/key"
	"maxrelay/session/chat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// guard is how long a test waits for anything before it calls it hung.
const guard = 30 * time.Second

const password = "correct horse"

func startBroker(t *testing.T) *server.Server {
	t.Helper()
	srv, err := server.NewServer(&server.Options{JetStream: true, StoreDir: t.TempDir(), DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(guard) {
		t.Fatal("the broker does not start")
	}
	return srv
}

// node is an API node as far as management goes: its routes, and one that wants a key.
type node struct {
	t     *testing.T
	url   string
	token string
	log   *safeBuffer
	nc    *nats.Conn
	store *key.Store

	mu    sync.Mutex
	now   time.Time
	from  netip.Addr // of all clients
	usage admin.Usage
}

func newNode(t *testing.T) *node { return openNode(t, startBroker(t), nil) }

// openNode also signs in, unless the configuration keeps it from doing so.
func openNode(t *testing.T, srv *server.Server, configure func(*admin.Config)) *node {
	t.Helper()
	n := &node{t: t, log: &safeBuffer{}, now: time.Now().Truncate(time.Second), from: netip.MustParseAddr("192.0.2.1")}
	var err error
	if n.nc, err = nats.Connect("", nats.InProcessServer(srv)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.nc.Close)
	log := zerolog.New(n.log)
	if n.store, err = key.OpenStore(t.Context(), n.nc, key.StoreConfig{Now: n.time}, log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.store.Close)
	cfg := admin.Config{Password: password, Now: n.time, ClientAddr: n.addr, Usage: n.used}
	if configure != nil {
		configure(&cfg)
	}
	a, err := admin.Open(t.Context(), n.nc, n.store, cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := key.New(nil, true, "default")
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(router(a, keys.With(n.store), n))
	t.Cleanup(web.Close)
	n.url = web.URL
	if status, answer := n.login("admin", cfg.Password); status == http.StatusOK {
		n.token = answer["access_token"].(string)
	}
	return n
}

func router(a *admin.Admin, keys *key.Keys, n *node) *mux.Router {
	r := mux.NewRouter()
	a.Routes(r)
	r.Handle("/admin/others", a.Protect(others))
	r.HandleFunc("/whoami", func(w http.ResponseWriter, r *http.Request) {
		id, err := keys.Identify(r, n.addr(r))
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"id": id.ID, "admin": a.SignedIn(r)})
	})
	return r
}

// others is a route that is not the package's own.
func others(w http.ResponseWriter, r *http.Request) error {
	switch r.URL.Query().Get("say") {
	case "wrong":
		return chat.Invalid("say", "must not be wrong")
	case "later":
		return &chat.Error{Code: chat.CodeNotReady, Message: "not yet"}
	case "broken":
		return errors.New("a secret")
	}
	_, err := io.WriteString(w, `"in"`)
	return err
}

func (n *node) time() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.now
}

func (n *node) pass(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.now = n.now.Add(d)
}

func (n *node) addr(*http.Request) netip.Addr {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.from
}

func (n *node) callFrom(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.from, _ = netip.ParseAddr(addr)
}

func (n *node) used(string) admin.Usage {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.usage
}

// object is an answer of any form.
type object = map[string]any

// send returns an answer without judging it.
func (n *node) send(method, path, body string, header http.Header) (*http.Response, object) {
	n.t.Helper()
	req, err := http.NewRequestWithContext(n.t.Context(), method, n.url+path, strings.NewReader(body))
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	var answer object
	_ = json.Unmarshal(raw, &answer) // not all are objects
	return resp, answer
}

// ask sends a request as a signed-in administrator.
func (n *node) ask(method, path, body string) (int, object) {
	n.t.Helper()
	resp, answer := n.send(method, path, body, http.Header{"Authorization": {"Bearer " + n.token}})
	return resp.StatusCode, answer
}

// must does so and wants 200.
func (n *node) must(method, path, body string) object {
	n.t.Helper()
	status, answer := n.ask(method, path, body)
	if status != http.StatusOK {
		n.t.Fatalf("%s %s: %d, %v", method, path, status, answer)
	}
	return answer
}

func (n *node) login(username, password string) (int, object) {
	n.t.Helper()
	req := http.Request{Header: http.Header{}}
	req.SetBasicAuth(username, password)
	resp, answer := n.send(http.MethodPost, "/admin/login", "", req.Header)
	return resp.StatusCode, answer
}

// create makes a key and returns its id and secret.
func (n *node) create(body string) (id, secret string) {
	n.t.Helper()
	answer := n.must(http.MethodPost, "/admin/api-keys", body)
	return answer["id"].(string), answer["api_key"].(string)
}

// accepts reports whether the node lets a client with this secret in.
func (n *node) accepts(secret string) bool {
	n.t.Helper()
	resp, _ := n.send(http.MethodGet, "/whoami", "", http.Header{"X-Api-Key": {secret}})
	return resp.StatusCode == http.StatusOK
}

func (n *node) audit() []object {
	n.t.Helper()
	var events []object
	for _, e := range n.must(http.MethodGet, "/admin/audit", "")["items"].([]any) {
		events = append(events, e.(object))
	}
	return events
}

func detail(answer object) (message string, param, code any) {
	e, _ := answer["error"].(object)
	message, _ = e["message"].(string)
	return message, e["param"], e["code"]
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// eventually waits for what another goroutine does on an event that a test cannot see.
func eventually(t *testing.T, what string, true func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	hung := time.After(guard)
	for !true() {
		select {
		case <-tick.C:
		case <-hung:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
