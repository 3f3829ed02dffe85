package main

import (
	"os"
	"reflect"
	"testing"

	"github.com/spf13/pflag"
)

// FuzzConfigFile also holds that a file reads the same each time.
func FuzzConfigFile(f *testing.F) {
	shipped, err := os.ReadFile("../../config.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(shipped))
	for _, seed := range []string{
		"", "---", "a", "- a", "? [a]\n: b", "a: &x\n  b: *x", "<<: {a: b}", "port: ${P}", "models: {a: b, a: c}",
		"worker: {cli: {env: {A: ${P}}}}", "upstream: [{url: a}, {}, b, [c]]", "rate_limit: {by_tier: {a: {requests: ${P}}, b: }}", "\xff", "auth: {api_keys: [a, *b]}", "queue: !!binary aGk=", "port: !!int x", "%YAML 1.1\n---\nport: 1\n...\n",
	} {
		f.Add(seed)
	}
	env := map[string]string{"P": "1"}
	f.Fuzz(func(t *testing.T, text string) {
		settings, err := parseFile("config.yaml", []byte(text), env)
		again, errAgain := parseFile("config.yaml", []byte(text), env)
		if (err == nil) != (errAgain == nil) || !reflect.DeepEqual(tree(settings), tree(again)) {
			t.Errorf("read twice it differs: %v, %v", err, errAgain)
		}
	})
}

func FuzzLoadConfig(f *testing.F) {
	f.Add("port: 1", "MAXRELAY_PORT=2", "port=3")
	f.Add("models: {a.b: c}", "MAXRELAY_WORKER_CLI_ENV_A=b", "models.x.y=z")
	f.Add("worker: {memory_limit: 9e18B}", "MAXRELAY_", "=")
	f.Add("worker: {cli: {env: {\"a\\0b\": c}}}", "MAXRELAY_MODELS_=", "auth.api_keys=,")
	f.Add("nats: {url: 'nats://a@b'}", "MAXRELAY_NATS_LISTEN=:", "worker.pools=")
	f.Add("upstream: [{url: 'http://a'}]", "MAXRELAY_UPSTREAM_2_URL=http://b", "upstream.9.url=http://c")
	f.Add("rate_limit: {by_tier: {a.b: {requests: 1}}}", "MAXRELAY_RATE_LIMIT_BY_TIER__REQUESTS=1", "rate_limit.by_tier..requests=1")
	path := f.TempDir() + "/config.yaml"
	f.Fuzz(func(t *testing.T, file, variable, assignment string) {
		write(t, path, file)
		flags := pflag.NewFlagSet("maxrelay", pflag.ContinueOnError)
		registerFlags(flags)
		if err := flags.Parse([]string{"--config", path, "--set", assignment}); err != nil {
			return
		}
		c, err := LoadConfig(flags, []string{variable, "P=1"})
		if err != nil {
			return
		}
		if _, err := LoadConfig(flags, []string{variable, "P=1"}); err != nil {
			t.Errorf("loaded once, refused then: %v", err)
		}
		_ = c.String()
	})
}
