package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// newRegistry is a program's own, so that several can run in one process.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

func (p *program) metricsHandler() http.Handler {
	return promhttp.HandlerFor(p.metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// sharedMetrics is what the HTTP server shows to callers on this machine, nothing when
// metrics have a listener of their own.
func (p *program) sharedMetrics() http.Handler {
	if p.cfg.Metrics.Address != "" {
		return nil
	}
	return p.metricsHandler()
}

// openMetrics serves metrics at metrics.address, if that is set, to everyone who can
// reach it.
func (p *program) openMetrics() error {
	address := p.cfg.Metrics.Address
	if address == "" {
		return nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("metrics.address: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", p.metricsHandler())
	server := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			p.log.Error().Err(err).Msg("metrics listener failed")
		}
	}()
	p.opened("metrics", func(context.Context) {
		server.Close()
		<-served
	})
	p.log.Info().Stringer("address", l.Addr()).Msg("metrics are served")
	return nil
}
