package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
)

// load runs LoadConfig in an empty folder, with file as its config.yaml unless empty.
func load(t *testing.T, file string, environ []string, args ...string) (Config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if file != "" {
		write(t, "config.yaml", file)
	}
	flags := pflag.NewFlagSet("maxrelay", pflag.ContinueOnError)
	registerFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return LoadConfig(flags, environ)
}

func mustLoad(t *testing.T, file string, environ []string, args ...string) Config {
	t.Helper()
	c, err := load(t, file, environ, args...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDefaultsStandWithoutAnySource(t *testing.T) {
	got := mustLoad(t, "", nil)
	want := defaultConfig()
	want.derive()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got.NATS.Store != filepath.Join("data", "nats") || got.NATS.TokenFile != filepath.Join("data", "nats.token") {
		t.Errorf("broker's files are %s and %s", got.NATS.Store, got.NATS.TokenFile)
	}
	if got.Worker.Name == "" {
		t.Error("the worker has no name")
	}
}

func TestShippedFileHoldsEveryKeyAndItsDefault(t *testing.T) {
	shipped, err := os.ReadFile("../../config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := mustLoad(t, "", nil)
	if got := mustLoad(t, string(shipped), nil); !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}

	var document map[string]any
	if err := yaml.Unmarshal(shipped, &document); err != nil {
		t.Fatal(err)
	}
	for _, k := range configKeys {
		section, names := document, strings.Split(k.table(), ".")
		last := len(names) - 1
		for _, name := range names[:last] {
			section, _ = section[name].(map[string]any)
		}
		if _, ok := section[names[last]]; !ok {
			t.Errorf("%s is missing", k.name())
		}
	}
}

func TestEveryKeyHasAVariableOfItsOwn(t *testing.T) {
	seen := map[string]string{configVariable: "the file's path"}
	for _, k := range configKeys {
		if other, taken := seen[k.variable()]; taken {
			t.Errorf("%s is both %s and %s", k.variable(), k.name(), other)
		}
		seen[k.variable()] = k.name()
	}
}

func TestStrongerSourcesWin(t *testing.T) {
	const file = "queue: {timeout: 10s}\nport: 1\n"
	env := []string{"MAXRELAY_QUEUE_TIMEOUT=20s", "MAXRELAY_PORT=2", "PORT=9", "HOME=/root"}
	tests := []struct {
		name    string
		file    string
		environ []string
		args    []string
		port    int
		timeout time.Duration
	}{
		{"defaults", "", nil, nil, 3456, 120 * time.Second},
		{"file over defaults", file, nil, nil, 1, 10 * time.Second},
		{"environment over file", file, env, nil, 2, 20 * time.Second},
		{"flags over environment", file, env, []string{"--port=3", "--set=queue.timeout=30s"}, 3, 30 * time.Second},
		{"--set over a key's own flag", "", nil, []string{"--set=port=4", "--port=3"}, 4, 120 * time.Second},
		{"the last --set", "", nil, []string{"--set=port=4", "--set=port=5"}, 5, 120 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := mustLoad(t, tt.file, tt.environ, tt.args...)
			if c.Port != tt.port || c.Queue.Timeout != tt.timeout {
				t.Errorf("port %d, timeout %s; want %d, %s", c.Port, c.Queue.Timeout, tt.port, tt.timeout)
			}
		})
	}
}

func TestEveryFlagReachesItsKey(t *testing.T) {
	c := mustLoad(t, "", nil, "--host=localhost", "--port=0", "--data-dir=d", "--nats-url=nats://n:1", "--claude=/c", "--log-level=debug")
	got := []any{c.Host, c.Port, c.DataDir, c.NATS.URL, c.Worker.CLI.Path, c.Log.Level}
	want := []any{"localhost", 0, "d", "nats://n:1", "/c", "debug"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestWhichFileIsRead(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "config.yaml", "port: 1")
	write(t, "two.yaml", "port: 2")
	write(t, "three.yaml", "port: 3")
	tests := []struct {
		name    string
		environ []string
		args    []string
		want    int
	}{
		{"./config.yaml", nil, nil, 1},
		{"MAXRELAY_CONFIG", []string{"MAXRELAY_CONFIG=two.yaml"}, nil, 2},
		{"--config", []string{"MAXRELAY_CONFIG=two.yaml"}, []string{"--config=three.yaml"}, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			flags := pflag.NewFlagSet("maxrelay", pflag.ContinueOnError)
			registerFlags(flags)
			if err := flags.Parse(tt.args); err != nil {
				t.Fatal(err)
			}
			c, err := LoadConfig(flags, tt.environ)
			if err != nil || c.Port != tt.want {
				t.Errorf("port %d, %v; want %d", c.Port, err, tt.want)
			}
		})
	}
}

func TestValuesAreRead(t *testing.T) {
	const hash = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	tests := []struct {
		name    string
		file    string
		environ []string
		args    []string
		value   func(Config) any
		want    any
	}{
		{"nothing below a section", "queue:\nworker:\n", nil, nil, func(c Config) any { return c.Queue.MaxAttempts }, 3},
		{"nothing after a key", "nats:\n  credentials:\n", nil, nil, func(c Config) any { return c.NATS.Credentials }, ""},
		{"a file of comments", "# nothing\n", nil, nil, func(c Config) any { return c.Port }, 3456},
		{"a text that looks like another type", "data_dir: 0123\n", nil, nil, func(c Config) any { return c.DataDir }, "0123"},
		{"a list", "worker: {pools: [a, b]}", nil, nil, func(c Config) any { return c.Worker.Pools }, []string{"a", "b"}},
		{"a list with commas in the file", "worker: {pools: 'a, b'}", nil, nil, func(c Config) any { return c.Worker.Pools }, []string{"a", "b"}},
		{"a list with commas in the environment", "", []string{"MAXRELAY_WORKER_POOLS=a,b"}, nil, func(c Config) any { return c.Worker.Pools }, []string{"a", "b"}},
		{"a list replaces the default", "worker: {pools: [a]}", nil, nil, func(c Config) any { return c.Worker.Pools }, []string{"a"}},
		{"an empty list replaces another", "auth: {api_keys: [a]}", []string{"MAXRELAY_AUTH_API_KEYS="}, nil, func(c Config) any { return len(c.Auth.APIKeys) }, 0},
		{"plain and hashed keys", "auth: {api_keys: [k1, " + hash + "]}", nil, nil, func(c Config) any { return c.Auth.APIKeys }, []string{"k1", hash}},
		{"keys of a pool", "auth: {api_keys: [k1], pools: {team: {api_keys: [k2, " + hash + "]}, own: {api_keys: [k3]}}}", nil, nil,
			func(c Config) any { return c.Auth.Pools }, map[string]PoolConfig{"team": {[]string{"k2", hash}}, "own": {[]string{"k3"}}}},
		{"keys of a pool by the environment", "", []string{"MAXRELAY_AUTH_POOLS_team_API_KEYS=k1,k2"}, nil,
			func(c Config) any { return c.Auth.Pools }, map[string]PoolConfig{"team": {[]string{"k1", "k2"}}}},
		{"a model with dots adds to the table", "models: {gpt-4.1: opus}", nil, nil, func(c Config) any { return c.Models["gpt-4.1"] + c.Models["claude-haiku-4"] }, "opushaiku"},
		{"a model with a slash", "models: {openai/gpt-4o: opus}", nil, nil, func(c Config) any { return c.Models["openai/gpt-4o"] }, "opus"},
		{"a model replaces a default", "models: {claude-haiku-4: sonnet}", nil, nil, func(c Config) any { return c.Models["claude-haiku-4"] }, "sonnet"},
		{"a model by --set", "", nil, []string{"--set=models.gpt-4.1=opus"}, func(c Config) any { return c.Models["gpt-4.1"] }, "opus"},
		{"variables keep their case and dots", "worker: {cli: {env: {No.Dots: 1, FOO: 'yes', EMPTY: }}}", nil, nil,
			func(c Config) any { return c.Worker.CLI.Env }, map[string]string{"No.Dots": "1", "FOO": "yes", "EMPTY": ""}},
		{"a variable by the environment", "", []string{"MAXRELAY_WORKER_CLI_ENV_http_proxy=a=b"}, nil, func(c Config) any { return c.Worker.CLI.Env }, map[string]string{"http_proxy": "a=b"}},
		{"a variable by --set", "", nil, []string{"--set=worker.cli.env.A.b=c"}, func(c Config) any { return c.Worker.CLI.Env }, map[string]string{"A.b": "c"}},
		{"underscores in the variable's key", "", []string{"MAXRELAY_QUEUE_MAX_WAITING_PER_KEY=7"}, nil, func(c Config) any { return c.Queue.MaxWaitingPerKey }, 7},
		{"${VAR}", "data_dir: ${BASE}/x", []string{"BASE=/srv"}, nil, func(c Config) any { return c.DataDir }, "/srv/x"},
		{"${VAR} in a number", "port: ${P}", []string{"P=80"}, nil, func(c Config) any { return c.Port }, 80},
		{"${VAR} in a list", `auth: {api_keys: ["${K}", b]}`, []string{"K=a"}, nil, func(c Config) any { return c.Auth.APIKeys }, []string{"a", "b"}},
		{"${VAR} holding YAML stays text", "data_dir: ${D}", []string{"D=x\nport: 1"}, nil, func(c Config) any { return c.DataDir }, "x\nport: 1"},
		{"${VAR} set to nothing", "data_dir: a${D}", []string{"D="}, nil, func(c Config) any { return c.DataDir }, "a"},
		{"what a variable holds is not expanded again", "data_dir: ${D}", []string{"D=${E}"}, nil, func(c Config) any { return c.DataDir }, "${E}"},
		{"$x and $$ stay", "data_dir: $x$$y$", []string{"x=1"}, nil, func(c Config) any { return c.DataDir }, "$x$$y$"},
		{"a share of memory", "worker: {memory_limit: 5%}", nil, nil, func(c Config) any { return c.Worker.MemoryLimit }, Memory{Percent: 5}},
		{"a size in decimal units", "worker: {memory_limit: 1.5GB}", nil, nil, func(c Config) any { return c.Worker.MemoryLimit }, Memory{Bytes: 1_500_000_000}},
		{"a size in binary units", "worker: {memory_limit: 512 MiB}", nil, nil, func(c Config) any { return c.Worker.MemoryLimit }, Memory{Bytes: 512 << 20}},
		{"the broker's files follow the data folder", "data_dir: /d", nil, nil, func(c Config) any { return c.NATS.Store + " " + c.NATS.TokenFile }, "/d/nats /d/nats.token"},
		{"an open host with keys", "host: 0.0.0.0\nauth: {enabled: true, api_keys: [k]}", nil, nil, func(c Config) any { return c.Host }, "0.0.0.0"},
		{"an open host with managed keys only", "host: 0.0.0.0\nauth: {enabled: true}", nil, nil, func(c Config) any { return len(c.Auth.APIKeys) }, 0},
		{"a hashed password", "admin: {password: " + hash + "}", nil, nil, func(c Config) any { return c.Admin.Password }, hash},
		{"proxies in the environment", "", []string{"MAXRELAY_TRUSTED_PROXIES=10.0.0.0/8,::1"}, nil, func(c Config) any { return c.Proxies }, []string{"10.0.0.0/8", "::1"}},
		{"the loopback of IPv6", "host: '::1'", nil, nil, func(c Config) any { return c.Host }, "::1"},
		{"a tier adds to the table, with a period of its own", "rate_limit: {by_tier: {gold: {requests: 5}}}", nil, nil,
			func(c Config) any { return []any{c.Limit.ByTier["gold"], c.Limit.ByTier["basic"].Requests} }, []any{TierConfig{5, time.Minute}, 100}},
		{"a tier replaces a part of a default one", "rate_limit: {by_tier: {premium: {period: 1s}}}", nil, nil,
			func(c Config) any { return c.Limit.ByTier["premium"] }, TierConfig{1000, time.Second}},
		{"a tier by the environment", "", []string{"MAXRELAY_RATE_LIMIT_BY_TIER_BASIC_REQUESTS=7"}, nil, func(c Config) any { return c.Limit.ByTier["basic"].Requests }, 7},
		{"a tier by --set", "", nil, []string{"--set=rate_limit.by_tier.gold.requests=0"}, func(c Config) any { return c.Limit.ByTier["gold"].Requests }, 0},
		{"no limit", "rate_limit: {max_requests_per_minute: 0, max_tokens_per_day: 0}", nil, nil,
			func(c Config) any { return c.Limit.MaxRequestsPerMinute + c.Limit.MaxTokensPerDay }, 0},
		{"a list of sections", "upstream:\n  - {url: 'https://a', api_key: '${K}', timeout: 5s}\n  - url: https://b/v1\n    max_retries: 0\n", []string{"K=sk"}, nil,
			func(c Config) any { return c.Forward }, []UpstreamConfig{{"", "https://a", "sk", 5 * time.Second, 2}, {"", "https://b/v1", "", 10 * time.Minute, 0}}},
		{"a section of a list by the environment", "upstream: [{url: 'https://a'}, {url: 'https://b'}]", []string{"MAXRELAY_UPSTREAM_2_API_KEY=sk"}, []string{"--set=upstream.3.url=https://c"},
			func(c Config) any { return c.Forward[0].APIKey + c.Forward[1].APIKey + c.Forward[2].URL }, "skhttps://c"},
		{"more than nine sections of a list", "upstream: [" + strings.Repeat("{url: 'https://a'}, ", 10) + "{url: 'https://last'}]", nil, nil,
			func(c Config) any { return c.Forward[10].URL }, "https://last"},
		{"an empty list of sections", "upstream: []", nil, nil, func(c Config) any { return len(c.Forward) }, 0},
		{"no broker listener", "nats: {listen: ''}", nil, nil, func(c Config) any { return c.NATS.Listen }, ""},
		{"replicas of one node", "", nil, nil, func(c Config) any { return c.NATS.Cluster.Replicas }, 1},
		{"replicas of three", "nats: {cluster: " + threeNodes + "}", nil, nil, func(c Config) any { return c.NATS.Cluster.Replicas }, 3},
		{"replicas in another cluster", "nats: {url: 'nats://a:1', cluster: {replicas: 3}}", nil, nil, func(c Config) any { return c.NATS.Cluster.Replicas }, 3},
		{"a broker list", "nats: {url: 'nats://a:1, tls://b'}", nil, nil, func(c Config) any { return c.NATS.URL }, "nats://a:1, tls://b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := mustLoad(t, tt.file, tt.environ, tt.args...)
			if got := tt.value(c); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %#v, want %#v", got, tt.want)
			}
		})
	}
}

const threeNodes = "{routes: [a:6222, b:6222, c:6222], secret: a-secret-of-thirty-two-characters}"

func TestBadSettingsAreNamedWhereTheyStand(t *testing.T) {
	tests := []struct {
		name    string
		file    string
		environ []string
		args    []string
		want    string
	}{
		{"an unknown key", "port: 1\nworker:\n  slotz: 3\n", nil, nil, "config.yaml:3: worker.slotz: unknown key (did you mean worker.slots?)"},
		{"an unknown section", "workr: {slots: 3}", nil, nil, "config.yaml:1: workr: unknown key (did you mean worker?)"},
		{"a key in the wrong section", "idle_ttl: 1s", nil, nil, "config.yaml:1: idle_ttl: unknown key (did you mean worker.idle_ttl?)"},
		{"a key like no other", "xyzzy: 1", nil, nil, "config.yaml:1: xyzzy: unknown key"},
		{"a dotted key", "queue.timeout: 1s", nil, nil, "config.yaml:1: queue.timeout: unknown key (keys nest in the file, they are not joined with dots)"},
		{"a key of a later version", "dashboard: {title: a}", nil, nil, "config.yaml:1: dashboard: unknown key"},
		{"an unknown variable", "", []string{"MAXRELAY_WORKER_SLOTZ=1"}, nil, "MAXRELAY_WORKER_SLOTZ: unknown key (did you mean MAXRELAY_WORKER_SLOTS?)"},
		{"a table's variable without an entry", "", []string{"MAXRELAY_MODELS=a"}, nil, "MAXRELAY_MODELS: names no entry, write MAXRELAY_MODELS_<name>"},
		{"an unknown --set", "", nil, []string{"--set=queue.time=1s"}, "--set queue.time: unknown key (did you mean queue.timeout?)"},
		{"a section by --set", "", nil, []string{"--set=queue=1s"}, "--set queue: unknown key (a section: name one of its keys)"},
		{"a table by --set", "", nil, []string{"--set=worker.cli.env=A"}, "--set worker.cli.env: names no entry, write worker.cli.env.<name>"},
		{"--set without a value", "", nil, []string{"--set=port"}, "--set: write key=value"},
		{"a key twice", "port: 1\nhost: localhost\nport: 2\n", nil, nil, "config.yaml:3: port: given twice, first on line 1"},
		{"a section twice", "queue: {timeout: 1s}\nqueue: {timeout: 1s}\n", nil, nil, "config.yaml:2: queue: given twice, first on line 1"},
		{"a model twice", "models:\n  a: opus\n  a: opus\n", nil, nil, "config.yaml:3: models.a: given twice, first on line 2"},

		{"not YAML", "port: 1\nhost: a: b\n", nil, nil, "config.yaml:2: not YAML: mapping values are not allowed in this context"},
		{"not a mapping", "- port\n", nil, nil, "config.yaml:1: needs keys below it, not a value"},
		{"a section with a value", "queue: 3", nil, nil, "config.yaml:1: queue: needs keys below it, not a value"},
		{"a key with a section", "port: {a: 1}", nil, nil, "config.yaml:1: port: needs one value, not several"},
		{"a key with a list", "port: [1, 2]", nil, nil, "config.yaml:1: port: needs one value, not several"},
		{"an item with items", "worker: {pools: [[a]]}", nil, nil, "config.yaml:1: worker.pools: needs one value, not several"},
		{"a key of several words", "? [a, b]\n: 1\n", nil, nil, "config.yaml:1: a key must be one word"},
		{"an alias", "host: &h localhost\ndata_dir: *h\n", nil, nil, "config.yaml:2: data_dir: aliases are not supported; quote a value that begins with *"},
		{"an alias of nothing", "data_dir: *h\n", nil, nil, "config.yaml: a value that begins with * or & needs quotes"},
		{"a second document", "port: 1\n---\nport: 2\n", nil, nil, "config.yaml:2: the file holds a second document"},

		{"an unset variable", "port: 1\nnats:\n  token_file: ${NOWHERE}/t\n", nil, nil, "config.yaml:3: nats.token_file: ${NOWHERE} is not set in the environment"},
		{"two unset variables in one value", "data_dir: ${A}/${B}", nil, nil, "config.yaml:1: data_dir: ${A} is not set in the environment"},
		{"a broken reference", "data_dir: ${A", nil, nil, "config.yaml:1: data_dir: ${ must be followed by a variable's name and }"},
		{"a bad value out of a variable", "port: ${P}", []string{"P=hunter2"}, nil, "config.yaml:1: port: the value is not a whole number"},

		{"not a number", "port: many", nil, nil, `config.yaml:1: port: "many" is not a whole number`},
		{"a port too high", "", nil, []string{"--port=70000"}, `--port: "70000" is not between 0 and 65535`},
		{"a count below zero", "worker: {slots: -1}", nil, nil, `config.yaml:1: worker.slots: "-1" is less than 0`},
		{"a count below one", "queue: {max_attempts: 0}", nil, nil, `config.yaml:1: queue.max_attempts: "0" is less than 1`},
		{"a price below zero", "prices: {m: {input: -1}}", nil, nil, `config.yaml:1: prices.m.input: "-1" is not a price like 3.75`},
		{"a price that is no number", "", nil, []string{"--set=prices.m.output=NaN"}, `--set prices.m.output: "NaN" is not a price like 3.75`},
		{"no request a day", "max_requests_per_day: 0", nil, nil, `config.yaml:1: max_requests_per_day: "0" is not between 1 and 10000`},
		{"a duration without a unit", "", []string{"MAXRELAY_QUEUE_TIMEOUT=60"}, nil, `MAXRELAY_QUEUE_TIMEOUT: "60" is not a duration like 750ms, 90s or 10m`},
		{"no duration at all", "queue: {timeout: 0s}", nil, nil, `config.yaml:1: queue.timeout: "0s" is not longer than zero`},
		{"a duration below zero", "worker: {cli: {turn_timeout: -1m}}", nil, nil, `config.yaml:1: worker.cli.turn_timeout: "-1m" is not longer than zero`},
		{"neither true nor false", "auth: {enabled: yes}", nil, nil, `config.yaml:1: auth.enabled: "yes" is neither true nor false`},
		{"a word that is not offered", "", nil, []string{"--log-level=loud"}, `--log-level: "loud" is none of trace, debug, info, warn, error`},
		{"memory without a unit", "worker: {memory_limit: 4}", nil, nil, `config.yaml:1: worker.memory_limit: "4" is neither a percentage like 60% nor a size like 4GB or 512MiB`},
		{"more than all memory", "worker: {memory_limit: 120%}", nil, nil, `config.yaml:1: worker.memory_limit: "120%" is not between 1% and 100%`},
		{"endless memory", "worker: {memory_limit: InfB}", nil, nil, `config.yaml:1: worker.memory_limit: "InfB" is neither a percentage like 60% nor a size like 4GB or 512MiB`},

		{"an open host without keys", "\nhost: 0.0.0.0", nil, nil,
			`config.yaml:2: host: "0.0.0.0" is open to other machines while auth.enabled is false: set auth.enabled, or serve on 127.0.0.1`},
		{"a host name without keys", "", nil, []string{"--host=relay.example"},
			`--host: "relay.example" is open to other machines while auth.enabled is false: set auth.enabled, or serve on 127.0.0.1`},
		{"a key of two pools", "auth:\n  api_keys: [a, b]\n  pools:\n    team: {api_keys: [c, b]}\n", nil, nil, "config.yaml:4: auth.pools.team.api_keys: key 2 stands in auth.api_keys too"},
		{"a pool's bad key", "auth: {pools: {team: {api_keys: ['a b']}}}", nil, nil, "config.yaml:1: auth.pools.team.api_keys: key 1 cannot be sent in a header: it is empty, or holds spaces or letters outside ASCII"},
		{"a pool with a bad name", "auth: {pools: {a.b: {api_keys: [a]}}}", nil, nil, `config.yaml:1: auth.pools.a.b.api_keys: "a.b" is not a pool's name: letters, digits, - and _ only`},
		{"a host with a port", "host: 127.0.0.1:80", nil, nil, `config.yaml:1: host: "127.0.0.1:80" is not an address or host name (the port has its own key)`},
		{"no host", "host: ''", nil, nil, `config.yaml:1: host: "" is not an address or host name (the port has its own key)`},
		{"no data folder", "data_dir: ''", nil, nil, `config.yaml:1: data_dir: "" must not be empty`},
		{"a broker address without a port", "nats: {listen: 127.0.0.1}", nil, nil, `config.yaml:1: nats.listen: "127.0.0.1" is not an address like 127.0.0.1:4222`},
		{"a broker address with a bad port", "nats: {listen: '127.0.0.1:x'}", nil, nil, `config.yaml:1: nats.listen: "127.0.0.1:x" has no port between 0 and 65535`},
		{"a broker URL of another kind", "nats: {url: 'http://a'}", nil, nil, "config.yaml:1: nats.url: the value is not a URL like nats://host:4222"},
		{"a pool that is no subject token", "worker: {pools: [a, b.c]}", nil, nil, `config.yaml:1: worker.pools: "b.c" is not a pool's name: letters, digits, - and _ only`},
		{"no pool", "worker: {pools: []}", nil, nil, "config.yaml:1: worker.pools: the worker needs at least one pool"},
		{"a model without a name", "models:\n  gpt-4.1:\n", nil, nil, `config.yaml:2: models.gpt-4.1: "" is not a model's name: it must not be empty or hold spaces`},
		{"a key that no header can carry", "auth: {api_keys: [ok, 'two words']}", nil, nil, "config.yaml:1: auth.api_keys: key 2 cannot be sent in a header: it is empty, or holds spaces or letters outside ASCII"},
		{"half a hash", "auth: {api_keys: ['sha256:abc']}", nil, nil, "config.yaml:1: auth.api_keys: key 1 needs 64 hex digits after sha256:"},
		{"an administrator with a colon", "admin: {username: 'a:hunter2'}", nil, nil, "config.yaml:1: admin.username: is not a user's name: it must not be empty or hold a colon"},
		{"an administrator without a name", "", nil, []string{"--set=admin.username="}, "--set admin.username: is not a user's name: it must not be empty or hold a colon"},
		{"half a hash of a password", "admin:\n  password: 'sha256:abc'\n", nil, nil, "config.yaml:2: admin.password: needs 64 hex digits after sha256:"},
		{"a password of two lines", "", []string{"MAXRELAY_ADMIN_PASSWORD=a\nb"}, nil, "MAXRELAY_ADMIN_PASSWORD: holds control characters"},
		{"management without a port", "admin: {address: localhost}", nil, nil, `config.yaml:1: admin.address: "localhost" is not an address like 127.0.0.1:4222`},
		{"a range that is none", "\nadmin: {allowed_ips: [10.0.0.0/8, 10.0.0.0/33]}", nil, nil, "config.yaml:2: admin.allowed_ips: entry 2 is not an address like 192.0.2.1 or a range like 192.0.2.0/24"},
		{"a proxy's name", "\ntrusted_proxies: [proxy.example]", nil, nil, "config.yaml:2: trusted_proxies: entry 1 is not an address like 192.0.2.1 or a range like 192.0.2.0/24"},
		{"everybody a proxy", "trusted_proxies: [10.0.0.0/8, '::/0']", nil, nil, "config.yaml:1: trusted_proxies: entry 2 trusts everybody"},
		{"a broker's name without a port", "nats: {advertise: api1.example.org}", nil, nil, `config.yaml:1: nats.advertise: "api1.example.org" is not an address like api1.example.org:4222`},
		{"a broker's name that nobody can call", "nats: {advertise: '0.0.0.0:4222'}", nil, nil, `config.yaml:1: nats.advertise: "0.0.0.0:4222" is where to listen, not an address that others can call, like api1.example.org:4222`},
		{"an unknown key of a pool", "auth:\n  pools:\n    mine: {keys: [a]}\n", nil, nil, "config.yaml:3: auth.pools.mine.keys: unknown key (did you mean auth.pools.mine.api_keys?)"},
		{"a broker's certificate alone", "nats:\n  tls: {cert: a.pem}\n", nil, nil, "config.yaml:2: nats.tls.cert: needs nats.tls.key beside it"},
		{"a broker's key alone", "nats:\n  tls: {key: a.pem}\n", nil, nil, "config.yaml:2: nats.tls.key: needs nats.tls.cert beside it"},
		{"a certificate alone", "tls: {cert: a.pem}", nil, nil, "config.yaml:1: tls.cert: needs tls.key beside it"},
		{"a certificate's key alone", "\ntls: {key: a.pem}", nil, nil, "config.yaml:2: tls.key: needs tls.cert beside it"},
		{"a variable's name with =", "worker: {cli: {env: {A=B: c}}}", nil, nil, "config.yaml:1: worker.cli.env.A=B: is not a variable that a process can be given"},

		{"a tier without requests", "rate_limit:\n  by_tier:\n    gold: {period: 1s}\n", nil, nil, "config.yaml:3: rate_limit.by_tier.gold.period: needs a number of requests beside it; 0 is no limit"},
		{"a tier of nothing", "rate_limit:\n  by_tier:\n    gold:\n", nil, nil, "config.yaml:3: rate_limit.by_tier.gold: has no keys below it"},
		{"a tier that is a value", "rate_limit: {by_tier: {gold: 5}}", nil, nil, "config.yaml:1: rate_limit.by_tier.gold: needs keys below it, not a value"},
		{"a tier's name in capitals", "rate_limit: {by_tier: {Gold: {requests: 1}}}", nil, nil, `config.yaml:1: rate_limit.by_tier.Gold.requests: "Gold" is not a tier's name: small letters, digits, - and _ only`},
		{"a tier's period too long", "rate_limit: {by_tier: {basic: {period: 2h}}}", nil, nil, "config.yaml:1: rate_limit.by_tier.basic.period: a rate's period is 1s to 1h0m0s"},
		{"an unknown key of a tier", "rate_limit: {by_tier: {basic: {request: 1}}}", nil, nil, "config.yaml:1: rate_limit.by_tier.basic.request: unknown key (did you mean rate_limit.by_tier.basic.requests?)"},
		{"a tier by --set without a key", "", nil, []string{"--set=rate_limit.by_tier.gold=5"}, "--set rate_limit.by_tier.gold: unknown key (a section: name one of its keys)"},
		{"the tiers by --set", "", nil, []string{"--set=rate_limit.by_tier=5"}, "--set rate_limit.by_tier: names no entry, write rate_limit.by_tier.<name>.requests"},
		{"a limit below zero", "rate_limit: {max_concurrent: -1}", nil, nil, `config.yaml:1: rate_limit.max_concurrent: "-1" is less than 0`},
		{"a list of sections without its marks", "upstream:\n  url: https://a\n", nil, nil, "config.yaml:1: upstream: needs a list of sections, each begun with -"},
		{"a section of a list that is a value", "upstream:\n  - https://a\n", nil, nil, "config.yaml:2: upstream.1: needs keys below it, not a value"},
		{"an empty section of a list", "upstream:\n  -\n", nil, nil, "config.yaml:2: upstream.1: has no keys below it"},
		{"an unknown key of the second upstream", "upstream:\n  - url: https://a\n  - url: https://b\n    apikey: x\n", nil, nil, "config.yaml:4: upstream.2.apikey: unknown key (did you mean upstream.2.api_key?)"},
		{"an upstream that is no URL", "upstream:\n  - name: a\n    url: ftp://hunter2\n", nil, nil, "config.yaml:3: upstream.1.url: the URL is not a root like https://api.anthropic.com"},
		{"an upstream without a URL", "upstream:\n  - name: a\n", nil, nil, "upstream.1.url: the URL is not a root like https://api.anthropic.com"},
		{"two upstreams of one name", "upstream: [{url: 'https://a', name: a}, {url: 'https://b', name: a}]", nil, nil, `config.yaml:1: upstream.2.name: "a" is not a name of its own: letters, digits, ., - and _ only`},
		{"too many retries", "upstream: [{url: 'https://a', max_retries: 11}]", nil, nil, `config.yaml:1: upstream.1.max_retries: "11" is not between 0 and 10`},
		{"an upstream that is left out", "upstream: [{url: 'https://a'}]", nil, []string{"--set=upstream.3.url=https://c"}, "--set upstream.3.url: there is no number 2 before it"},
		{"an upstream without a number", "", []string{"MAXRELAY_UPSTREAM_FIRST_URL=https://a"}, nil, "MAXRELAY_UPSTREAM_FIRST_URL: numbers no entry: they count from 1"},

		{"a missing --config", "", nil, []string{"--config=gone.yaml"}, "--config: open gone.yaml: no such file or directory"},
		{"a missing MAXRELAY_CONFIG", "", []string{"MAXRELAY_CONFIG=gone.yaml"}, nil, "MAXRELAY_CONFIG: open gone.yaml: no such file or directory"},
		{"several at once, from all sources", "port: x\nqueue: {timeout: x}", []string{"MAXRELAY_PORTS=1"}, []string{"--port=y"}, strings.Join([]string{
			`config.yaml:1: port: "x" is not a whole number`,
			`config.yaml:2: queue.timeout: "x" is not a duration like 750ms, 90s or 10m`,
			`MAXRELAY_PORTS: unknown key (did you mean MAXRELAY_PORT?)`,
			`--port: "y" is not a whole number`,
		}, "\n")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.file, tt.environ, tt.args...)
			if err == nil {
				t.Fatalf("it was accepted; want %s", tt.want)
			}
			if err.Error() != tt.want {
				t.Errorf("got  %s\nwant %s", err, tt.want)
			}
		})
	}
}

func TestMemoryLimitOfAMachine(t *testing.T) {
	tests := []struct {
		limit Memory
		total int64
		want  int64
	}{
		{Memory{Percent: 60}, 8_000_000_000, 4_800_000_000},
		{Memory{Percent: 100}, 1 << 50, 1 << 50},
		{Memory{Bytes: 4 << 30}, 1 << 30, 4 << 30},
	}
	for _, tt := range tests {
		if got := tt.limit.Of(tt.total); got != tt.want {
			t.Errorf("%s of %d is %d, want %d", tt.limit, tt.total, got, tt.want)
		}
	}
}
