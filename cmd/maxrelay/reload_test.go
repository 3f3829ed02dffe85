package main

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"
)

// edit replaces text in the configuration file of a process.
func (s *site) edit(of, old, new string) {
	s.t.Helper()
	path := filepath.Join(s.dir, of+".yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		s.t.Fatalf("%s does not hold %q:\n%s", path, old, text)
	}
	write(s.t, path, strings.Replace(string(text), old, new, 1))
}

// hangup has the process read its configuration again, and returns what it says of it.
func (p *proc) hangup() string {
	p.t.Helper()
	before := len(p.text())
	p.cmd.Process.Signal(syscall.SIGHUP)
	said := ""
	eventually(p.t, "the configuration to be read again", func() bool {
		said = p.text()[before:]
		return strings.Contains(said, "configuration reloaded") || strings.Contains(said, "was not reloaded")
	})
	return said
}

func TestAHangupReadsTheConfigurationAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.extra = "auth: {enabled: true, api_keys: [first-key]}\nadmin: {password: " + adminPassword + "}\nmodels: {first-model: opus}\nprices: {second-model: {output: 0}}\n"
	p := s.start("serve", servesHTTP, scriptedCLI, "serve")
	_, managedSecret := openOffice(t, p.url).create(`{"name":"n"}`)

	s.edit("serve", "first-key", "second-key")
	s.edit("serve", "first-model", "second-model")
	s.edit("serve", "output: 0", "output: 1000")
	s.edit("serve", "level: debug", "level: info")
	s.edit("serve", "max_sessions: 4", "max_sessions: 3")
	said := p.hangup()
	if !strings.Contains(said, `"keys":["worker.max_sessions"]`) {
		t.Errorf("it does not say what waits for a restart:\n%s", said)
	}
	for secret, want := range map[string]int{"first-key": 401, "second-key": 200, managedSecret: 200} {
		if status, _ := knock(t, p.url, secret); status != want {
			t.Errorf("%s: %d, want %d", secret, status, want)
		}
	}
	for model, want := range map[string]int{"first-model": 404, "second-model": 200} {
		a, err := send(t.Context(), p.url, chatRequest{Model: model, Messages: []message{{"user", "x"}}, key: "second-key"}, nil)
		if err != nil || a.status != want {
			t.Errorf("%s: %d %s, %v; want %d", model, a.status, a.errCode, err, want)
		}
	}
	if cost := s.usageOf(p.url, "second-key", 1)["total_cost"].(float64); cost <= 0 {
		t.Errorf("the price is still that of before: %v", cost)
	}
	if resp, err := client.Get(p.url + "/health"); err != nil || resp.Body.Close() != nil { // logged at debug
		t.Errorf("health: %v", err)
	}
	p.stop()
	if strings.Contains(p.text(), "second-key") || strings.Contains(p.text(), `"route":"/health"`) {
		t.Errorf("the log has a key, or lines below its level:\n%s", p.text())
	}
}

func TestABadConfigurationIsNotTaken(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.extra = "auth: {enabled: true, api_keys: [first-key]}\n"
	p := s.start("api", servesHTTP, scriptedCLI, "api")
	s.edit("api", "first-key]}", "second-key]}\nqueue: {timeout: soon}")
	if said := p.hangup(); !strings.Contains(said, `: queue.timeout: \"soon\" is not a duration`) || !strings.Contains(said, "api.yaml:") || !strings.Contains(said, `"level":"error"`) {
		t.Errorf("it says\n%s", said)
	}
	for secret, want := range map[string]int{"first-key": http.StatusOK, "second-key": http.StatusUnauthorized} {
		if status, _ := knock(t, p.url, secret); status != want {
			t.Errorf("%s: %d, want %d", secret, status, want)
		}
	}
	s.edit("api", "soon", "1s")
	p.hangup()
	if status, _ := knock(t, p.url, "second-key"); status != http.StatusOK {
		t.Errorf("after it was mended: %d", status)
	}
	p.stop()
}

// What was counted before counts on under the new rates.
func TestAHangupChangesTiersAndRates(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.extra = "auth: {enabled: true, api_keys: [static-key]}\nadmin: {password: " + adminPassword + "}\n"
	p := s.start("serve", servesHTTP, scriptedCLI, "serve")
	o := openOffice(t, p.url)
	_, managed := o.create(`{"name":"n"}`)
	const golden = `{"name":"g","rate_limit_tier":"gold"}`
	if status, answer := o.ask("POST", "/api-keys", golden); status != http.StatusUnprocessableEntity {
		t.Errorf("a tier that is not there yet: %d %v", status, answer)
	}
	mustStand := func(key string, status int, want ...string) {
		t.Helper()
		a, err := send(t.Context(), p.url, chatRequest{Messages: []message{{"user", "x"}}, key: key}, nil)
		var got []string
		for _, name := range []string{"limit-requests", "remaining-requests", "limit-tokens"} {
			got = append(got, a.header.Get("x-ratelimit-"+name))
		}
		if err != nil || a.status != status || !slices.Equal(got, want) {
			t.Errorf("%s: %d %v, %v; want %d %v", key[:6], a.status, got, err, status, want)
		}
	}
	mustStand("static-key", 200, "", "", "")
	mustStand(managed, 200, "100", "99", "1000000")

	const before = "rate_limit: {max_requests_per_minute: 0, max_tokens_per_day: 0}"
	const after = "rate_limit: {max_requests_per_minute: 7, max_tokens_per_day: 90000, by_tier: {basic: {requests: 3, period: 1m}, gold: {requests: 5, period: 30s}}}"
	s.edit("serve", before, after)
	if said := p.hangup(); !strings.Contains(said, `"rate_limit.max_requests_per_minute"`) || strings.Contains(said, "wait for a restart") {
		t.Errorf("it says\n%s", said)
	}
	mustStand("static-key", 200, "7", "6", "90000") // without a limit nothing was counted
	mustStand(managed, 200, "3", "1", "1000000")
	mustStand(o.must("POST", "/api-keys", golden)["api_key"].(string), 200, "5", "4", "1000000")

	s.edit("serve", "{requests: 3, period: 1m}", "{requests: 300, period: 2h}")
	if said := p.hangup(); !strings.Contains(said, "was not reloaded") || !strings.Contains(said, "rate_limit.by_tier.basic.period") {
		t.Errorf("of a bad tier it says\n%s", said)
	}
	mustStand(managed, 200, "3", "0", "1000000")
	mustStand(managed, 429, "3", "0", "1000000")
	p.stop()
}

// One part that refuses keeps all others from changing.
func TestAReloadIsTakenAsAWholeOrNotAtAll(t *testing.T) {
	cfg := defaultConfig()
	p := newProgram(cfg, zerolog.Nop())
	var taken []string
	var refuses bool
	for _, name := range []string{"a", "b"} {
		p.onReload(func(cfg Config) (func(), error) {
			if refuses && name == "b" {
				return nil, errors.New("no")
			}
			return func() { taken = append(taken, name+cfg.Log.Level) }, nil
		})
	}
	next := cfg
	next.Log.Level, next.Port = "error", 1
	load := func() (Config, error) { return next, nil }
	for _, refuses = range []bool{true, false} {
		p.reload(load)
		if want := map[bool]string{true: "info", false: "error"}[refuses]; (len(taken) == 0) != refuses || p.cfg.Log.Level != want {
			t.Errorf("refused %t: %v were called, the level is %s", refuses, taken, p.cfg.Log.Level)
		}
	}
	if !slices.Equal(taken, []string{"aerror", "berror"}) || p.cfg.Port != cfg.Port {
		t.Errorf("taken %v, port %d", taken, p.cfg.Port)
	}
}

func TestWhatAReloadChanges(t *testing.T) {
	running, next := defaultConfig(), defaultConfig()
	if reloaded, waiting := changedKeys(running, next); reloaded != nil || waiting != nil {
		t.Errorf("no change: %v, %v", reloaded, waiting)
	}
	next.Models["gpt-4o"], next.Port, next.Worker.CLI.Env = "opus", 1, map[string]string{"A": "b"}
	reloaded, waiting := changedKeys(running, next)
	if !slices.Equal(reloaded, []string{"models"}) || !slices.Equal(waiting, []string{"port", "worker.cli.env"}) {
		t.Errorf("%v, %v", reloaded, waiting)
	}
	effective := reloadedConfig(running, next)
	if want := running; effective.Models["gpt-4o"] != "opus" || effective.Port != want.Port || effective.Worker.CLI.Env != nil || reflect.DeepEqual(running.Models, next.Models) {
		t.Errorf("in force: %s", effective)
	}
}
