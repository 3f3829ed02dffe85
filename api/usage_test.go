package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"maxrelay/api/key"
	"maxrelay/api/usage"
	"maxrelay/queue"
	"maxrelay/session/chat"
	"maxrelay/stats"
	"maxrelay/stats/projection"
)

// desk is a node that answers questions about usage, with two keys and what they used.
type desk struct {
	*node
	records    *projection.Projection
	alice, bob string // ids of the keys
}

const (
	aliceSecret = "sk-alice"
	bobSecret   = "sk-bob"
)

var today = time.Date(2026, 2, 24, 12, 0, 0, 0, time.UTC)

func openDesk(t *testing.T, run script) *desk {
	t.Helper()
	keys, err := key.New([]string{aliceSecret, bobSecret}, true, "default")
	must(t, err)
	d := &desk{alice: keyID(t, keys, aliceSecret), bob: keyID(t, keys, bobSecret)}
	d.node = openNode(t, Config{Keys: keys}, queue.OwnerConfig{}, run, func(n *node, cfg *Config) {
		dir := filepath.Join(n.dir, "usage")
		must(t, os.Mkdir(dir, 0o700))
		d.records, err = projection.Open(dir, n.nc, zerolog.Nop())
		must(t, err)
		t.Cleanup(d.records.Close)
		cfg.Usage, err = usage.New(usage.Config{
			Records: d.records, Now: func() time.Time { return today },
			Prices: func() stats.Prices {
				return stats.Prices{"opus": {Input: 5, Output: 25, CacheRead: 0.5, CacheWrite: 6.25}}
			},
			Quota: func(who key.Identity) usage.Quota {
				if who.ID == d.bob {
					return usage.Quota{Used: 7, Tier: "premium"}
				}
				return usage.Quota{Limit: 1000, Used: 1250, Active: true, ExpiresAt: today.Add(-time.Hour)}
			},
		})
		must(t, err)
	})
	return d
}

func keyID(t *testing.T, keys *key.Keys, secret string) string {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-API-Key", secret)
	who, err := keys.Identify(r, netip.Addr{})
	must(t, err)
	return who.ID
}

// get returns the status, the answer and its headers.
func (d *desk) get(path, secret string) (int, string, http.Header) {
	d.t.Helper()
	resp := d.do(testContext(d.t), http.MethodGet, path, "", "Authorization", "Bearer "+secret)
	return resp.StatusCode, strings.TrimSpace(read(d.t, resp)), resp.Header
}

// knows waits until the node has heard of n requests.
func (d *desk) knows(n int64) {
	d.t.Helper()
	eventually(d.t, "usage to be known", func() bool {
		all := int64(0)
		days, err := d.records.Days()
		for _, day := range days {
			all += day.Requests
		}
		return err == nil && all == n
	})
}

// books are five requests, on both sides of midnight and long ago.
func (d *desk) books() {
	d.t.Helper()
	event := func(id, keyID, model, at string, ms int64, used chat.Usage) stats.Event {
		when, err := time.Parse(time.RFC3339, at)
		must(d.t, err)
		return stats.Event{ID: id, KeyID: keyID, Model: model, Time: when, DurationMS: ms, Usage: used, Status: 200, Method: "POST", Path: "/v1/chat/completions", RequestBytes: 11, ResponseBytes: 22}
	}
	failed := event("req_2", d.alice, "opus", "2026-02-24T00:00:00Z", 50, chat.Usage{InputTokens: 1})
	failed.Status, failed.ErrorCode = 502, "worker_failed"
	left := event("req_3", d.alice, "sonnet", "2026-02-24T14:00:00+04:00", 200, chat.Usage{InputTokens: 5, OutputTokens: 5})
	left.Status, left.ErrorCode, left.Label = 499, "cancelled", "mine-1"
	for _, e := range []stats.Event{
		event("req_1", d.alice, "opus", "2026-02-23T23:59:59.999Z", 100, chat.Usage{InputTokens: 10, OutputTokens: 20, CacheReadTokens: 30, CacheWriteTokens: 40}),
		failed, left,
		event("req_4", d.alice, "opus", "2026-01-01T00:00:00Z", 1000, chat.Usage{InputTokens: 1_000_000}),
		event("req_5", d.bob, "opus", "2026-02-24T11:00:00Z", 10, chat.Usage{InputTokens: 200}),
	} {
		must(d.t, d.recorder.Record(testContext(d.t), e))
	}
	d.knows(5)
}

const (
	row1 = `{"id":"req_1","api_key_id":"ALICE","request_id":"req_1","request_method":"POST","request_path":"/v1/chat/completions","request_size":11,"response_status":200,"response_size":22,"response_time_ms":100,` +
		`"prompt_tokens":80,"completion_tokens":20,"total_tokens":100,"cache_read_tokens":30,"cache_write_tokens":40,"model":"opus","is_error":false,"error_message":null,"error_code":null,"total_cost":0.000815,"created_at":"2026-02-23T23:59:59.999Z"}`
	row2 = `{"id":"req_2","api_key_id":"ALICE","request_id":"req_2","request_method":"POST","request_path":"/v1/chat/completions","request_size":11,"response_status":502,"response_size":22,"response_time_ms":50,` +
		`"prompt_tokens":1,"completion_tokens":0,"total_tokens":1,"cache_read_tokens":0,"cache_write_tokens":0,"model":"opus","is_error":true,"error_message":"the worker or the model's servers failed","error_code":"worker_failed","total_cost":0,"created_at":"2026-02-24T00:00:00Z"}`
	row3 = `{"id":"req_3","api_key_id":"ALICE","request_id":"mine-1","request_method":"POST","request_path":"/v1/chat/completions","request_size":11,"response_status":499,"response_size":22,"response_time_ms":200,` +
		`"prompt_tokens":5,"completion_tokens":5,"total_tokens":10,"cache_read_tokens":0,"cache_write_tokens":0,"model":"sonnet","is_error":false,"error_message":"the client left before the end of the answer","error_code":"cancelled","total_cost":0,"created_at":"2026-02-24T10:00:00Z"}`
	nothing  = `{"total_requests":0,"total_tokens":0,"total_prompt_tokens":0,"total_completion_tokens":0,"total_cost":0,"avg_response_time_ms":0,"error_count":0,"error_rate":0,"model_usage":[],"error_breakdown":[]}`
	midnight = `{"total_requests":2,"total_tokens":101,"total_prompt_tokens":81,"total_completion_tokens":20,"total_cost":0.000815,"avg_response_time_ms":75,"error_count":1,"error_rate":50,` +
		`"model_usage":[{"model":"opus","request_count":2,"total_tokens":101,"prompt_tokens":81,"completion_tokens":20,"cache_read_tokens":30,"cache_write_tokens":40,"total_cost":0.000815,"error_count":1}],` +
		`"error_breakdown":[{"error_code":"worker_failed","error_message":"the worker or the model's servers failed","count":1}]}`
)

func TestUsageIsToldToItsKey(t *testing.T) {
	d := openDesk(t, nil)
	d.books()
	for _, tt := range []struct{ name, path, secret, want string }{
		{"all of it", "/api/usage", aliceSecret,
			`{"total_requests":4,"total_tokens":1000111,"total_prompt_tokens":1000086,"total_completion_tokens":25,"total_cost":5.000815,"avg_response_time_ms":337.5,"error_count":1,"error_rate":25,` +
				`"model_usage":[{"model":"opus","request_count":3,"total_tokens":1000101,"prompt_tokens":1000081,"completion_tokens":20,"cache_read_tokens":30,"cache_write_tokens":40,"total_cost":5.000815,"error_count":1},` +
				`{"model":"sonnet","request_count":1,"total_tokens":10,"prompt_tokens":5,"completion_tokens":5,"cache_read_tokens":0,"cache_write_tokens":0,"total_cost":0,"error_count":0}],` +
				`"error_breakdown":[{"error_code":"worker_failed","error_message":"the worker or the model's servers failed","count":1}]}`},
		{"another key's", "/api/usage", bobSecret,
			`{"total_requests":1,"total_tokens":200,"total_prompt_tokens":200,"total_completion_tokens":0,"total_cost":0.001,"avg_response_time_ms":10,"error_count":0,"error_rate":0,` +
				`"model_usage":[{"model":"opus","request_count":1,"total_tokens":200,"prompt_tokens":200,"completion_tokens":0,"cache_read_tokens":0,"cache_write_tokens":0,"total_cost":0.001,"error_count":0}],"error_breakdown":[]}`},
		{"two moments, both included", "/api/usage?start_date=2026-02-23T23:59:59.999Z&end_date=2026-02-24T00:00:00Z", aliceSecret, midnight},
		{"two moments elsewhere", "/api/usage?start_date=2026-02-24T01:30:00%2B02:00&end_date=2026-02-23T19:00:00-05:00", aliceSecret, midnight},
		{"a day with nothing", "/api/usage?start_date=2026-02-22&end_date=2026-02-22", aliceSecret, nothing},
		{"days until now", "/api/usage/daily", aliceSecret,
			`[{"date":"2026-02-24","requests":2,"tokens":11,"cost":0,"errors":1},{"date":"2026-02-23","requests":1,"tokens":100,"cost":0.000815,"errors":0}]`},
		{"today", "/api/usage/daily?days=1", aliceSecret, `[{"date":"2026-02-24","requests":2,"tokens":11,"cost":0,"errors":1}]`},
		{"a year", "/api/usage/daily?days=365", aliceSecret,
			`[{"date":"2026-02-24","requests":2,"tokens":11,"cost":0,"errors":1},{"date":"2026-02-23","requests":1,"tokens":100,"cost":0.000815,"errors":0},{"date":"2026-01-01","requests":1,"tokens":1000000,"cost":5,"errors":0}]`},
		{"the newest", "/api/usage/logs?limit=2", aliceSecret, "[" + row3 + "," + row2 + "]"},
		{"the next", "/api/usage/logs?skip=2&limit=1", aliceSecret, "[" + row1 + "]"},
		{"beyond the last", "/api/usage/logs?skip=4", aliceSecret, "[]"},
		{"a day", "/api/usage/logs?start_date=2026-02-23&end_date=2026-02-23", aliceSecret, "[" + row1 + "]"},
		{"from a moment on", "/api/usage/logs?start_date=2026-02-24T00:00:00.001", aliceSecret, "[" + row3 + "]"},
		{"more than used", "/api/usage/quota", aliceSecret,
			`{"token_limit":1000,"token_used":1250,"token_remaining":0,"usage_percentage":125,"is_quota_exceeded":true,"rate_limit_tier":null,"is_active":true,"expires_at":"2026-02-24T11:00:00Z","is_expired":true}`},
		{"no limit", "/api/usage/quota", bobSecret,
			`{"token_limit":null,"token_used":7,"token_remaining":null,"usage_percentage":0,"is_quota_exceeded":false,"rate_limit_tier":"premium","is_active":false,"expires_at":null,"is_expired":false}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, got, header := d.get(tt.path, tt.secret)
			if want := strings.ReplaceAll(tt.want, "ALICE", d.alice); status != http.StatusOK || got != want || header.Get("Content-Type") != "application/json" {
				t.Errorf("%d %s\ngot  %s\nwant %s", status, header.Get("Content-Type"), got, want)
			}
		})
	}
}

func TestLogsAreToldAsATable(t *testing.T) {
	d := openDesk(t, nil)
	d.books()
	status, got, header := d.get("/api/usage/logs?format=csv&end_date=2026-02-24&start_date=2026-02-24", aliceSecret)
	want := "id,api_key_id,request_id,request_method,request_path,request_size,response_status,response_size,response_time_ms,prompt_tokens,completion_tokens,total_tokens,cache_read_tokens,cache_write_tokens,model,is_error,error_message,error_code,total_cost,created_at\n" +
		"req_3," + d.alice + ",mine-1,POST,/v1/chat/completions,11,499,22,200,5,5,10,0,0,sonnet,false,the client left before the end of the answer,cancelled,0,2026-02-24T10:00:00Z\n" +
		"req_2," + d.alice + ",req_2,POST,/v1/chat/completions,11,502,22,50,1,0,1,0,0,opus,true,the worker or the model's servers failed,worker_failed,0,2026-02-24T00:00:00Z"
	if status != http.StatusOK || got != want || header.Get("Content-Type") != "text/csv; charset=utf-8" {
		t.Errorf("%d %v\ngot  %s\nwant %s", status, header, got, want)
	}
}

func TestWrongQuestionsAboutUsageNameTheirParameter(t *testing.T) {
	d := openDesk(t, nil)
	for path, param := range map[string]string{
		"/api/usage?start_date=yesterday":                           "start_date",
		"/api/usage?end_date=2026-02-30":                            "end_date",
		"/api/usage?start_date=2026-02-24&end_date=2026-02-23":      "end_date",
		"/api/usage/daily?days=0":                                   "days",
		"/api/usage/daily?days=366":                                 "days",
		"/api/usage/daily?days=ten":                                 "days",
		"/api/usage/logs?limit=0":                                   "limit",
		"/api/usage/logs?limit=1001":                                "limit",
		"/api/usage/logs?skip=-1":                                   "skip",
		"/api/usage/logs?skip=99999999999999999999":                 "skip",
		"/api/usage/logs?format=xml":                                "format",
		"/api/usage/logs?start_date=2026-02-24T25:00:00Z":           "start_date",
		"/api/usage/logs?end_date=%27%3B+DROP+TABLE+log%3B--":       "end_date",
		"/api/usage/logs?start_date=" + strings.Repeat("9", 30_000): "start_date",
	} {
		status, got, _ := d.get(path, aliceSecret)
		var answer struct {
			Error struct{ Message, Type, Param string } `json:"error"`
		}
		if err := json.Unmarshal([]byte(got), &answer); err != nil || status != http.StatusBadRequest || answer.Error.Param != param ||
			answer.Error.Type != "invalid_request_error" || !strings.HasPrefix(answer.Error.Message, param) || len(answer.Error.Message) > 200 {
			t.Errorf("%.80s: %d %s", path, status, got)
		}
	}
}

func TestUsageIsToldToNobodyElse(t *testing.T) {
	d := openDesk(t, nil)
	for _, path := range []string{"/api/usage", "/api/usage/daily", "/api/usage/logs", "/api/usage/quota"} {
		if status, got, _ := d.get(path, "sk-unknown"); status != http.StatusUnauthorized || !strings.Contains(got, "invalid_api_key") {
			t.Errorf("%s without a key: %d %s", path, status, got)
		}
		if resp := d.do(testContext(t), http.MethodPost, path, "", "X-API-Key", aliceSecret); resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", path, resp.StatusCode)
		}
	}
	// There is no management on this node, and so nobody is told of all.
	if status, got, _ := d.get("/admin/usage", aliceSecret); status != http.StatusNotFound {
		t.Errorf("%d %s", status, got)
	}
}

func TestUsageThatIsReadAnewIsNotTold(t *testing.T) {
	d := openDesk(t, nil)
	d.records.Close()
	for _, path := range []string{"/api/usage", "/api/usage/daily", "/api/usage/logs"} {
		if status, got, header := d.get(path, aliceSecret); status != http.StatusServiceUnavailable || !strings.Contains(got, "usage_not_ready") || header.Get("Retry-After") != "2" {
			t.Errorf("%s: %d %s", path, status, got)
		}
	}
}

// What is asked of no model leaves no trace in usage, and what a caller wrote none but
// its request's id.
func TestRequestsComeIntoTheLog(t *testing.T) {
	d := openDesk(t, func(ctx context.Context, p *play) {
		if strings.Contains(p.last(), "fail") {
			p.fail(chat.CodeInvalid, "a secret", 0)
			return
		}
		echo(ctx, p)
	})
	d.get("/v1/models", aliceSecret)
	d.get("/api/usage", aliceSecret)
	resp := d.post(ask("Hello there", ""), "X-API-Key", aliceSecret, "X-Request-Id", "mine-1")
	if got := read(t, resp); resp.StatusCode != http.StatusOK {
		t.Fatal(got)
	}
	read(t, d.post(ask("fail with a secret", `,"stream":true`), "X-API-Key", aliceSecret))
	d.knows(2)
	_, got, _ := d.get("/api/usage/logs", aliceSecret)
	var rows []usage.Row
	must(t, json.Unmarshal([]byte(got), &rows))
	if len(rows) != 2 || strings.Contains(got, "secret") || strings.Contains(got, "Hello") {
		t.Fatal(got)
	}
	failed, answered := rows[0], rows[1]
	if answered.RequestID != "mine-1" || answered.Prompt != 25 || answered.CacheRead != 20 || answered.Completion != 7 || answered.IsError || answered.Method != "POST" || answered.Path != "/v1/chat/completions" ||
		answered.Model != "claude-opus-4" || answered.RequestBytes == 0 || answered.ResponseBytes == 0 || answered.Status != 200 {
		t.Errorf("answered: %+v", answered)
	}
	if !failed.IsError || failed.Cost != 0 || failed.Status != 400 || failed.RequestID != failed.ID || *failed.ErrorCode != "invalid_request" || *failed.ErrorMessage != "the request was not valid" {
		t.Errorf("failed: %+v", failed)
	}
	if !strings.HasPrefix(failed.ID, "req_") || failed.ID <= answered.ID {
		t.Errorf("the ids %s and %s do not begin with their time", answered.ID, failed.ID)
	}
}

func TestTheFirstMessageIsNoted(t *testing.T) {
	var mu sync.Mutex
	noted := map[string]string{}
	cfg := Config{Noted: func(request, text string) {
		mu.Lock()
		defer mu.Unlock()
		noted[request] = text
	}}
	n := openNode(t, cfg, queue.OwnerConfig{}, echo)
	for body, want := range map[string]string{
		ask("Hello", ""): "Hello",
		`{"model":"opus","messages":[{"role":"system","content":"S"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":"c"},{"role":"user","content":"d"}]}`: "ab",
		`{"model":"opus","messages":[{"role":"assistant","content":"c"},{"role":"user","content":"e"}]}`:                                                                                                                   "e",
	} {
		resp := n.post(body)
		if got := read(t, resp); resp.StatusCode != http.StatusOK {
			t.Fatal(got)
		}
		id := resp.Header.Get("X-Request-Id")
		mu.Lock()
		if got, known := noted[id]; !known || got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
		mu.Unlock()
	}
}
