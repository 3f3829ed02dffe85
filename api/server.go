package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"
	"github.com/rs/zerolog"

	"maxrelay/api/limit"
	"maxrelay/api/upstream"
	"maxrelay/queue"
	"maxrelay/stats"
)

// lastWords is how long cancelled answers may take to say so and to be recorded.
const lastWords = 8 * time.Second

// errStopping is the cause of requests that a closing server cancels.
var errStopping = errors.New("server is stopping")

// Server is the HTTP node.
type Server struct {
	cfg      Config
	live     atomic.Pointer[live]
	owner    *queue.Owner
	limits   *limit.Limiter
	recorder *stats.Recorder
	estimate stats.Estimator
	meters   *meters
	log      zerolog.Logger
	started  time.Time

	clients    door
	management door // not open unless Config.AdminApart is set

	forwarder *upstream.Forwarder

	bodies  *budget        // of bytes of request bodies
	answers *answers       // to requests with an Idempotency-Key
	making  sync.WaitGroup // the goroutines that make them

	running context.Context // of all requests; its end cancels them
	cancel  context.CancelCauseFunc
	serving sync.WaitGroup // the goroutines of Serve
}

// New returns a server that is not listening yet. The owner, the limiter and the recorder
// stay the caller's to close, after Close.
func New(cfg Config, owner *queue.Owner, limits *limit.Limiter, recorder *stats.Recorder, logger zerolog.Logger) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, owner: owner, limits: limits, recorder: recorder, meters: newMeters(cfg.Models), log: logger, started: time.Now()}
	s.running, s.cancel = context.WithCancelCause(context.Background())
	s.bodies = newBudget(cfg.BodyBudget, max(cfg.BodyLimit, cfg.BodyBudget/4*3))
	s.answers = newAnswers(maxAnswers)
	s.Change(cfg)
	var err error
	if s.forwarder, err = upstream.New(upstream.Config{Upstreams: cfg.Upstreams, Estimate: s.estimate.Tokens}, logger); err != nil {
		return nil, err
	}
	s.clients = s.newDoor(s.clientRoutes(), s.guard)
	s.management = s.newDoor(s.managementRoutes(s.newRouter()), s.guardManagement)
	return s, nil
}

const (
	healthRoute   = "/health"
	modelsRoute   = "/v1/models"
	chatRoute     = "/v1/chat/completions"
	messagesRoute = upstream.MessagesPath
	countRoute    = upstream.CountTokensPath
)

// clientRoutes is all there is here. A path that is not is passed on to an upstream or
// answered with 404, a method that is not with 405.
func (s *Server) clientRoutes() *mux.Router {
	r := s.newRouter()
	r.NotFoundHandler = s.serve(s.elsewhere)
	r.MethodNotAllowedHandler = s.serve(s.withKey(func(x *exchange, q *http.Request) error { return wrongMethod(r, x, q) }))
	read := []string{http.MethodGet, http.MethodHead}
	r.Handle(healthRoute, s.serve(s.health)).Methods(read...)
	if s.cfg.Metrics != nil {
		r.Handle(metricsRoute, s.serve(s.showMetrics)).Methods(read...)
	}
	r.Handle(modelsRoute, s.serve(s.authenticated(s.listModels))).Methods(read...)
	r.Handle(modelsRoute+"/{id}", s.serve(s.authenticated(s.getModel))).Methods(read...)
	r.Handle(chatRoute, s.serve(s.authenticated(s.ask))).Methods(http.MethodPost)
	if !s.forwarder.Keyed() { // whose answer is the real one
		r.Handle(messagesRoute, s.serve(s.authenticated(s.ask))).Methods(http.MethodPost)
		r.Handle(countRoute, s.serve(s.authenticated(noCount))).Methods(http.MethodPost)
	}
	if u := s.cfg.Usage; u != nil {
		r.Handle("/api/usage", s.serve(s.ofCaller(u.Summary))).Methods(read...)
		r.Handle("/api/usage/daily", s.serve(s.ofCaller(u.Daily))).Methods(read...)
		r.Handle("/api/usage/logs", s.serve(s.ofCaller(u.Logs))).Methods(read...)
		r.Handle("/api/usage/quota", s.serve(s.ofCaller(u.Quota))).Methods(read...)
	}
	if s.cfg.AdminApart {
		return r
	}
	return s.managementRoutes(r)
}

// managementRoutes adds those that want an administrator's token.
func (s *Server) managementRoutes(r *mux.Router) *mux.Router {
	if s.cfg.Admin != nil {
		s.cfg.Admin.Routes(r)
		if s.cfg.Usage != nil {
			r.Handle("/admin/usage", s.cfg.Admin.Protect(s.cfg.Usage.Overview)).Methods(http.MethodGet, http.MethodHead)
		}
	}
	return r
}

// Open listens on addr, so that a taken port is an error here, and serves in the
// background until Close.
func (s *Server) Open(addr string) error { return s.open(&s.clients, addr) }

// OpenAdmin does so for management, where that is apart.
func (s *Server) OpenAdmin(addr string) error { return s.open(&s.management, addr) }

// Addr is the address of the listener. It is there after Open.
func (s *Server) Addr() net.Addr { return s.clients.listen.Addr() }

// URL is the server's root, for clients on this machine.
func (s *Server) URL() string { return s.clients.url() }

// AdminURL is management's root. It is there after OpenAdmin.
func (s *Server) AdminURL() string { return s.management.url() }

// Close stops the intake and lets running answers finish until ctx ends. Those that
// are left then are cancelled and recorded as such.
func (s *Server) Close(ctx context.Context) error {
	err := s.shutdown(ctx)
	s.cancel(errStopping)
	if err != nil {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		if err = s.shutdown(last); err != nil {
			err = errors.Join(err, s.clients.http.Close(), s.management.http.Close())
		}
	}
	s.serving.Wait()
	s.making.Wait()
	s.forwarder.Close()
	if err != nil {
		return fmt.Errorf("closing the http server: %w", err)
	}
	return nil
}
