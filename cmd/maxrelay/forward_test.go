package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"maxrelay/session/anthropictest"
)

// operatorKey is the upstream's, and no client's.
const operatorKey = "sk-operator-made-up"

// The real CLI, pointed at maxrelay with a managed key, talks to the operator's upstream
// without knowing: its question is answered, and what was used is counted to its key.
func TestTheCLIItselfAsAClientThroughForwarding(t *testing.T) {
	s := newSite(t)
	s.extra = managed + fmt.Sprintf("upstream: [{name: stand-in, url: %q, api_key: %s}]", s.model.URL(), operatorKey)
	s.model.Script(func(anthropictest.Request) *anthropictest.Reply {
		r := anthropictest.Say("Forty", "-two.").WithUsage(anthropictest.Usage{InputTokens: 100, CacheReadInputTokens: 20, CacheCreationInputTokens: 3, OutputTokens: 7})
		return &r
	})
	p := s.start("api", servesHTTP, scriptedCLI, "api")
	office := openOffice(t, p.url)
	id, secret := office.create(`{"name":"agent","token_limit":1000000,"rate_limit_tier":"premium"}`)
	_, other := office.create(`{"name":"other","allowed_models":["claude-haiku-4"]}`)

	a := newAgent(t)
	a.url, a.key = p.url, secret
	if got := a.ask("-p", "What is the answer?"); got != "Forty-two." {
		t.Errorf("the agent said %q", got)
	}
	asked := 0
	for _, r := range s.model.Requests() {
		if r.Path == "/v1/messages" || strings.HasPrefix(r.Path, "/v1/messages?") {
			asked++
		}
		if all := fmt.Sprint(r.Header); r.Header.Get("X-Api-Key") != operatorKey || strings.Contains(all, secret) {
			t.Errorf("the upstream got the headers %s", all)
		}
	}
	sum := 0
	for _, e := range usageEvents(t, s.dial()) {
		if e.KeyID != id || e.Path != "/v1/messages" || e.Status != http.StatusOK || e.Estimated || e.Usage.OutputTokens != 7 || e.Usage.CacheReadTokens != 20 {
			t.Errorf("recorded %+v", e)
		}
		sum += e.Usage.Total()
	}
	if sum != asked*130 || asked == 0 {
		t.Errorf("%d tokens of %d requests are recorded, want 130 each", sum, asked)
	}
	if used := office.must("GET", "/api-keys/"+id, "")["token_used"]; used != float64(sum) {
		t.Errorf("the key has used %v tokens, want %d", used, sum)
	}
	if status, _ := s.askMessages(p.url, other, `{"model":"claude-sonnet-4-6","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`); status != http.StatusForbidden {
		t.Errorf("a model that the key does not have: %d", status)
	}
	if strings.Contains(p.text(), operatorKey) || strings.Contains(p.text(), secret) {
		t.Error("a key is in the log")
	}
	p.stop()
}

// askMessages asks in the Messages API.
func (s *site) askMessages(url, secret, body string) (int, object) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, url+"/v1/messages", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Api-Key", secret)
	resp, answer := do(s.t, req)
	return resp.StatusCode, answer
}
