package api

import "net/http"

// metricsRoute is there when Config.Metrics is.
const metricsRoute = "/metrics"

// showMetrics wants no key, so it answers callers on this machine only.
func (s *Server) showMetrics(x *exchange, r *http.Request) error {
	if !s.madeHere(r) {
		return forbidden("metrics are shown to callers on the server's own machine only, unless they have an address of their own")
	}
	s.cfg.Metrics.ServeHTTP(x, r)
	return nil
}
