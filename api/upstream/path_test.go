package upstream

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
)

// Each request is written as it stands. What is behind the relay is one upstream whose
// root has a path, and a server that nobody may reach.
func TestNoRequestGetsAnywhereElse(t *testing.T) {
	secret := serverOf(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("reached: %s", r.RequestURI) })
	up := serverOf(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("passed on: %s %s", r.Method, r.RequestURI) })
	r := openRelay(t, Config{Upstreams: []Upstream{{URL: up.URL + "/root", APIKey: operatorKey}}})
	host := strings.TrimPrefix(secret.URL, "http://")

	for _, line := range []string{
		"GET " + secret.URL + "/v1/messages HTTP/1.1",
		"GET https://" + host + "/ HTTP/1.1",
		"GET http://user@" + host + "/ HTTP/1.1",
		"GET file:///etc/passwd HTTP/1.1",
		"GET gopher://" + host + "/x HTTP/1.1",
		"GET http:" + host + " HTTP/1.1",
		"GET @" + host + "/ HTTP/1.1",
		"GET //" + host + "/v1 HTTP/1.1",
		"GET ///" + host + "/v1 HTTP/1.1",
		"GET /\\" + host + "/v1 HTTP/1.1",
		"GET /%5c" + host + "/v1 HTTP/1.1",
		"GET /%5C%5c" + host + " HTTP/1.1",
		"GET /v1//messages HTTP/1.1",
		"GET /.. HTTP/1.1",
		"GET /../ HTTP/1.1",
		"GET /v1/../../admin HTTP/1.1",
		"GET /v1/./messages HTTP/1.1",
		"GET /%2e%2e/admin HTTP/1.1",
		"GET /.%2E/admin HTTP/1.1",
		"GET /%2e/admin HTTP/1.1",
		"GET /%252e%252e/admin HTTP/1.1",
		"GET /%25252e%25252e/admin HTTP/1.1",
		"GET /..%2fadmin HTTP/1.1",
		"GET /v1%2fmessages HTTP/1.1",
		"GET /v1%2F..%2Fadmin HTTP/1.1",
		"GET /v1%252fmessages HTTP/1.1",
		"GET /..;/admin HTTP/1.1",
		"GET /..;a=b/admin HTTP/1.1",
		"GET /%2e%2e%3b/admin HTTP/1.1",
		"GET /v1/..%5c..%5cadmin HTTP/1.1",
		"GET /v1/%00 HTTP/1.1",
		"GET /v1/%0d%0aHost:%20" + host + " HTTP/1.1",
		"GET /v1/%250a HTTP/1.1",
		"GET /v1/%7f HTTP/1.1",
		"GET * HTTP/1.1",
		"CONNECT " + host + " HTTP/1.1",
		"CONNECT /v1 HTTP/1.1",
		"TRACE /v1/messages HTTP/1.1",
		"TRACK /v1/messages HTTP/1.1",
		"PRI /v1/messages HTTP/1.1",
		"get /v1/messages HTTP/1.1",
		"GET /v1/messages HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket",
		"GET /v1/messages HTTP/1.1\r\nUpgrade: h2c, websocket",
		"GET /v1/messages HTTP/1.1\r\nUpgrade: h2c\r\nUpgrade: TLS/1.0",
	} {
		resp := r.raw(line + "\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
		if resp.StatusCode < 400 || resp.StatusCode >= 500 {
			t.Errorf("%s: status %d", line, resp.StatusCode)
		}
	}
	for len(r.results) > 0 {
		if result := r.result(); result.Attempts != 0 || result.Upstream != "" {
			t.Errorf("%+v", result)
		}
	}
}

func TestWhatOnlyLooksLikeAnotherHostIsAPath(t *testing.T) {
	arrived := make(chan string, 1)
	up := serverOf(t, func(_ http.ResponseWriter, r *http.Request) { arrived <- r.RequestURI })
	r := to(t, up)
	for _, target := range []string{"/@evil.example", "/evil.example:80", "/v1/a..b", "/v1/...", "/v1?x=http://evil.example/../", "/v1/a%20b?c=%2f%2e%2e", "/v1/50%25", "/v1/a;b"} {
		resp := r.raw("GET " + target + " HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\nConnection: close\r\n\r\n")
		if resp.StatusCode != 200 {
			t.Errorf("%s: %s", target, read(t, resp))
			continue
		}
		if got := <-arrived; got != target {
			t.Errorf("%s became %s", target, got)
		}
	}
}

func TestAMethodThatIsNotPassedOnIsNamed(t *testing.T) {
	resp := to(t, saying(t, 200, "text/plain", "")).raw("TRACE / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	wantFailure(t, resp, 405, "invalid_request_error")
	if allow := resp.Header.Get("Allow"); !strings.Contains(allow, "POST") || strings.Contains(allow, "TRACE") {
		t.Errorf("Allow: %s", allow)
	}
}

func FuzzPaths(f *testing.F) {
	for _, p := range []string{"/", "/v1/messages", "/%2e%2e/x", "/a%2fb", "/..;/", "//a", "/\\a", "/%25252e", "/a b", "/é", "/%c0%ae", "/@a:b", "/;"} {
		f.Add(p)
	}
	up, err := newTarget(Upstream{URL: "https://api.example.org:8443/root/v1"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		in, err := url.ParseRequestURI(raw)
		if err != nil {
			return
		}
		r := &http.Request{Method: http.MethodGet, URL: in, Header: http.Header{}}
		if checkRequest(r) != nil {
			return
		}
		out := up.at(in)
		back, err := url.Parse(out.String())
		if err != nil {
			t.Fatalf("%q gives no URL: %v", raw, err)
		}
		if back.Scheme != "https" || back.Host != "api.example.org:8443" || back.User != nil || back.RawQuery != in.RawQuery {
			t.Errorf("%q leads to %s", raw, out)
		}
		if decoded := back.Path; path.Clean(decoded) != strings.TrimSuffix(decoded, "/") || !strings.HasPrefix(decoded, "/root/") {
			t.Errorf("%q leads out of the root: %s", raw, decoded)
		}
		if got, want := back.EscapedPath(), "/root"+in.EscapedPath(); got != want {
			t.Errorf("%q became %s, want %s", raw, got, want)
		}
	})
}
