package main

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func scrape(t testing.TB, url string) (status int, text string) {
	t.Helper()
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

func TestMetricsTellOfProcessesAndTurns(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.start("serve", servesHTTP, scriptedCLI, "serve")
	c := &talk{t: t, url: p.url, req: chatRequest{Model: "claude-sonnet-4"}}
	c.say("hello")
	c.say("and on")
	status, text := scrape(t, p.url)
	if status != http.StatusOK {
		t.Fatal(status, text)
	}
	for _, want := range []string{
		`session_turns_total{outcome="ok",session="new"} 1`, `session_turns_total{outcome="ok",session="warm"} 1`,
		`session_processes{state="idle"} 1`, "session_memory_limit_bytes", "go_goroutines", "process_resident_memory_bytes",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is not among the metrics:\n%s", want, text)
		}
	}
	p.stop()
}

func TestMetricsMayHaveTheirOwnAddress(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.extra = "metrics: {address: \"127.0.0.1:0\"}"
	node := s.start("api", servesHTTP, scriptedCLI, "api")
	worker := s.start("worker", takesJobs, scriptedCLI, "worker")
	for _, p := range []*proc{node, worker} {
		address, _ := p.await("metrics are served")["address"].(string)
		status, text := scrape(t, "http://"+address)
		if status != http.StatusOK || strings.Contains(text, "session_processes") != (p == worker) {
			t.Errorf("%s: %d\n%s", p.name, status, text)
		}
	}
	if status, _ := scrape(t, node.url); status != http.StatusNotFound {
		t.Errorf("the API's own address answers %d, want 404", status)
	}
	worker.stop()
	node.stop()
}
