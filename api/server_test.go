package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"maxrelay/api/anthropic"
	"maxrelay/api/anthropic/messagestest"
	"maxrelay/api/key"
	"maxrelay/api/upstream"
	"maxrelay/queue"
)

func newKeys(t *testing.T, required bool, secrets ...string) *key.Keys {
	keys, err := key.New(secrets, required, "default")
	must(t, err)
	return keys
}

// bare is a server that is not connected to anything.
func bare(t *testing.T, cfg Config) *Server {
	if cfg.Keys == nil {
		cfg.Keys = newKeys(t, false)
	}
	s, err := New(cfg, nil, nil, nil, zerolog.Nop())
	must(t, err)
	s.clients.router.Handle("/api/open", s.serve(func(x *exchange, _ *http.Request) error { return x.json(http.StatusOK, "in") }))
	s.clients.router.Handle("/api/panic", s.serve(func(*exchange, *http.Request) error { panic("SECRET") }))
	s.clients.router.Handle("/api/late", s.serve(func(x *exchange, _ *http.Request) error {
		x.openStream()
		must(t, x.send([]byte("data: {}\n\n")))
		panic("SECRET")
	}))
	return s
}

func TestWebPagesAreKeptOut(t *testing.T) {
	const listed = "https://chat.example.org"
	type header map[string]string
	for name, tc := range map[string]struct {
		method, host string
		header       header
		want         int
	}{
		"curl":                           {"GET", "127.0.0.1:3456", nil, 200},
		"curl -d with the type":          {"POST", "127.0.0.1:3456", header{"Content-Type": "application/json; charset=utf-8"}, 200},
		"an SDK":                         {"POST", "localhost:3456", header{"Content-Type": "application/json", "User-Agent": "OpenAI/Python 1.0"}, 200},
		"no type and no sign":            {"POST", "localhost", nil, 200},
		"another loopback address":       {"GET", "127.8.9.10:1", nil, 200},
		"IPv6":                           {"GET", "[::1]:3456", nil, 200},
		"IPv6 without port":              {"GET", "[::1]", nil, 200},
		"mapped IPv4":                    {"GET", "[::ffff:127.0.0.1]:3456", nil, 200},
		"the configured host":            {"GET", "Relay.lan:3456", nil, 200},
		"a page of ours":                 {"POST", "localhost:3456", header{"Origin": "http://localhost:3456", "Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}, 200},
		"a page that is listed":          {"POST", "localhost:3456", header{"Origin": listed, "Sec-Fetch-Site": "cross-site", "Content-Type": "application/json"}, 200},
		"preflight of a listed page":     {"OPTIONS", "localhost:3456", header{"Origin": listed, "Access-Control-Request-Method": "POST"}, 204},
		"typed into the browser":         {"GET", "localhost:3456", header{"Sec-Fetch-Site": "none", "User-Agent": "Mozilla/5.0"}, 200},
		"DNS rebinding":                  {"GET", "evil.example:3456", nil, 403},
		"DNS rebinding, POST":            {"POST", "evil.example:3456", header{"Origin": "http://evil.example:3456", "Content-Type": "application/json", "Sec-Fetch-Site": "same-origin"}, 403},
		"a name that looks local":        {"GET", "localhost.evil.example", nil, 403},
		"a name that begins local":       {"GET", "127.0.0.1.evil.example", nil, 403},
		"any address":                    {"GET", "0.0.0.0:3456", nil, 403},
		"a private address":              {"GET", "192.168.1.2:3456", nil, 403},
		"no host":                        {"GET", "", nil, 403},
		"another origin":                 {"POST", "localhost:3456", header{"Origin": "https://evil.example", "Content-Type": "application/json"}, 403},
		"another origin reads":           {"GET", "localhost:3456", header{"Origin": "https://evil.example"}, 403},
		"another port":                   {"POST", "localhost:3456", header{"Origin": "http://localhost:8080", "Content-Type": "application/json"}, 403},
		"another local name":             {"POST", "localhost:3456", header{"Origin": "http://127.0.0.1:3456", "Content-Type": "application/json"}, 403},
		"a sandboxed frame":              {"POST", "localhost:3456", header{"Origin": "null", "Content-Type": "application/json"}, 403},
		"a form":                         {"POST", "localhost:3456", header{"Content-Type": "application/x-www-form-urlencoded"}, 403},
		"a form of plain text":           {"POST", "localhost:3456", header{"Content-Type": "text/plain"}, 403},
		"JSON within plain text":         {"POST", "localhost:3456", header{"Content-Type": "text/plain; application/json"}, 403},
		"an empty type":                  {"POST", "localhost:3456", header{"Content-Type": ""}, 403},
		"a blob in an old browser":       {"POST", "localhost:3456", header{"User-Agent": "Mozilla/5.0"}, 403},
		"a blob with a referrer":         {"POST", "localhost:3456", header{"Referer": "https://evil.example/"}, 403},
		"a link on another site":         {"GET", "localhost:3456", header{"Sec-Fetch-Site": "cross-site"}, 403},
		"a page of a sibling site":       {"GET", "localhost:3456", header{"Sec-Fetch-Site": "same-site"}, 403},
		"preflight of another page":      {"OPTIONS", "localhost:3456", header{"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}, 403},
		"a listed page, a form's type":   {"POST", "localhost:3456", header{"Origin": listed, "Content-Type": "text/plain"}, 403},
		"a listed page, a rebound name":  {"POST", "evil.example", header{"Origin": listed, "Content-Type": "application/json"}, 403},
		"an origin that ends like ours":  {"POST", "localhost:3456", header{"Origin": "http://evil.localhost:3456", "Content-Type": "application/json"}, 403},
		"an origin with a path":          {"POST", "localhost:3456", header{"Origin": "http://localhost:3456/", "Content-Type": "application/json"}, 403},
		"same origin but of another one": {"POST", "localhost:3456", header{"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin", "Content-Type": "application/json"}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			s := bare(t, Config{Host: "relay.lan", Origins: []string{listed}})
			r := httptest.NewRequest(tc.method, "/api/open", nil)
			r.Host = tc.host
			for k, v := range tc.header {
				r.Header.Set(k, v)
			}
			w := httptest.NewRecorder()
			s.clients.http.Handler.ServeHTTP(w, r)
			if w.Code != tc.want {
				t.Errorf("status %d, want %d: %s", w.Code, tc.want, w.Body)
			}
			want := ""
			if tc.header["Origin"] == listed {
				want = listed
			}
			if got := w.Header().Get("Access-Control-Allow-Origin"); got != want {
				t.Errorf("Access-Control-Allow-Origin: %q, want %q", got, want)
			}
		})
	}
}

func TestAListedPageIsToldWhatItMayDo(t *testing.T) {
	const page = "https://chat.example.org"
	for _, forwards := range []bool{false, true} {
		cfg := Config{Keys: newKeys(t, true, "secret"), Origins: []string{page}}
		elsewhere := ""
		if forwards {
			cfg.Upstreams = []upstream.Upstream{{Name: "u", URL: "http://127.0.0.1:9", APIKey: "k"}}
			elsewhere = "GET, HEAD, POST, PUT, PATCH, DELETE"
		}
		s := bare(t, cfg)
		s.clients.router.Handle("/thing", s.serve(s.health)).Methods(http.MethodGet, http.MethodPatch, http.MethodDelete)
		for path, want := range map[string]string{"/v1/chat/completions": "POST", "/v1/models": "GET, HEAD", "/thing": "GET, PATCH, DELETE", "/v1/files/f": elsewhere, "/v1/chat/x": ""} {
			r := httptest.NewRequest(http.MethodOptions, path, nil)
			r.Host = "localhost:3456"
			r.Header.Set("Origin", page)
			r.Header.Set("Access-Control-Request-Method", "POST")
			r.Header.Set("Access-Control-Request-Headers", "authorization,content-type,x-stainless-os")
			w := httptest.NewRecorder()
			s.clients.http.Handler.ServeHTTP(w, r)
			h := w.Header()
			if w.Code != 204 || h.Get("Access-Control-Allow-Methods") != want || h.Get("Access-Control-Allow-Headers") != "*, Authorization" || h.Get("Vary") != "Origin" {
				t.Errorf("%s: %d, %v", path, w.Code, h)
			}
			if exposed := h.Get("Access-Control-Expose-Headers"); !strings.Contains(exposed, "X-Ratelimit-Remaining-Tokens") || !strings.Contains(exposed, "Retry-After") {
				t.Errorf("a page may read %s", exposed)
			}
		}
	}
}

func TestPreflightIsNeverGrantedWithKeysEither(t *testing.T) {
	s := bare(t, Config{Keys: newKeys(t, true, "secret")})
	r := httptest.NewRequest(http.MethodOptions, "/v1/chat/completions", nil)
	r.Header.Set("Origin", "https://evil.example")
	r.Header.Set("Access-Control-Request-Method", "POST")
	w := httptest.NewRecorder()
	s.clients.http.Handler.ServeHTTP(w, r)
	if w.Code != 401 || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestPanicsBecomeErrors(t *testing.T) {
	logged := new(syncBuffer)
	s := bare(t, Config{})
	s.log = zerolog.New(logged)
	for path, want := range map[string]string{
		"/api/panic": `{"error":{"message":"the server made a mistake; its log has the request id","type":"api_error","param":null,"code":"internal_error"}}`,
		"/api/late":  "data: {}\n\ndata: " + `{"error":{"message":"the server made a mistake; its log has the request id","type":"api_error","param":null,"code":"internal_error"}}` + "\n\n",
	} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Host = "localhost"
		w := httptest.NewRecorder()
		s.clients.http.Handler.ServeHTTP(w, r)
		if got := w.Body.String(); got != want {
			t.Errorf("%s: %s", path, got)
		}
		if status := map[string]int{"/api/panic": 500, "/api/late": 200}[path]; w.Code != status {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
	if log := logged.String(); !strings.Contains(log, "server_test.go") || strings.Contains(log, "SECRET") {
		t.Errorf("log %s", log)
	}
}

func TestPanicInATurnIsRecorded(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, nil)
	n.owner = nil
	resp := n.post(ask("hi", ``))
	if _, code, _ := errorCode(t, read(t, resp)); resp.StatusCode != 500 || code != "internal_error" {
		t.Errorf("%d %s", resp.StatusCode, code)
	}
	if e := n.usage(1)[0]; e.Status != 500 || e.ErrorCode != "internal_error" {
		t.Errorf("recorded %+v", e)
	}
}

func TestInsaneRequestIDsAreReplaced(t *testing.T) {
	s := bare(t, Config{})
	for sent, kept := range map[string]bool{"abc-1.2_3": true, "": false, "a b": false, "a\x00": false, strings.Repeat("a", 129): false, "<script>": false} {
		r := httptest.NewRequest(http.MethodGet, "/api/open", nil)
		r.Host = "localhost"
		r.Header["X-Request-Id"] = []string{sent}
		w := httptest.NewRecorder()
		s.clients.http.Handler.ServeHTTP(w, r)
		got := w.Header().Get("X-Request-Id")
		if (got == sent) != kept || got == "" {
			t.Errorf("%q became %q", sent, got)
		}
	}
}

func TestModels(t *testing.T) {
	n := openNode(t, Config{Models: map[string]string{"gpt-4o": "sonnet", "claude-opus-4-6": "opus"}}, queue.OwnerConfig{}, echo)
	get := func(path string, header ...string) string {
		return read(t, n.do(testContext(t), http.MethodGet, path, "", header...))
	}
	var list struct {
		Object string
		Data   []struct{ ID string }
	}
	must(t, json.Unmarshal([]byte(get("/v1/models")), &list))
	var ids []string
	for _, m := range list.Data {
		ids = append(ids, m.ID)
	}
	if got := strings.Join(ids, " "); got != "claude-opus-4-6 gpt-4o opus" || list.Object != "list" {
		t.Errorf("models %s", got)
	}
	if got := get("/v1/models", "anthropic-version", "2023-06-01"); !strings.Contains(got, `"first_id":"claude-opus-4-6","last_id":"opus"`) {
		t.Errorf("got %s", got)
	}
	if got := get("/v1/models/gpt-4o"); !strings.Contains(got, `"id":"gpt-4o","object":"model"`) {
		t.Errorf("got %s", got)
	}
	if got := get("/v1/models/gpt-4o", "anthropic-version", "2023-06-01"); !strings.Contains(got, `"type":"model","id":"gpt-4o"`) {
		t.Errorf("got %s", got)
	}
}

func TestClientsOfTheMessagesAPIReadModelsInItsForm(t *testing.T) {
	n := openNode(t, Config{Models: map[string]string{"gpt-4o": "sonnet"}, Keys: newKeys(t, true, "secret")}, queue.OwnerConfig{}, echo)
	get := func(method, path string, header ...string) *http.Response {
		return n.do(testContext(t), method, path, "", append([]string{"Anthropic-Version", "2023-06-01"}, header...)...)
	}
	key := []string{"X-Api-Key", "secret"}
	mustFail(t, get(http.MethodGet, "/v1/models/gpt-5", key...), 404, "not_found_error")
	mustFail(t, get(http.MethodGet, "/v1/models?limit=0", key...), 400, "invalid_request_error")
	mustFail(t, get(http.MethodPut, "/v1/models", key...), 405, "invalid_request_error")
	mustFail(t, get(http.MethodGet, "/v1/models/a/b", key...), 404, "not_found_error")
	mustFail(t, get(http.MethodGet, "/v1/models"), 401, "authentication_error")

	for query, want := range map[string]string{
		"": "claude-opus-4-6 gpt-4o opus", "?limit=2": "claude-opus-4-6 gpt-4o more", "?limit=2&after_id=gpt-4o": "opus", "?limit=1&before_id=opus": "gpt-4o more",
	} {
		resp := get(http.MethodGet, "/v1/models"+query, key...)
		body := read(t, resp)
		messagestest.Validate(t, messagestest.Models, []byte(body))
		if id := resp.Header.Get("Request-Id"); id == "" || id != resp.Header.Get("X-Request-Id") {
			t.Errorf("request-id %q", id)
		}
		var list anthropic.ModelList
		must(t, json.Unmarshal([]byte(body), &list))
		var got []string
		for _, m := range list.Data {
			got = append(got, m.ID)
		}
		if list.HasMore {
			got = append(got, "more")
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %s, want %s", query, body, want)
		}
	}
}

func TestResolve(t *testing.T) {
	s := bare(t, Config{Models: map[string]string{"gpt-4o": "sonnet"}})
	for id, want := range map[string]string{
		"gpt-4o": "sonnet", "opus": "opus", "sonnet[1m]": "sonnet[1m]", "claude-opus-4-6": "claude-opus-4-6", "claude-sonnet-4-5@20250929": "claude-sonnet-4-5@20250929",
		"claude-opus-4-6[1m]": "claude-opus-4-6[1m]", "gpt-5": "", "claude-": "", "claude-Opus": "", "claude-a b": "", "claude-a\n": "", "--help": "", "claude-" + strings.Repeat("a", 122): "",
	} {
		got, err := s.resolve(id)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v, want %q", id, got, err, want)
		}
	}
}

func TestHealth(t *testing.T) {
	n := openNode(t, Config{Version: "1.2.3"}, queue.OwnerConfig{}, echo)
	resp := n.do(testContext(t), http.MethodGet, "/health", "")
	if body := read(t, resp); resp.StatusCode != 200 || !strings.Contains(body, `"status":"ok","provider":"claude-code-cli"`) || !strings.Contains(body, `"name":"bench","state":"ok","slots":64`) || !strings.Contains(body, `"pools":["default"]`) || !strings.Contains(body, `"version":"1.2.3"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestHealthWithoutWorker(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, nil)
	resp := n.do(testContext(t), http.MethodGet, "/health", "")
	if body := read(t, resp); resp.StatusCode != 503 || !strings.Contains(body, `"reason":"no worker is connected"`) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// A request of another pool's key is not what /health speaks of.
func TestHealthIsThatOfTheDefaultPool(t *testing.T) {
	serving, draining := queue.WorkerInfo{Pools: []string{"mine", "default"}}, queue.WorkerInfo{Pools: []string{"default"}, Draining: true}
	private := queue.WorkerInfo{Pools: []string{"mine"}}
	n := openNode(t, Config{}, queue.OwnerConfig{}, nil)
	for name, tc := range map[string]struct {
		workers []queue.WorkerInfo
		reason  string
	}{
		"one of several pools":          {[]queue.WorkerInfo{draining, serving}, ""},
		"one of another pool":           {[]queue.WorkerInfo{private}, "no worker of pool default is connected: those that are serve other pools"},
		"one that drains, one of other": {[]queue.WorkerInfo{draining, private}, "no worker of pool default can serve"},
		"none":                          {nil, "no worker is connected"},
	} {
		if got := n.unfit(tc.workers); got != tc.reason {
			t.Errorf("%s: %q, want %q", name, got, tc.reason)
		}
	}
}

func TestHealthOfAStationWhoseOnlyWorkerIsPrivate(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, nil)
	w, err := queue.NewWorker(testContext(t), n.nc, queue.WorkerConfig{Name: "mine", Pools: []string{"mine"}, Slots: 1}, func(context.Context, *queue.Task) {}, zerolog.Nop())
	must(t, err)
	t.Cleanup(w.Close)
	eventually(t, "the worker", func() bool { return len(n.owner.Workers()) == 1 })
	resp := n.do(testContext(t), http.MethodGet, "/health", "")
	if body := read(t, resp); resp.StatusCode != 503 || !strings.Contains(body, `"reason":"no worker of pool default is connected`) || !strings.Contains(body, `"pools":["mine"]`) || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestTakenPortIsAnError(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, nil)
	if err := bare(t, Config{}).Open(n.Addr().String()); err == nil {
		t.Error("no error")
	}
}

func TestErrorsOfTheQueueAreTold(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{queue.ErrQueueFull{RetryAfter: 1}, "queue_full"}, {queue.ErrNoWorker, "no_worker"}, {queue.ErrNoBroker, "no_worker"}, {queue.ErrDeadline, "no_worker"}, {queue.ErrStopping, "no_worker"},
		{queue.ErrResting{RetryAfter: time.Hour}, "usage_limit_reached"}, {queue.ErrResting{}, "account_unavailable"},
		{queue.ErrWorkerLost, "worker_failed"}, {queue.ErrSlowClient, "cancelled"}, {queue.ErrCancelled, "cancelled"}, {workerFailed(io.ErrUnexpectedEOF), "worker_failed"}, {errors.New("x"), "internal_error"},
	} {
		if got := (&exchange{speaks: openAI}).failureOf(tc.err).Code; got != tc.want {
			t.Errorf("%v: %s, want %s", tc.err, got, tc.want)
		}
	}
}
