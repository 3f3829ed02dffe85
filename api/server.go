package api

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/mux"
	"github.com/rs/zerolog"
	"golang.org/x/sync/semaphore"

	"maxrelay/queue"
	"maxrelay/stats"
)

const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10

	// lastWords is how long cancelled answers may take to say so and to be recorded.
	lastWords = 8 * time.Second
)

// errStopping is the cause of requests that a closing server cancels.
var errStopping = errors.New("server is stopping")

// Server is the HTTP node.
type Server struct {
	cfg      Config
	owner    *queue.Owner
	recorder *stats.Recorder
	estimate stats.Estimator
	meters   *meters
	log      zerolog.Logger
	started  time.Time

	router *mux.Router
	http   *http.Server
	listen net.Listener // set by Open

	bodies  *semaphore.Weighted // bytes of request bodies
	answers *answers            // to requests with an Idempotency-Key
	making  sync.WaitGroup      // the goroutines that make them

	running context.Context // of all requests; its end cancels them
	cancel  context.CancelCauseFunc
	serving sync.WaitGroup // the goroutine of Serve
}

// New returns a server that is not listening yet. The owner and the recorder stay the
// caller's to close, after Close.
func New(cfg Config, owner *queue.Owner, recorder *stats.Recorder, logger zerolog.Logger) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, owner: owner, recorder: recorder, meters: newMeters(cfg.Models), log: logger, started: time.Now()}
	s.running, s.cancel = context.WithCancelCause(context.Background())
	s.bodies = semaphore.NewWeighted(cfg.BodyBudget)
	s.answers = newAnswers(maxAnswers)
	s.router = s.routes()
	s.http = &http.Server{
		Handler:           s.observe(s.guard(s.router)),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(logger.With().Str("from", "net/http").Logger(), "", 0),
		BaseContext:       func(net.Listener) context.Context { return s.running },
	}
	return s, nil
}

const (
	healthRoute = "/health"
	chatRoute   = "/v1/chat/completions"
)

// routes is all there is. A path that is not here is answered with 404, a method that
// is not here with 405.
func (s *Server) routes() *mux.Router {
	r := mux.NewRouter().SkipClean(true)
	r.Use(noteRoute)
	r.NotFoundHandler = s.serve(s.notFound)
	r.MethodNotAllowedHandler = s.serve(s.wrongMethod)

	read := []string{http.MethodGet, http.MethodHead}
	r.Handle(healthRoute, s.serve(s.health)).Methods(read...)
	if s.cfg.Metrics != nil {
		r.Handle(metricsRoute, s.serve(s.showMetrics)).Methods(read...)
	}
	r.Handle("/v1/models", s.serve(s.authenticated(s.listModels))).Methods(read...)
	r.Handle("/v1/models/{id}", s.serve(s.authenticated(s.getModel))).Methods(read...)
	r.Handle(chatRoute, s.serve(s.authenticated(s.chatCompletions))).Methods(http.MethodPost)
	return r
}

// Open listens on addr, so that a taken port is an error here, and serves in the
// background until Close.
func (s *Server) Open(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("http listener: %w", err)
	}
	s.listen = l
	s.serving.Go(func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error().Err(err).Msg("http listener failed")
		}
	})
	return nil
}

// Addr is the address of the listener. It is there after Open.
func (s *Server) Addr() net.Addr { return s.listen.Addr() }

// URL is the server's root, for clients on this machine.
func (s *Server) URL() string { return "http://" + s.listen.Addr().String() }

// Close stops the intake and lets running answers finish until ctx ends. Those that
// are left then are cancelled and recorded as such.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	s.cancel(errStopping)
	if err != nil {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
		defer cancel()
		if err = s.http.Shutdown(last); err != nil {
			err = errors.Join(err, s.http.Close())
		}
	}
	s.serving.Wait()
	s.making.Wait()
	if err != nil {
		return fmt.Errorf("closing the http server: %w", err)
	}
	return nil
}
