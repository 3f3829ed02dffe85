package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"maxrelay/api"
	"maxrelay/api/key"
	"maxrelay/api/limit"
)

// Config is everything an operator can set.
//
// The tags are the whole schema: koanf is the key, min and max bound a number, oneof lists the words allowed,
// secret marks what must not reach an error or a log line ("login" hides only the user info of a URL),
// and reload marks what SIGHUP puts into force; the rest is looked at only when the program starts.
// A map is a table whose entries the operator names; an entry adds to the defaults or replaces one. A list of
// sections has numbered entries. What an entry that is a section leaves out is its field's default tag.
type Config struct {
	Host    string            `koanf:"host"`
	Port    int               `koanf:"port" max:"65535"` // 0 picks a free one
	TLS     TLSConfig         `koanf:"tls"`              // of HTTP; none for plain HTTP
	Proxies []string          `koanf:"trusted_proxies"`  // addresses and CIDR ranges
	DataDir string            `koanf:"data_dir"`
	Auth    AuthConfig        `koanf:"auth"`
	Admin   AdminConfig       `koanf:"admin"`
	CORS    CORSConfig        `koanf:"cors"`
	Models  map[string]string `koanf:"models" reload:"true"` // id a client asks for → model the CLI runs
	Prices  Prices            `koanf:"prices" reload:"true"` // by the id a client asks for
	Limit   LimitConfig       `koanf:"rate_limit"`
	Forward []UpstreamConfig  `koanf:"upstream"`
	Queue   QueueConfig       `koanf:"queue"`
	NATS    NATSConfig        `koanf:"nats"`
	Cache   CacheConfig       `koanf:"cache"`
	Stats   StatsConfig       `koanf:"stats"`
	PerDay  int               `koanf:"max_requests_per_day" min:"1" max:"10000"` // in Stats.File
	Worker  WorkerConfig      `koanf:"worker"`
	Metrics MetricsConfig     `koanf:"metrics"`
	Log     LogConfig         `koanf:"log"`
}

// TLSConfig is a certificate of the operator's: both files, PEM, or none.
type TLSConfig struct {
	Cert string `koanf:"cert"`
	Key  string `koanf:"key"`
}

// AuthConfig says who may call.
type AuthConfig struct {
	Enabled bool     `koanf:"enabled"`
	APIKeys []string `koanf:"api_keys" secret:"all" reload:"true"` // as clients send them, or sha256:<hex of the key's hash>

	Pools map[string]PoolConfig `koanf:"pools" reload:"true"` // by name
}

// keysOf returns the configuration's keys of a pool.
func (c AuthConfig) keysOf(pool string) []string {
	if pool == key.DefaultPool {
		return slices.Concat(c.APIKeys, c.Pools[pool].APIKeys)
	}
	return c.Pools[pool].APIKeys
}

// PoolConfig has the keys that are not of the default pool.
type PoolConfig struct {
	APIKeys []string `koanf:"api_keys" secret:"all"`
}

// AdminConfig says who may manage, and where.
type AdminConfig struct {
	Username   string   `koanf:"username"`
	Password   string   `koanf:"password" secret:"all"` // plain or sha256:<hex of its hash>; "": the one in the data folder
	Address    string   `koanf:"address"`               // "": the HTTP listener
	AllowedIPs []string `koanf:"allowed_ips"`           // addresses and CIDR ranges; none: all
}

// CORSConfig says which web pages may call.
type CORSConfig struct {
	Origins []string `koanf:"origins" reload:"true"` // like https://chat.example.org
}

// LimitConfig bounds what a key may ask. The numbers but MaxConcurrent and ByTier hold for the built-in key and each
// static one; 0 is no limit.
type LimitConfig struct {
	MaxRequestsPerMinute int                   `koanf:"max_requests_per_minute" max:"100000" reload:"true"`
	MaxTokensPerDay      int                   `koanf:"max_tokens_per_day" max:"9007199254740992" reload:"true"` // that JSON has exactly
	MaxConcurrent        int                   `koanf:"max_concurrent" reload:"true"`                            // of any key, on one API node
	ByTier               map[string]TierConfig `koanf:"by_tier" reload:"true"`                                   // of managed keys
}

// TierConfig is a request rate; no requests are no limit.
type TierConfig struct {
	Requests int           `koanf:"requests" max:"100000"`
	Period   time.Duration `koanf:"period" default:"60s"`
}

// StatsConfig is what is kept of usage beside the record.
type StatsConfig struct {
	File         string `koanf:"file"`          // "": none
	FirstMessage bool   `koanf:"first_message"` // in the file
}

// Prices is the price table.
type Prices map[string]PriceConfig

// PriceConfig is what a million tokens cost in US dollars.
type PriceConfig struct {
	Input      float64 `koanf:"input"`
	Output     float64 `koanf:"output"`
	CacheRead  float64 `koanf:"cache_read"`
	CacheWrite float64 `koanf:"cache_write"`
}

// UpstreamConfig is a Messages API that requests are passed on to.
type UpstreamConfig struct {
	Name       string        `koanf:"name"` // "": the host of URL
	URL        string        `koanf:"url" secret:"login"`
	APIKey     string        `koanf:"api_key" secret:"all"`
	Timeout    time.Duration `koanf:"timeout" default:"10m"`
	MaxRetries int           `koanf:"max_retries" max:"10" default:"2"`
}

// QueueConfig bounds how long and how many requests wait.
type QueueConfig struct {
	Timeout          time.Duration `koanf:"timeout"`
	StickyWait       time.Duration `koanf:"sticky_wait"`
	MaxWaiting       int           `koanf:"max_waiting" min:"1"`
	MaxWaitingPerKey int           `koanf:"max_waiting_per_key" min:"1"`
	MaxAttempts      int           `koanf:"max_attempts" min:"1"`
}

// NATSConfig is the broker: an embedded one, or the cluster at URL.
type NATSConfig struct {
	URL         string `koanf:"url" secret:"login"`
	Listen      string `koanf:"listen"`     // "" opens no listener: only this process can connect
	Advertise   string `koanf:"advertise"`  // host:port for workers on other machines; "": Listen, by the machine's name
	Store       string `koanf:"store"`      // LoadConfig fills in <data_dir>/nats
	TokenFile   string `koanf:"token_file"` // LoadConfig fills in <data_dir>/nats.token
	Credentials string `koanf:"credentials" secret:"all"`

	TLS     TLSConfig     `koanf:"tls"` // of the listener, beside the certificate that it makes itself
	Cluster ClusterConfig `koanf:"cluster"`
}

// ClusterConfig joins the embedded brokers of several API nodes, if it has routes.
type ClusterConfig struct {
	Name      string   `koanf:"name"`
	Listen    string   `koanf:"listen"`
	Advertise string   `koanf:"advertise"` // host:port, "" for where it listens
	Routes    []string `koanf:"routes"`    // host:port of the nodes
	Secret    string   `koanf:"secret" secret:"all"`
	Replicas  int      `koanf:"replicas" max:"5"` // LoadConfig fills in 3 for a cluster of embedded brokers, else 1
}

func (c ClusterConfig) on() bool { return len(c.Routes) > 0 }

// CacheConfig is how prompts use the upstream's cache.
type CacheConfig struct {
	TTL       string `koanf:"ttl" oneof:"5m 1h"`
	MinTokens int    `koanf:"min_tokens"` // 0: every prompt is cached
}

// WorkerConfig bounds what this machine runs.
type WorkerConfig struct {
	Name              string        `koanf:"name"` // LoadConfig fills in the host's name
	Pools             []string      `koanf:"pools"`
	Slots             int           `koanf:"slots"`                // 0: as many as MemoryLimit has room for
	MaxSessions       int           `koanf:"max_sessions"`         // 0: as many as slots
	MaxSessionsPerKey int           `koanf:"max_sessions_per_key"` // idle ones; 0: half of MaxSessions
	MemoryLimit       Memory        `koanf:"memory_limit"`
	IdleTTL           time.Duration `koanf:"idle_ttl"`
	Spares            int           `koanf:"spares"`
	DrainTimeout      time.Duration `koanf:"drain_timeout"`
	CLI               CLIConfig     `koanf:"cli"`
}

// CLIConfig is how the worker starts the CLI and how long it waits for it.
type CLIConfig struct {
	Path             string            `koanf:"path"`
	Env              map[string]string `koanf:"env" secret:"all"`
	ConfigDir        string            `koanf:"config_dir"` // "": the operator's own
	Cwd              string            `koanf:"cwd"`        // "": an empty folder
	StartTimeout     time.Duration     `koanf:"start_timeout"`
	FirstByteTimeout time.Duration     `koanf:"first_byte_timeout"`
	IdleTimeout      time.Duration     `koanf:"idle_timeout"`
	TurnTimeout      time.Duration     `koanf:"turn_timeout"`
}

// MetricsConfig says where metrics are shown.
type MetricsConfig struct {
	Address string `koanf:"address"` // "": by the HTTP server, to this machine only
}

// LogConfig is what is logged, and in which form.
type LogConfig struct {
	Level  string `koanf:"level" oneof:"trace debug info warn error" reload:"true"`
	Format string `koanf:"format" oneof:"auto console json"`
}

func defaultConfig() Config {
	return Config{
		Host:    "127.0.0.1",
		Port:    3456,
		DataDir: "data",
		Admin:   AdminConfig{Username: "admin"},
		Models:  maps.Clone(api.DefaultModels),
		Prices:  defaultPrices(),
		Limit: LimitConfig{
			MaxRequestsPerMinute: 60,
			MaxTokensPerDay:      1_000_000,
			ByTier:               defaultTiers(),
		},
		Queue: QueueConfig{
			Timeout:          120 * time.Second,
			StickyWait:       750 * time.Millisecond,
			MaxWaiting:       2000,
			MaxWaitingPerKey: 256,
			MaxAttempts:      3,
		},
		NATS:   NATSConfig{Listen: "127.0.0.1:4222", Cluster: ClusterConfig{Name: "maxrelay", Listen: "0.0.0.0:6222"}},
		Cache:  CacheConfig{TTL: "5m", MinTokens: 1024},
		Stats:  StatsConfig{File: filepath.Join("log", "stats.json"), FirstMessage: true},
		PerDay: 200,
		Worker: WorkerConfig{
			Pools:        []string{"default"},
			MemoryLimit:  Memory{Percent: 60},
			IdleTTL:      10 * time.Minute,
			Spares:       1,
			DrainTimeout: 60 * time.Second,
			CLI: CLIConfig{
				Path:             "claude",
				StartTimeout:     10 * time.Second,
				FirstByteTimeout: 120 * time.Second,
				IdleTimeout:      300 * time.Second,
				TurnTimeout:      30 * time.Minute,
			},
		},
		Log: LogConfig{Level: "info", Format: "auto"},
	}
}

// defaultPrices are Anthropic's list prices for what DefaultModels and the CLI's aliases stand for (Opus 4.6, Sonnet 4.6,
// Haiku 4.5), with the cache that lives for 5 minutes.
func defaultPrices() Prices {
	prices := make(Prices)
	for model, price := range map[string]PriceConfig{
		"opus":   {Input: 5, Output: 25, CacheRead: 0.5, CacheWrite: 6.25},
		"sonnet": {Input: 3, Output: 15, CacheRead: 0.3, CacheWrite: 3.75},
		"haiku":  {Input: 1, Output: 5, CacheRead: 0.1, CacheWrite: 1.25},
	} {
		prices[model] = price
		for id, alias := range api.DefaultModels {
			if alias == model {
				prices[id] = price
			}
		}
	}
	return prices
}

// defaultTiers are those of the limits themselves. One without a limit has a period for whoever sets its requests.
func defaultTiers() map[string]TierConfig {
	tiers := make(map[string]TierConfig)
	for name, rate := range limit.DefaultTiers {
		tiers[name] = TierConfig{Requests: rate.Requests, Period: cmp.Or(rate.Period, time.Minute)}
	}
	return tiers
}

// LoadConfig merges, weakest first: the defaults, the file, the MAXRELAY_ variables of environ, the flags.
// Its error names every bad setting it found and where each stands, one a line, and holds no secret.
func LoadConfig(flags *pflag.FlagSet, environ []string) (Config, error) {
	file, fileErr := fileSettings(flags, environ)
	variables, variablesErr := environSettings(environ)
	options, optionsErr := flagSettings(flags)
	if err := errors.Join(fileErr, variablesErr, optionsErr); err != nil {
		return Config{}, err
	}

	origins := origins{}
	// No key holds the delimiter, unlike a dot, which model ids are full of.
	merged := koanf.New("\x00")
	began, err := entryDefaults(file, variables, options)
	if err := errors.Join(err, checkNumbers(file, variables, options)); err != nil {
		return Config{}, err
	}
	for _, source := range [][]setting{began, defaultSettings(), file, variables, options} {
		if err := merged.Load(confmap.Provider(tree(source), ""), nil); err != nil {
			return Config{}, fmt.Errorf("merge the configuration: %w", err)
		}
		origins.add(source)
	}
	var c Config
	decoding := koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{DecodeHook: mapstructure.DecodeHookFuncType(listHook)}}
	if err := merged.UnmarshalWithConf("", &c, decoding); err != nil {
		return Config{}, fmt.Errorf("read the merged configuration: %w", err)
	}
	if err := c.check(origins); err != nil {
		return Config{}, err
	}
	c.derive()
	return c, nil
}

// derive fills in the defaults that depend on another key or on the machine.
func (c *Config) derive() {
	c.NATS.Store = cmp.Or(c.NATS.Store, filepath.Join(c.DataDir, "nats"))
	c.NATS.TokenFile = cmp.Or(c.NATS.TokenFile, filepath.Join(c.DataDir, "nats.token"))
	if c.NATS.Cluster.Replicas == 0 {
		c.NATS.Cluster.Replicas = 1
		if c.NATS.Cluster.on() {
			c.NATS.Cluster.Replicas = 3
		}
	}
	if c.Worker.Name == "" {
		host, _ := os.Hostname() // a machine without a name still gets a label
		c.Worker.Name = cmp.Or(host, "worker")
	}
}
