package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"maxrelay/api/limit"
	"maxrelay/queue"
	"maxrelay/session/chat"
)

// scraped is what Prometheus would get of the node, as lines without comments.
func (n *node) scraped() string {
	n.t.Helper()
	r := prometheus.NewPedanticRegistry()
	must(n.t, r.Register(n.Metrics()))
	families, err := r.Gather()
	must(n.t, err)
	var b strings.Builder
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			fmt.Fprintf(&b, "%s{%s} %v\n", f.GetName(), strings.Join(labels, ","), value)
		}
	}
	return b.String()
}

// shows waits for the lines: a request is counted a moment after its answer.
func (n *node) shows(lines ...string) {
	n.t.Helper()
	for _, line := range lines {
		eventually(n.t, line+" in\n"+n.scraped(), func() bool { return strings.Contains(n.scraped(), line+"\n") })
	}
}

func TestEverySeriesIsThereFromTheStart(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, echo)
	n.shows(
		`relay_requests_total{endpoint="/v1/chat/completions",method="POST",status="200"} 0`,
		`relay_request_duration_seconds{endpoint="/v1/chat/completions",method="POST"} 0`,
		`proxy_requests_total{} 0`, `proxy_duration_seconds{} 0`,
		`tokens_used_total{kind="cache_write",model="claude-opus-4"} 0`,
		`upstream_errors_total{error_type="overloaded"} 0`, `rate_limit_exceeded_total{} 0`,
		`relay_first_token_seconds{} 0`, `relay_queue_wait_seconds{} 0`, `relay_jobs_total{outcome="ok"} 0`,
		`relay_sessions_total{session="warm"} 0`, `relay_warm_hit_ratio{} 0`,
		`relay_workers{state="ok"} 1`, `relay_workers{state="draining"} 0`, `relay_slots{state="all"} 64`, `relay_jobs{state="waiting"} 0`, `active_api_keys{} 0`,
	)
	if problems, err := testutil.CollectAndLint(n.Metrics()); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

func TestRequestsAreCounted(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, func(ctx context.Context, p *play) {
		if p.last() == "fail" {
			p.fail(chat.CodeOverloaded, "busy", 0)
			return
		}
		echo(ctx, p)
	})
	read(t, n.post(ask("one two", "")))
	chunks(t, n.post(ask("three", `,"stream":true`)).Body)
	read(t, n.post(ask("fail", "")))
	read(t, n.post(`{"model":`))
	read(t, n.do(testContext(t), http.MethodGet, "/no/such/canary", ""))
	n.shows(
		`relay_requests_total{endpoint="/v1/chat/completions",method="POST",status="200"} 2`,
		`relay_requests_total{endpoint="/v1/chat/completions",method="POST",status="503"} 1`,
		`relay_requests_total{endpoint="/v1/chat/completions",method="POST",status="400"} 1`,
		`relay_requests_total{endpoint="none",method="GET",status="404"} 1`,
		`relay_request_duration_seconds{endpoint="/v1/chat/completions",method="POST"} 4`,
		`proxy_requests_total{} 3`, `proxy_duration_seconds{} 3`,
		`relay_jobs_total{outcome="ok"} 2`, `relay_jobs_total{outcome="overloaded"} 1`, `upstream_errors_total{error_type="overloaded"} 1`,
		`relay_sessions_total{session="new"} 2`, `relay_first_token_seconds{} 2`,
		`tokens_used_total{kind="input",model="claude-opus-4"} 10`, `tokens_used_total{kind="cache_read",model="claude-opus-4"} 40`,
		`tokens_used_total{kind="output",model="claude-opus-4"} 14`,
	)
	if text := n.scraped(); strings.Contains(text, "canary") {
		t.Errorf("a caller's path is a label:\n%s", text)
	}
}

// Whatever failed behind this server, there is one name for it: that which a client of the
// chat API is told.
func TestAFailureHasOneName(t *testing.T) {
	failed := func(_ context.Context, p *play) { p.fail(chat.CodeUpstream, "the upstream failed", 0) }
	broken := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }
	for name, tc := range map[string]struct {
		open func(t *testing.T) *node
		ask  func(n *node) *http.Response
	}{
		"chat":      {func(t *testing.T) *node { return openNode(t, Config{}, queue.OwnerConfig{}, failed) }, func(n *node) *http.Response { return n.post(ask("hi", "")) }},
		"messages":  {func(t *testing.T) *node { return openNode(t, Config{}, queue.OwnerConfig{}, failed) }, func(n *node) *http.Response { return n.messages(questionOf("hi", "")) }},
		"forwarded": {func(t *testing.T) *node { return passOn(t, Config{}, broken) }, func(n *node) *http.Response { return n.messages(messagesBody) }},
	} {
		t.Run(name, func(t *testing.T) {
			n := tc.open(t)
			resp := tc.ask(n)
			if body := read(t, resp); resp.StatusCode != http.StatusBadGateway || name == "chat" && !strings.Contains(body, `"code":"worker_failed"`) {
				t.Errorf("%d %s", resp.StatusCode, body)
			}
			if e := n.usage(1)[0]; e.ErrorCode != "worker_failed" {
				t.Errorf("recorded %+v", e)
			}
			n.shows(`relay_jobs_total{outcome="worker_failed"} 1`, `upstream_errors_total{error_type="worker_failed"} 1`)
			eventually(t, "the access log", func() bool { return strings.Contains(n.logged.String(), `"error":"worker_failed"`) })
			if text := n.scraped() + n.logged.String(); strings.Contains(text, "upstream_failed") {
				t.Errorf("another name is in\n%s", text)
			}
		})
	}
}

func TestLimitsAreShown(t *testing.T) {
	n := openNode(t, Config{Keys: newKeys(t, true, "secret")}, queue.OwnerConfig{}, echo)
	n.limits.SetPolicy(limit.Policy{Rate: limit.Rate{Requests: 1, Period: time.Hour}, Daily: 3200})
	name := n.cfg.Keys.Callers()[0].Name
	n.shows(`active_api_keys{} 1`, fmt.Sprintf(`token_quota_usage_ratio{key=%q} 0`, name))
	for range 3 {
		read(t, n.post(ask("hello", ""), "X-Api-Key", "secret"))
	}
	n.shows(`rate_limit_exceeded_total{} 2`, `proxy_requests_total{} 1`, fmt.Sprintf(`token_quota_usage_ratio{key=%q} 0.01`, name))
}

func TestNamesOfModelsCannotFloodTheMetrics(t *testing.T) {
	m := newMeters(DefaultModels)
	for i := range 3 * maxModelLabels {
		m.countTokens(m.models.label(fmt.Sprintf("claude-made-up-%d", i)), chat.Usage{InputTokens: 1})
	}
	const kinds = 4
	if n := testutil.CollectAndCount(m.tokens); n != kinds*(maxModelLabels+1) {
		t.Errorf("%d series of tokens, want %d", n, kinds*(maxModelLabels+1))
	}
	if other := testutil.ToFloat64(m.tokens.WithLabelValues("other", "input")); other != float64(2*maxModelLabels+len(DefaultModels)) {
		t.Errorf("%v tokens are counted together", other)
	}
}

func TestTheWarmRatioIsOfConversationsThatWentOn(t *testing.T) {
	m := newMeters(nil)
	for _, s := range []chat.Session{chat.SessionNew, chat.SessionNew, chat.SessionWarm, chat.SessionRewound, chat.SessionReplayed, chat.SessionWarm} {
		m.countSession(s)
	}
	if got := m.warmRatio(); got != 0.75 {
		t.Errorf("%v, want 0.75", got)
	}
}
