package api

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestMetricsAreShownToThisMachineOnly(t *testing.T) {
	shown := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "up 1\n") })
	for _, tc := range []struct {
		name, remote, forwarded string
		metrics                 http.Handler
		keys                    bool
		want                    int
	}{
		{"from here", "127.0.0.1:999", "", shown, false, 200},
		{"from here, where keys are required", "127.0.0.1:999", "", shown, true, 200},
		{"over IPv6", "[::1]:999", "", shown, false, 200},
		{"from elsewhere", "192.0.2.1:999", "", shown, false, 403},
		{"from elsewhere through a proxy here", "127.0.0.1:999", "192.0.2.1", shown, true, 403},
		{"with an address of their own", "127.0.0.1:999", "", nil, false, 404},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := bare(t, Config{Metrics: tc.metrics, Keys: newKeys(t, tc.keys, "secret")})
			r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			r.Host, r.RemoteAddr = "localhost:3456", tc.remote
			if tc.forwarded != "" {
				r.Header.Set("X-Forwarded-For", tc.forwarded)
			}
			w := httptest.NewRecorder()
			s.clients.http.Handler.ServeHTTP(w, r)
			if w.Code != tc.want || (w.Body.String() == "up 1\n") != (tc.want == 200) {
				t.Errorf("%d %q, want %d", w.Code, w.Body, tc.want)
			}
		})
	}
}
