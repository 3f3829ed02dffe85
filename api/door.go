package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/gorilla/mux"
	"golang.org/x/sync/errgroup"
)

const (
	headerTimeout  = 10 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
)

// door is a listener and the routes behind it.
type door struct {
	router *mux.Router
	http   *http.Server
	scheme string
	listen *listener // set by open
	coming *arrivals
}

// newDoor speaks HTTP/1.1 only: HTTP/2 has no deadline for headers (Go 1.26).
func (s *Server) newDoor(routes *mux.Router, guard func(http.Handler) http.Handler) door {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	d := door{router: routes, scheme: "http", coming: newArrivals(), http: &http.Server{
		Handler:           s.observe(guard(routes)),
		Protocols:         protocols,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(s.log.With().Str("from", "net/http").Logger(), "", 0),
		BaseContext:       func(net.Listener) context.Context { return s.running },
	}}
	d.coming.watch(d.http)
	return d
}

// newRouter has no route yet, and answers for those that it does not have.
func (s *Server) newRouter() *mux.Router {
	r := mux.NewRouter().SkipClean(true)
	r.Use(noteRoute)
	r.NotFoundHandler = s.serve(s.notFound)
	r.MethodNotAllowedHandler = s.serve(func(x *exchange, q *http.Request) error { return wrongMethod(r, x, q) })
	return r
}

func (s *Server) open(d *door, addr string) (err error) {
	if d.listen, err = listen(addr); err != nil {
		return fmt.Errorf("http listener: %w", err)
	}
	l := net.Listener(d.listen)
	if s.cfg.TLS != nil {
		l = tls.NewListener(l, s.cfg.TLS)
		d.scheme = "https"
	}
	s.serving.Go(func() {
		if err := d.http.Serve(l); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			s.log.Error().Err(err).Msg("http listener failed")
		}
	})
	return nil
}

// url is the root of the routes, for clients on this machine.
func (d *door) url() string { return d.scheme + "://" + d.listen.Addr().String() }

// shutdown stops the intake at both doors and waits for the answers that run.
func (s *Server) shutdown(ctx context.Context) error {
	var both errgroup.Group
	both.Go(func() error { return s.clients.shutdown(ctx) })
	both.Go(func() error { return s.management.shutdown(ctx) })
	return both.Wait()
}

func (d *door) shutdown(ctx context.Context) error {
	if d.listen != nil {
		d.listen.stop()
		select {
		case <-d.listen.stopped:
		case <-ctx.Done():
		}
		d.coming.settle(ctx)
	}
	return d.http.Shutdown(ctx)
}
