package upstream

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"maxrelay/api/key"
)

func TestRequestsArriveAsTheyWereSent(t *testing.T) {
	type seen struct{ method, uri, body string }
	arrived := make(chan seen, 1)
	up := serverOf(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		arrived <- seen{r.Method, r.RequestURI, string(body)}
	})
	for _, root := range []string{"", "/", "/v1", "/v1/"} {
		r := openRelay(t, Config{Upstreams: []Upstream{{URL: up.URL + root}}})
		for _, want := range []seen{
			{"POST", "/v1/messages", `{"model":"m"}`},
			{"POST", "/v1/messages?beta=true", "{}"},
			{"GET", "/v1/files?limit=5&after_id=a%20b&x", ""},
			{"GET", "/v1/files?a;b=%zz&c=1", ""},
			{"GET", "/v1/models?", ""},
			{"DELETE", "/v1/files/file_1%20a", ""},
			{"PUT", "/other/api", "\x00\xff"},
			{"PATCH", "/v1/skills/a:b@c/", "x"},
			{"OPTIONS", "/v1/messages", ""},
			{"GET", "/", ""},
		} {
			read(t, r.do(want.method, want.uri, want.body))
			if got := <-arrived; got != want {
				t.Errorf("%s: got %q, want %q", root, got, want)
			}
		}
		if read(t, r.do(http.MethodHead, "/v1/models", "")) != "" || (<-arrived).method != "HEAD" {
			t.Error("HEAD did not arrive")
		}
	}
}

func TestAPathOfTheRootStaysInFront(t *testing.T) {
	arrived := make(chan string, 1)
	up := serverOf(t, func(_ http.ResponseWriter, r *http.Request) { arrived <- r.RequestURI })
	r := openRelay(t, Config{Upstreams: []Upstream{{URL: up.URL + "/gate%20way/v1/"}}})
	read(t, r.do("GET", "/v1/models?a=b", ""))
	if got := <-arrived; got != "/gate%20way/v1/models?a=b" {
		t.Errorf("got %s", got)
	}
}

func TestWhoAsksIsNotToldToTheUpstream(t *testing.T) {
	arrived := make(chan *http.Request, 1)
	up := serverOf(t, func(_ http.ResponseWriter, r *http.Request) { arrived <- r })
	r := to(t, up)
	request := []string{"POST /v1/messages HTTP/1.1", "Host: relay.CANARY.example", "Content-Length: 2"}
	for _, name := range []string{
		"Authorization", "authorization", "X-Api-Key", "x-api-key", "API-KEY", "X-Goog-Api-Key", "Cookie", "COOKIE", "Cookie2", "Proxy-Authorization", "Proxy-Connection", "Keep-Alive",
		"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Client-Cert", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "Via",
		"Origin", "Referer", "Sec-Fetch-Site", "Access-Control-Request-Headers", "X-Original-URL", "X-Rewrite-URL", "X-HTTP-Method-Override",
		"X-Maxrelay-Strict", "X-Request-Id", "X-Hop", "TE", "HTTP2-Settings",
	} {
		request = append(request, name+": CANARY")
	}
	request = append(request, "Connection: close, X-Hop, Anthropic-Beta2, HTTP2-Settings", "Upgrade: h2c",
		"anthropic-version: 2023-06-01", "anthropic-beta: a, b", "Content-Type: application/json", "User-Agent: sdk/1", "Idempotency-Key: i", "X-Stainless-Lang: js", "Accept-Encoding: gzip, br", "", "{}")
	if resp := r.raw(strings.Join(request, "\r\n")); resp.StatusCode != 200 {
		t.Fatalf("status %d: %s", resp.StatusCode, read(t, resp))
	}

	got := <-arrived
	for name, want := range map[string]string{
		"X-Api-Key": operatorKey, "Anthropic-Version": "2023-06-01", "Anthropic-Beta": "a, b", "Content-Type": "application/json",
		"User-Agent": "sdk/1", "Idempotency-Key": "i", "X-Stainless-Lang": "js", "Accept-Encoding": "identity", "Content-Length": "2",
	} {
		if v := got.Header.Values(name); len(v) != 1 || v[0] != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
		got.Header.Del(name)
	}
	if len(got.Header) > 0 || "http://"+got.Host != up.URL {
		t.Errorf("also sent to %s: %v", got.Host, got.Header)
	}
}

func TestAClientWithoutUserAgentGetsNone(t *testing.T) {
	arrived := make(chan http.Header, 1)
	r := openRelay(t, Config{Upstreams: []Upstream{{URL: serverOf(t, func(_ http.ResponseWriter, r *http.Request) { arrived <- r.Header }).URL}}})
	r.raw("GET /v1/files HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	if h := <-arrived; len(h) != 1 || h.Get("Accept-Encoding") != "identity" {
		t.Errorf("got %v", h)
	}
}

func TestAnswersComeBackAsTheyAre(t *testing.T) {
	for _, status := range []int{200, 201, 202, 204, 206, 301, 302, 303, 307, 308, 304, 400, 402, 404, 405, 409, 413, 422, 418, 451, 501, 504, 520} {
		body := `{"id":1}`
		if status == 204 || status == 304 {
			body = ""
		}
		var calls int
		up := serverOf(t, func(w http.ResponseWriter, _ *http.Request) {
			calls++
			w.Header().Set("Location", "/elsewhere")
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Anthropic-Ratelimit-Requests-Remaining", "7")
			w.Header().Set("Request-Id", "req_1")
			w.Header().Add("Vary", "Accept")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
		r := to(t, up)
		resp := r.do("GET", "/v1/files", "")
		if got := read(t, resp); resp.StatusCode != status || got != body {
			t.Errorf("%d became %d: %s", status, resp.StatusCode, got)
		}
		for name, want := range map[string]string{"Location": "/elsewhere", "Anthropic-Ratelimit-Requests-Remaining": "7", "Request-Id": "req_1", "X-Request-Id": "ours", "Vary": "Accept"} {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%d: %s is %q", status, name, got)
			}
		}
		if result := r.result(); result.Status != status || result.Upstream != "a" || result.Attempts != 1 || (result.Code != "") != (status >= 400) || calls != 1 {
			t.Errorf("%d: %+v, %d calls", status, result, calls)
		}
	}
}

func TestWhatAnUpstreamSaysOfItsOwnHostStaysThere(t *testing.T) {
	hidden := []string{
		"Set-Cookie", "Alt-Svc", "Strict-Transport-Security", "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Expose-Headers",
		"Clear-Site-Data", "Nel", "Report-To", "Server", "Via", "Www-Authenticate", "X-Api-Key", "X-Maxrelay-Session", "Keep-Alive", "Proxy-Authenticate", "X-Hop",
	}
	up := serverOf(t, func(w http.ResponseWriter, _ *http.Request) {
		for _, name := range hidden {
			w.Header().Set(name, "CANARY")
		}
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Request-Id", "theirs")
	})
	resp := to(t, up).do("GET", "/v1/files", "")
	for _, name := range hidden {
		if got := resp.Header.Values(name); len(got) > 0 {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, name := range []string{"X-Request-Id", "Request-Id"} {
		if got := resp.Header.Values(name); len(got) != 1 || got[0] != "ours" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestARefusalOfTheOperatorsKeyIsNotTheClients(t *testing.T) {
	for _, status := range []int{401, 403} {
		r := to(t, saying(t, status, "application/json", `{"error":"CANARY `+operatorKey+`"}`))
		resp := r.do("POST", "/v1/messages", `{"model":"m"}`)
		wantFailure(t, resp, 502, "api_error")
		if result := r.result(); result.Code != "account_unavailable" || result.Status != 502 || result.Estimated {
			t.Errorf("%+v", result)
		}
	}
}

func TestWithoutUpstreamNothingIsThere(t *testing.T) {
	r := openRelay(t, Config{})
	resp := r.do("GET", "/v1/files", "")
	wantFailure(t, resp, 404, "not_found_error")
	if id := resp.Header.Get("Request-Id"); id != "ours" {
		t.Errorf("request-id %q", id)
	}
	if result := r.result(); r.f.Configured() || result.Upstream != "" || result.Attempts != 0 {
		t.Errorf("%+v", result)
	}
}

func TestInformationalAnswersAreKeptBack(t *testing.T) {
	r := to(t, serverOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "CANARY")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		_, _ = io.WriteString(w, "ok")
	}))
	if resp := r.raw("GET /v1/files HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); resp.StatusCode != 200 || resp.Header.Get("X-Request-Id") != "ours" || resp.Header.Get("Link") != "" {
		t.Errorf("%d %v", resp.StatusCode, resp.Header)
	}
}

func TestAnUpstreamCannotSwitchTheProtocol(t *testing.T) {
	r := to(t, serverOf(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, buf, err := w.(http.Hijacker).Hijack()
		must(t, err)
		defer conn.Close()
		_, _ = buf.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_ = buf.Flush()
	}))
	wantFailure(t, r.do("GET", "/v1/files", ""), 502, "api_error")
}

func TestLargeBodiesPassBothWays(t *testing.T) {
	const size = 20 << 20
	text := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(text)
	var attempts atomic.Int64
	up := serverOf(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(body, text) {
			t.Errorf("%d bytes arrived, %v", len(body), err)
		}
		if attempts.Add(1) == 1 {
			w.WriteHeader(503)
			return
		}
		_, _ = w.Write(text)
	})
	r := openRelay(t, Config{Upstreams: []Upstream{{URL: up.URL, MaxRetries: 1}}, Backoff: 1})
	back := read(t, r.do("POST", "/v1/files", string(text)))
	if back != string(text) {
		t.Errorf("%d bytes came back", len(back))
	}
	if result := r.result(); result.Bytes != size || result.Attempts != 2 || result.First.IsZero() {
		t.Errorf("%+v", result)
	}
}

// An upstream may answer before it has read the request.
func TestAnAnswerMayComeBeforeTheBodyWasRead(t *testing.T) {
	r := to(t, serverOf(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(413)
		_, _ = io.WriteString(w, "too large")
	}))
	for range 20 {
		resp := r.do("POST", "/v1/files", strings.Repeat("x", 300<<10))
		if body := read(t, resp); resp.StatusCode != 413 || body != "too large" {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	}
}

func TestBadConfigurationsAreRefused(t *testing.T) {
	for _, u := range []Upstream{
		{URL: ""}, {URL: "api.anthropic.com"}, {URL: "ftp://a"}, {URL: "http://"}, {URL: "http://CANARY@a"}, {URL: "http://u:CANARY@a"}, {URL: "http://a?key=CANARY"}, {URL: "http://a#x"},
		{URL: "http://a:CANARY"}, {URL: "http://a/../b"}, {URL: "http://a/b%2fc"}, {URL: "http://a//b"}, {URL: "http://:80"}, {URL: "%zzCANARY"},
		{URL: "http://a", APIKey: "CANARY\r\nX: y"}, {URL: "http://a", APIKey: " CANARY"}, {URL: "http://a", APIKey: "CANARYé"}, {URL: "http://a", Timeout: -1}, {URL: "http://a", MaxRetries: -1},
	} {
		err := u.Check()
		if err == nil || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%+v: %v", u, err)
		}
	}
}

func TestOtherPanicsGoOn(t *testing.T) {
	f, err := New(Config{Upstreams: []Upstream{{URL: saying(t, 200, "text/plain", "x").URL}}}, zerolog.Nop())
	must(t, err)
	defer f.Close()
	defer func() {
		if p := recover(); p != "broken writer" {
			t.Errorf("got %v", p)
		}
	}()
	_, _ = f.Serve(panicking{httptest.NewRecorder()}, httptest.NewRequest("GET", "/v1/files", nil), nil, Asked{}, key.Identity{})
}

type panicking struct{ http.ResponseWriter }

func (panicking) Write([]byte) (int, error) { panic("broken writer") }
