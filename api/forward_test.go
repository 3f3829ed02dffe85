package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"maxrelay/api/key"
	"maxrelay/api/limit"
	"maxrelay/api/upstream"
	"maxrelay/queue"
	"maxrelay/session/chat"
)

// operatorKey is the upstream's, which clients must never see, as it must never see
// theirs.
const operatorKey = "sk-operator-CANARY"

const (
	anthropicAnswer = `{"id":"msg_1","type":"message","role":"assistant","model":"claude-real-1","content":[{"type":"text","text":"hi"}],"usage":{"input_tokens":20,"cache_read_input_tokens":10,"output_tokens":5}}`
	anthropicStream = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"model\":\"claude-real-1\",\"usage\":{\"input_tokens\":20,\"output_tokens\":1}}}\n\n" +
		"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hi\"}}\n\n" +
		"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":15}}\n\n" +
		"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
)

// passOn is a node without workers and with one upstream. No part of it may log the
// operator's key.
func passOn(t *testing.T, cfg Config, up http.HandlerFunc, timeout ...time.Duration) *node {
	t.Helper()
	server := httptest.NewServer(up)
	t.Cleanup(server.Close)
	cfg.Upstreams = []upstream.Upstream{{Name: "up", URL: server.URL, APIKey: operatorKey}}
	for _, d := range timeout {
		cfg.Upstreams[0].Timeout = d
	}
	n := openNode(t, cfg, queue.OwnerConfig{}, nil)
	n.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(func() {
		if strings.Contains(n.logged.String(), "CANARY") {
			t.Errorf("a secret is logged: %s", n.logged.String())
		}
	})
	return n
}

func TestAnUpstreamWithoutAKeyIsAskedForNoModel(t *testing.T) {
	server := httptest.NewServer(saying("application/json", `{"from":"upstream"}`))
	t.Cleanup(server.Close)
	n := openNode(t, Config{Upstreams: []upstream.Upstream{{Name: "open", URL: server.URL}}}, queue.OwnerConfig{}, echo)
	body := read(t, n.messages(`{"model":"claude-opus-4","max_tokens":9,"messages":[{"role":"user","content":"from the pool"}]}`))
	if !strings.Contains(body, "from the pool") {
		t.Errorf("messages: %s", body)
	}
	if body := read(t, n.do(testContext(t), http.MethodGet, "/v1/files", "")); body != `{"from":"upstream"}` {
		t.Errorf("other paths: %s", body)
	}
}

func saying(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		_, _ = io.WriteString(w, body)
	}
}

// unreachable is an upstream that nothing may reach.
func unreachable(t *testing.T) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) { t.Errorf("passed on: %s %s", r.Method, r.RequestURI) }
}

func (n *node) messages(body string, header ...string) *http.Response {
	n.t.Helper()
	return n.do(testContext(n.t), http.MethodPost, messagesRoute, body, header...)
}

const messagesBody = `{"model":"claude-x","max_tokens":100,"messages":[{"role":"user","content":"hi"}]}`

// anthropicError is the type of an error in the Messages API's form.
func anthropicError(t *testing.T, resp *http.Response) string {
	t.Helper()
	var e struct {
		Type    string
		Error   struct{ Type, Message string }
		Request string `json:"request_id"`
	}
	body := read(t, resp)
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Type != "error" || e.Error.Message == "" || resp.Header.Get("Request-Id") == "" || e.Request != resp.Header.Get("Request-Id") {
		t.Errorf("not an error of the Messages API: %d %s %v", resp.StatusCode, body, resp.Header)
	}
	return e.Error.Type
}

func TestARequestIsPassedOnAndCounted(t *testing.T) {
	for name, tc := range map[string]struct {
		contentType, answer, more string
		want                      chat.Usage
	}{
		"in one piece": {"application/json", anthropicAnswer, ``, chat.Usage{InputTokens: 20, CacheReadTokens: 10, OutputTokens: 5}},
		"streaming":    {"text/event-stream", anthropicStream, `,"stream":true`, chat.Usage{InputTokens: 20, OutputTokens: 15}},
	} {
		t.Run(name, func(t *testing.T) {
			seen := make(chan *http.Request, 1)
			n := passOn(t, Config{Keys: newKeys(t, true, "client-secret")}, func(w http.ResponseWriter, r *http.Request) {
				seen <- r
				w.Header().Set("Request-Id", "req_upstream")
				w.Header().Set("Anthropic-Ratelimit-Requests-Limit", "50")
				saying(tc.contentType, tc.answer)(w, r)
			})
			n.limits.SetPolicy(limit.Policy{Rate: limit.Rate{Requests: 60, Period: time.Minute}, Daily: 1000})
			body := strings.Replace(messagesBody, "}]}", "}]"+tc.more+"}", 1)
			resp := n.messages(body, "X-Api-Key", "client-secret", "Anthropic-Version", "2023-06-01", "X-Request-Id", "mine")
			if got := read(t, resp); got != tc.answer || resp.StatusCode != http.StatusOK {
				t.Errorf("%d %s", resp.StatusCode, got)
			}
			for header, want := range map[string]string{
				"Request-Id": "req_upstream", "X-Request-Id": "mine", "Anthropic-Ratelimit-Requests-Limit": "50",
				"X-Ratelimit-Limit-Requests": "60", "X-Ratelimit-Remaining-Requests": "59", "X-Ratelimit-Limit-Tokens": "1000",
			} {
				if got := resp.Header.Get(header); got != want {
					t.Errorf("%s: %q, want %q", header, got, want)
				}
			}
			if r := <-seen; r.Header.Get("X-Api-Key") != operatorKey || strings.Contains(fmt.Sprint(r.Header), "client-secret") || r.Header.Get("Anthropic-Version") != "2023-06-01" {
				t.Errorf("the upstream got %v", r.Header)
			}
			e := n.usage(1)[0]
			if e.Usage != tc.want || e.Status != 200 || e.ErrorCode != "" || e.Estimated || e.Model != "claude-x" || e.Upstream != "claude-real-1" || e.Stream != (tc.more != "") ||
				e.Path != messagesRoute || e.Method != "POST" || e.Attempts != 1 || e.RequestBytes != int64(len(body)) || e.ResponseBytes != int64(len(tc.answer)) || e.FirstMS == 0 || !strings.HasPrefix(e.KeyID, "k_") {
				t.Errorf("recorded %+v", e)
			}
			if got := n.limits.Tokens(e.KeyID, true); got != int64(tc.want.Total()) {
				t.Errorf("%d tokens are counted when the answer has ended, want %d", got, tc.want.Total())
			}
		})
	}
}

func TestWhichPathsArePassedOn(t *testing.T) {
	const here, there, wrong = "here", "there", "wrong method"
	n := passOn(t, Config{}, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, there) })
	for _, tc := range []struct{ method, path, body, want string }{
		{"POST", "/v1/messages", messagesBody, there},
		{"POST", "/v1/messages/count_tokens", messagesBody, there},
		{"GET", "/v1/messages/batches?limit=5", "", there},
		{"GET", "/v1/files/file_1", "", there},
		{"DELETE", "/v1/files/file_1", "", there},
		{"POST", "/v1/responses", `{"model":"gpt"}`, there},
		{"GET", "/", "", there},
		{"GET", "/apis", "", there},

		{"GET", "/v1/models", "", here},
		{"GET", "/health", "", here},
		{"GET", "/v1/models/a/b", "", here},
		{"GET", "/v1/chat/completions/x", "", here},
		{"GET", "/admin/nothing", "", here},
		{"POST", "/admin", "{}", here},
		{"GET", "/api/nothing", "", here},
		{"POST", "/api/oauth/claude_cli/create_api_key", "{}", here},
		{"GET", "/dashboard/x", "", here},
		{"GET", "/metrics/x", "", here},

		{"GET", "/v1/chat/completions", "", wrong},
		{"PUT", "/v1/chat/completions", "{}", wrong},
		{"POST", "/v1/models", "{}", wrong},
		{"DELETE", "/health", "", wrong},
	} {
		resp := n.do(testContext(t), tc.method, tc.path, tc.body)
		got := here
		switch body := read(t, resp); {
		case body == there:
			got = there
		case resp.StatusCode == http.StatusMethodNotAllowed && resp.Header.Get("Allow") != "":
			got = wrong
		}
		if got != tc.want {
			t.Errorf("%s %s: %s (%d), want %s", tc.method, tc.path, got, resp.StatusCode, tc.want)
		}
	}
	for _, e := range n.usage(2) { // of those that ask a model
		if e.Model == "" {
			t.Errorf("recorded %+v", e)
		}
	}
}

func TestRefusalsOfForwardedRequests(t *testing.T) {
	n := passOn(t, Config{Keys: newKeys(t, true, "key"), BodyLimit: 1000}, unreachable(t))
	n.daily(10)
	bearer := []string{"Authorization", "Bearer key"}
	for name, tc := range map[string]struct {
		method, path, body string
		header             []string
		status             int
		kind               string
	}{
		"no key":                               {"POST", messagesRoute, messagesBody, nil, 401, "authentication_error"},
		"a wrong key":                          {"GET", "/v1/files", "", []string{"X-Api-Key", "wrong"}, 401, "authentication_error"},
		"no key, before the path is looked at": {"GET", "/v1//files", "", nil, 401, "authentication_error"},
		"too large":                            {"POST", messagesRoute, strings.Repeat("a", 1001), bearer, 413, "request_too_large"},
		"no model":                             {"POST", messagesRoute, `{"max_tokens":5}`, bearer, 400, "invalid_request_error"},
		"no JSON":                              {"POST", messagesRoute, "\xef\xbb\xbf" + messagesBody, bearer, 400, "invalid_request_error"},
		"a model in disguise":                  {"POST", messagesRoute, `{"model":"a","mod\u0065l":"b"}`, bearer, 400, "invalid_request_error"},
		"two models":                           {"POST", "/v1/responses", `{"model":"a","model":"b"}`, bearer, 400, "invalid_request_error"},
		"a method that leads astray":           {"TRACE", messagesRoute, "", bearer, 405, "invalid_request_error"},
		"a batch, of a key with a quota":       {"POST", "/v1/messages/batches", `{"requests":[]}`, bearer, 403, "permission_error"},
		"something unknown, of a key with a quota": {"POST", "/v1/anything", "x", bearer, 403, "permission_error"},
	} {
		t.Run(name, func(t *testing.T) {
			n := *n
			n.t = t
			resp := n.do(testContext(t), tc.method, tc.path, tc.body, tc.header...)
			if kind := anthropicError(t, resp); resp.StatusCode != tc.status || kind != tc.kind {
				t.Errorf("%d %s, want %d %s", resp.StatusCode, kind, tc.status, tc.kind)
			}
		})
	}
	n.usage(0)
}

func TestLimitsHoldForForwardedRequests(t *testing.T) {
	n := passOn(t, Config{}, saying("application/json", anthropicAnswer))
	n.limits.SetPolicy(limit.Policy{Rate: limit.Rate{Requests: 2, Period: time.Hour}, Daily: 10})
	read(t, n.do(testContext(t), http.MethodGet, "/v1/files", "")) // costs a place, and no tokens
	resp := n.messages(messagesBody)
	if kind := anthropicError(t, resp); resp.StatusCode != 429 || kind != "rate_limit_error" || resp.Header.Get("X-Should-Retry") != "false" || resp.Header.Get("Retry-After") == "" || rates(resp.Header, "Tokens")[1] != "10" {
		t.Errorf("more than the quota: %d %s %v", resp.StatusCode, kind, resp.Header)
	}
	resp = n.do(testContext(t), http.MethodGet, "/v1/files", "")
	if kind := anthropicError(t, resp); resp.StatusCode != 429 || kind != "rate_limit_error" || resp.Header.Get("X-Should-Retry") != "" || resp.Header.Get("Retry-After") == "" || rates(resp.Header, "Requests")[1] != "0" {
		t.Errorf("more than the rate: %d %s %v", resp.StatusCode, kind, resp.Header)
	}
	n.usage(0)
}

func TestTheListOfModelsHoldsForForwardedRequests(t *testing.T) {
	n := passOn(t, Config{}, saying("application/json", anthropicAnswer))
	for _, tc := range []struct {
		path, body string
		models     []string
		status     int
	}{
		{messagesRoute, messagesBody, nil, 200},
		{messagesRoute, messagesBody, []string{"claude-x"}, 200},
		{messagesRoute, messagesBody, []string{"claude-y"}, 403},
		{countRoute, messagesBody, []string{"claude-y"}, 403},
		{"/v1/messages/batches", `{"requests":[{"params":{"model":"claude-x"}}]}`, nil, 200},
		{"/v1/messages/batches", `{"requests":[{"params":{"model":"claude-x"}}]}`, []string{"claude-y"}, 403},
		{"/v1/files", "file", []string{"claude-y"}, 200},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, tc.path, strings.NewReader(tc.body))
		x := n.newExchange(w, r)
		x.identity = key.Identity{ID: "k_1", Name: "n", AllowedModels: tc.models}
		if err := n.forward(x, r); err != nil {
			x.fail(err)
		}
		if w.Code != tc.status {
			t.Errorf("%s with a list of %v: %d %s", tc.path, tc.models, w.Code, w.Body)
		}
	}
}

func TestWhatAForwardedRequestReservesIsReleased(t *testing.T) {
	for name, up := range map[string]http.HandlerFunc{
		"by an error":           func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", http.StatusBadRequest) },
		"by the upstream's 401": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", http.StatusUnauthorized) },
		"by a lost connection":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"by an answer that breaks off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, anthropicStream[:200])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := passOn(t, Config{}, up)
			n.daily(1000)
			resp := n.messages(messagesBody)
			_, err := io.ReadAll(resp.Body)
			e := n.usage(1)[0]
			if e.ErrorCode == "" || (resp.StatusCode == http.StatusOK) != (err != nil) || e.Status != resp.StatusCode {
				t.Errorf("%d %v, recorded %+v", resp.StatusCode, err, e)
			}
			n.mustHaveUsed(int64(e.Usage.Total()))
			if resp.StatusCode != http.StatusOK {
				n.mustBeToldWhatIsLeft(resp)
			}
		})
	}
}

func TestAForwardedAnswerThatIsCutReachesTheClientAsCut(t *testing.T) {
	const told = `{"id":"msg_1","model":"claude-real-1","usage":{"input_tokens":20,"cache_read_input_tokens":10,"output_tokens":5},"content":[{"type":"te`
	begin, _, _ := strings.Cut(anthropicStream, "event: message_delta")
	for name, tc := range map[string]struct {
		contentType, sent, more string
		length                  int // as announced; 0: none is
		want                    chat.Usage
		estimated               bool // what was not told
	}{
		"a stream":                        {"text/event-stream", begin, `,"stream":true`, 0, chat.Usage{InputTokens: 20, OutputTokens: 1}, true},
		"a stream within an event":        {"text/event-stream", begin + "event: message_del", `,"stream":true`, 0, chat.Usage{InputTokens: 20, OutputTokens: 1}, true},
		"one piece behind its usage":      {"application/json", told, ``, 0, chat.Usage{InputTokens: 20, CacheReadTokens: 10, OutputTokens: 5}, false},
		"one piece of a known length":     {"application/json", told, ``, 1000, chat.Usage{InputTokens: 20, CacheReadTokens: 10, OutputTokens: 5}, false},
		"one piece in front of its usage": {"application/json", `{"id":"msg_1","model":"claude-real-1","content":[{"type":"text","text":"hi`, ``, 0, chat.Usage{InputTokens: 1, OutputTokens: 1}, true},
	} {
		t.Run(name, func(t *testing.T) {
			n := passOn(t, Config{}, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tc.contentType)
				if tc.length > 0 {
					w.Header().Set("Content-Length", fmt.Sprint(tc.length))
				}
				_, _ = io.WriteString(w, tc.sent)
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			})
			n.daily(1000)
			resp := n.messages(strings.Replace(messagesBody, "}]}", "}]"+tc.more+"}", 1))
			got, err := io.ReadAll(resp.Body)
			if resp.StatusCode != http.StatusOK || string(got) != tc.sent || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d %s, %v", resp.StatusCode, got, err)
			}
			e := n.usage(1)[0]
			if e.Usage != tc.want || e.Estimated != tc.estimated || e.Status != http.StatusOK || e.ErrorCode != "worker_failed" || e.Upstream != "claude-real-1" || e.ResponseBytes != int64(len(tc.sent)) || e.Attempts != 1 {
				t.Errorf("recorded %+v, want %+v", e, tc.want)
			}
			n.shows(`upstream_errors_total{error_type="worker_failed"} 1`, `relay_jobs_total{outcome="worker_failed"} 1`)
			n.mustHaveUsed(int64(e.Usage.Total()))
		})
	}
}

// An upstream that had no time to answer may have worked on the request: its prompt counts.
func TestWhatATimeoutUsedIsNotToldToBeLeft(t *testing.T) {
	n := passOn(t, Config{}, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}, 50*time.Millisecond)
	n.daily(1000)
	resp := n.messages(messagesBody)
	if kind := anthropicError(t, resp); resp.StatusCode != http.StatusBadGateway || kind != "api_error" {
		t.Errorf("%d %s", resp.StatusCode, kind)
	}
	used := n.sum(1)
	n.mustHaveUsed(used)
	n.mustBeToldWhatIsLeft(resp)
	if used == 0 {
		t.Error("it used nothing")
	}
}

func TestFailuresOfRequestsWithoutAModelAreCounted(t *testing.T) {
	for status, want := range map[int]string{
		401: `upstream_errors_total{error_type="account_unavailable"} 1`, 403: `upstream_errors_total{error_type="account_unavailable"} 1`,
		500: `upstream_errors_total{error_type="worker_failed"} 1`, 529: `upstream_errors_total{error_type="overloaded"} 1`,
	} {
		n := passOn(t, Config{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		read(t, n.do(testContext(t), http.MethodGet, "/v1/files", ""))
		n.shows(want, `proxy_requests_total{} 0`)
	}
	n := passOn(t, Config{}, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	read(t, n.do(testContext(t), http.MethodGet, "/v1/files", ""))
	n.shows(`relay_requests_total{endpoint="/*",method="GET",status="404"} 1`)
	for line := range strings.Lines(n.scraped()) {
		if strings.HasPrefix(line, "upstream_errors_total") && !strings.HasSuffix(line, " 0\n") {
			t.Errorf("what the client asked for wrongly is counted: %s", line)
		}
	}
}

func TestAPanicOfAForwardedRequestIsBooked(t *testing.T) {
	n := passOn(t, Config{}, saying("text/event-stream", anthropicStream))
	n.daily(1000)
	n.panics(messagesRoute, messagesBody)
	if e := n.usage(1)[0]; e.ErrorCode != "internal_error" {
		t.Errorf("recorded %+v", e)
	}
	n.mustHaveUsed(n.sum(1))
}

func TestAClientThatLeavesEndsItsForwardedRequest(t *testing.T) {
	for name, begin := range map[string]string{"before the answer": "", "within it": anthropicStream[:200]} {
		t.Run(name, func(t *testing.T) {
			began, ended := make(chan struct{}), make(chan time.Time, 1)
			n := passOn(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
				if begin != "" {
					w.Header().Set("Content-Type", "text/event-stream")
					_, _ = io.WriteString(w, begin)
					_ = http.NewResponseController(w).Flush()
				}
				_, _ = io.ReadAll(r.Body)
				close(began)
				<-r.Context().Done()
				ended <- time.Now()
			})
			n.daily(1000)
			ctx, leave := context.WithCancel(testContext(t))
			left := make(chan time.Time, 1)
			go func() {
				<-began
				left <- time.Now()
				leave()
			}()
			if resp, err := n.try(ctx, http.MethodPost, messagesRoute, messagesBody); err == nil {
				_, _ = io.ReadAll(resp.Body)
				resp.Body.Close()
			}
			if late := (<-ended).Sub(<-left); late > 200*time.Millisecond {
				t.Errorf("the upstream worked on for %v", late)
			}
			e := n.usage(1)[0]
			if e.ErrorCode != "cancelled" || !e.Estimated || e.Usage.InputTokens == 0 {
				t.Errorf("recorded %+v", e)
			}
			n.mustHaveUsed(int64(e.Usage.Total()))
		})
	}
}

// Each request is written as it stands, with a key that may do everything. Behind the
// node are one upstream and a server that nobody may reach through it.
func TestAForwardedRequestGetsNowhereElse(t *testing.T) {
	secret := httptest.NewServer(unreachable(t))
	defer secret.Close()
	host := strings.TrimPrefix(secret.URL, "http://")
	arrived := make(chan string, 1)
	n := passOn(t, Config{Keys: newKeys(t, true, "k")}, func(w http.ResponseWriter, r *http.Request) {
		arrived <- r.Host + r.RequestURI
		http.Redirect(w, r, secret.URL+"/stolen", http.StatusFound)
	})
	for _, target := range []string{
		"GET " + secret.URL + "/v1/files", "GET http://user@" + host + "/x", "GET //" + host + "/v1/files", "GET ///" + host, `GET /\` + host, "GET /%5c" + host,
		"GET /v1/../../etc", "GET /%2e%2e/x", "GET /%252e%252e/x", "GET /v1%2ffiles", "GET /v1%2F..%2F..%2Fx", "GET /..;/x", "GET /v1//files", "GET /v1/%0d%0aX:%20y",
		"CONNECT " + host, "GET @" + host + "/x",
	} {
		resp := n.raw(target+" HTTP/1.1", "Host: localhost", "Authorization: Bearer k")
		if resp.StatusCode < 400 || resp.StatusCode >= 500 {
			t.Errorf("%s: %d", target, resp.StatusCode)
		}
	}
	up := strings.TrimPrefix(n.cfg.Upstreams[0].URL, "http://")
	for _, header := range []string{"Host: " + host, "X-Forwarded-Host: " + host, "X-Original-Url: http://" + host + "/x", "Forwarded: host=" + host, "X-Rewrite-Url: /x"} {
		resp := n.raw("GET /v1/files HTTP/1.1", header, "Authorization: Bearer k", "Host: localhost")
		if strings.HasPrefix(header, "Host:") {
			if resp.StatusCode != http.StatusBadRequest { // two of them
				t.Errorf("%s: %d", header, resp.StatusCode)
			}
			continue
		}
		if got := <-arrived; got != up+"/v1/files" || resp.StatusCode != http.StatusFound || resp.Header.Get("Location") != secret.URL+"/stolen" {
			t.Errorf("%s: it went to %s, and the redirect is the client's: %d %s", header, got, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
	resp := n.raw("GET /v1/files HTTP/1.1", "Host: "+host, "Authorization: Bearer k")
	if got := <-arrived; got != up+"/v1/files" || resp.StatusCode != http.StatusFound {
		t.Errorf("another host's name: %s, %d", got, resp.StatusCode)
	}
}

// raw writes a request's head as it stands.
func (n *node) raw(lines ...string) *http.Response {
	n.t.Helper()
	conn, err := net.Dial("tcp", n.Addr().String())
	must(n.t, err)
	n.t.Cleanup(func() { conn.Close() })
	must(n.t, conn.SetDeadline(time.Now().Add(hangGuard)))
	_, err = io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n")
	must(n.t, err)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(n.t, err)
	n.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestWithoutAnUpstreamNothingIsPassedOn(t *testing.T) {
	n := openNode(t, Config{Keys: newKeys(t, true, "secret")}, queue.OwnerConfig{}, nil)
	for path, wantsKey := range map[string]bool{"/v1/files": true, "/v1/responses": true, "/v1": true, "/v1/messages/batches": true, "/": false, "/v1x": false} {
		resp := n.do(testContext(t), http.MethodGet, path, "", "X-Api-Key", "secret")
		if kind := anthropicError(t, resp); resp.StatusCode != http.StatusNotFound || kind != "not_found_error" {
			t.Errorf("%s: %d %s", path, resp.StatusCode, kind)
		}
		resp = n.do(testContext(t), http.MethodGet, path, "")
		if kind := anthropicError(t, resp); (resp.StatusCode == http.StatusUnauthorized) != wantsKey || (kind == "authentication_error") != wantsKey {
			t.Errorf("%s without a key: %d %s", path, resp.StatusCode, kind)
		}
	}
}
