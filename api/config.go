package api

import (
	"cmp"
	"crypto/tls"
	"errors"
	"net/http"
	"time"

	"maxrelay/api/admin"
	"maxrelay/api/key"
	"maxrelay/api/upstream"
	"maxrelay/api/usage"
)

// Config is the configuration of a Server. Zero fields take the defaults given here.
type Config struct {
	Version string      // of this program, told by /health
	Keys    *key.Keys   // who may call; required
	Proxies key.Proxies // whose word on where a request came from is taken; none
	TLS     *tls.Config // of all listeners; plain HTTP

	Admin      *admin.Admin // management; none, and then its paths are not there
	AdminApart bool         // management is only at the address of OpenAdmin
	Usage      *usage.Usage // what callers and administrators may ask about usage; none, and then its paths are not there

	// Noted is told how a request's conversation begins, before the request is recorded;
	// nothing, and then nobody looks.
	Noted func(request, firstMessage string)

	Upstreams []upstream.Upstream // that paths which are not ours are passed on to, tried in this order; none

	Pending func() string // why there may be no worker yet, told by /health; nothing

	Broker func() string // what an operator should know of the broker, told by /health; nothing

	Metrics http.Handler // what GET /metrics tells callers on this machine; nothing, and then the path is not there

	Host    string            // a Host header that is allowed besides loopback ones where no key is required, ""
	Origins []string          // origins, like https://chat.example.org, whose pages may call; none
	Models  map[string]string // a client's model id to the CLI's name, DefaultModels

	OwnPrompt int64 // tokens that the CLI adds to every prompt, reserved with it, 0

	BodyLimit   int64         // bytes of a request body, 50 MB
	BodyBudget  int64         // bytes of the bodies of all requests at a time, 512 MB, of which one caller gets three quarters; each costs about three times that in memory
	BodyIdle    time.Duration // longest pause of a client that sends its body, 30 s
	BodyTimeout time.Duration // longest time a body may take in all, 10 min

	Heartbeat     time.Duration // silence after which a stream gets a comment, 15 s
	WriteTimeout  time.Duration // longest time a client may take for one write, 60 s
	TurnTimeout   time.Duration // longest life of a request, waiting included, 30 min
	RecordTimeout time.Duration // longest time a request waits for its usage event, 500 ms

	Now func() time.Time // by whose days requests are counted, time.Now
}

func (c Config) withDefaults() Config {
	if c.Pending == nil {
		c.Pending = func() string { return "" }
	}
	if c.Broker == nil {
		c.Broker = func() string { return "" }
	}
	if c.Models == nil {
		c.Models = DefaultModels
	}
	c.BodyLimit = cmp.Or(c.BodyLimit, 50<<20)
	c.BodyBudget = cmp.Or(c.BodyBudget, 512<<20)
	c.BodyIdle = cmp.Or(c.BodyIdle, 30*time.Second)
	c.BodyTimeout = cmp.Or(c.BodyTimeout, 10*time.Minute)
	c.Heartbeat = cmp.Or(c.Heartbeat, 15*time.Second)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, time.Minute)
	c.TurnTimeout = cmp.Or(c.TurnTimeout, 30*time.Minute)
	c.RecordTimeout = cmp.Or(c.RecordTimeout, 500*time.Millisecond)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func (c Config) validate() error {
	if c.Keys == nil {
		return errors.New("api: no keys configured")
	}
	if min(c.BodyIdle, c.BodyTimeout, c.Heartbeat, c.WriteTimeout, c.TurnTimeout, c.RecordTimeout) < 0 || c.BodyLimit < 0 {
		return errors.New("api: a limit is negative")
	}
	if c.BodyBudget < c.BodyLimit {
		return errors.New("api: the budget of all bodies is below the limit of one")
	}
	return nil
}

// DefaultModels maps the ids that clients know to the CLI's aliases.
var DefaultModels = map[string]string{
	"claude-opus-4":     "opus",
	"claude-opus-4-6":   "opus",
	"claude-sonnet-4":   "sonnet",
	"claude-sonnet-4-6": "sonnet",
	"claude-haiku-4":    "haiku",
}
