// Package admin is the management API under /admin: signing in, managed keys, and the record of who changed what.
package admin

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/gorilla/mux"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"maxrelay/api/key"
	"maxrelay/queue"
)

// Config is the configuration of an Admin. Zero fields take the defaults given here.
type Config struct {
	Username string       // "admin"
	Password string       // plain, or sha256: and its hash in hexadecimal form; required
	Networks key.Networks // that may call; all
	Replicas int          // copies of each event in a cluster, 1

	Members    *queue.Registry                // of the workers that join; none, with a broker that is not ours
	Owner      *queue.Owner                   // of the queue whose workers are managed; none, and then their routes are not there
	Tiers      func() []string                // of request rates that a key may have; basic, premium, unlimited
	ClientAddr func(*http.Request) netip.Addr // whose address counts; the connection's peer
	Usage      func(keyID string) Usage       // what a key has used; nothing
	Now        func() time.Time               // time.Now
}

// Usage is what a key has used since it was created.
type Usage struct {
	Tokens, Requests, Errors int64
	LastUsed                 time.Time // zero: never
}

func (c Config) withDefaults() Config {
	c.Username = cmp.Or(c.Username, "admin")
	c.Replicas = cmp.Or(c.Replicas, 1)
	if c.Tiers == nil {
		c.Tiers = func() []string { return []string{"basic", "premium", "unlimited"} }
	}
	if c.ClientAddr == nil {
		c.ClientAddr = key.Peer
	}
	if c.Usage == nil {
		c.Usage = func(string) Usage { return Usage{} }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Admin answers the management API. It has no goroutines and needs no end.
type Admin struct {
	cfg      Config
	log      zerolog.Logger
	store    *key.Store
	password password
	tokens   tokens
	attempts attempts
	audit    *audit
}

// Open creates what the broker keeps for it. The connection and the store stay the
// caller's.
func Open(ctx context.Context, nc *nats.Conn, store *key.Store, cfg Config, log zerolog.Logger) (*Admin, error) {
	cfg = cfg.withDefaults()
	a := &Admin{cfg: cfg, log: log, store: store, attempts: attempts{now: cfg.Now}}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("management: %w", err)
	}
	if a.password, err = parsePassword(cfg.Password); err != nil {
		return nil, fmt.Errorf("management: %w", err)
	}
	if a.tokens, err = openTokens(ctx, js, cfg, a.password); err != nil {
		return nil, err
	}
	if a.audit, err = openAudit(ctx, js, cfg.Replicas); err != nil {
		return nil, err
	}
	return a, nil
}

// Routes adds all routes. Paths and methods that are not there are the router's own to
// answer: in a subrouter a wrong method would look like an unknown path (mux 1.8.1).
func (a *Admin) Routes(r *mux.Router) {
	add := func(method, path string, h handler) { r.Handle("/admin"+path, a.serve(h)).Methods(method) }
	add(http.MethodPost, "/login", a.admitted(a.login))

	add(http.MethodPost, "/api-keys", a.signedIn(a.createKey))
	add(http.MethodGet, "/api-keys", a.signedIn(a.listKeys))
	add(http.MethodGet, "/api-keys/{id}", a.signedIn(a.showKey))
	add(http.MethodPatch, "/api-keys/{id}", a.signedIn(a.updateKey))
	add(http.MethodDelete, "/api-keys/{id}", a.signedIn(a.deleteKey))
	add(http.MethodPost, "/api-keys/{id}/disable", a.signedIn(a.disableKey))
	add(http.MethodPost, "/api-keys/{id}/enable", a.signedIn(a.enableKey))
	add(http.MethodPost, "/api-keys/{id}/rotate", a.signedIn(a.rotateKey))
	add(http.MethodGet, "/api-keys/{id}/stats", a.signedIn(a.showStats))

	add(http.MethodGet, "/audit", a.signedIn(a.listAudit))

	if a.cfg.Owner == nil {
		return
	}
	add(http.MethodGet, "/workers", a.signedIn(a.listWorkers))
	add(http.MethodPost, "/workers", a.signedIn(a.inviteWorker))
	add(http.MethodDelete, "/workers/{name}", a.signedIn(a.revokeWorker))
	add(http.MethodGet, "/queue", a.signedIn(a.showQueue))
	add(http.MethodGet, "/sessions", a.signedIn(a.listSessions))
	add(http.MethodPost, "/workers/{id}/drain", a.signedIn(a.drainWorker))
	add(http.MethodPost, "/workers/{id}/resume", a.signedIn(a.resumeWorker))
}

// Protect lets only requests of a signed-in administrator through, for management
// routes of others. What is wrong with a request they tell by a *chat.Error.
func (a *Admin) Protect(answer func(http.ResponseWriter, *http.Request) error) http.Handler {
	return a.serve(a.signedIn(answer))
}

// SignedIn reports whether the request is a signed-in administrator's, for routes that
// tell one more than others.
func (a *Admin) SignedIn(r *http.Request) bool {
	return a.cfg.Networks.Admit(a.cfg.ClientAddr(r)) && a.authenticate(r) == nil
}

// handler answers a request or says why not.
type handler func(http.ResponseWriter, *http.Request) error

func (a *Admin) serve(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store") // answers hold secrets and tokens
		if err := h(w, r); err != nil {
			a.fail(w, err)
		}
	})
}

// admitted is the check that comes before all others: addresses that may not manage
// learn nothing, not even whether a password is right.
func (a *Admin) admitted(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if !a.cfg.Networks.Admit(a.cfg.ClientAddr(r)) {
			return failure{status: http.StatusForbidden, kind: "permission_error", message: "management is not open to this address"}
		}
		return h(w, r)
	}
}

func (a *Admin) signedIn(h handler) handler {
	return a.admitted(func(w http.ResponseWriter, r *http.Request) error {
		if err := a.authenticate(r); err != nil {
			w.Header().Set("WWW-Authenticate", `Bearer realm="maxrelay"`)
			return err
		}
		return h(w, r)
	})
}

func (a *Admin) authenticate(r *http.Request) error {
	token, found := bearer(r)
	if !found {
		return unauthenticated("sign in with POST /admin/login and send its token as Authorization: Bearer TOKEN")
	}
	if err := a.tokens.check(token); err != nil {
		return unauthenticated("the token is not valid, or no longer: sign in again")
	}
	return nil
}
