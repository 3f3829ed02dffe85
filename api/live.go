package api

import "maxrelay/api/key"

// live is the part of a Config that can change while the server runs. It is replaced as
// a whole and never written into.
type live struct {
	keys    *key.Keys
	origins []string
	models  map[string]string
}

// Change puts the Keys, Origins and Models of a Config into force for requests that come
// from now on. The rest of it cannot change and is not looked at.
func (s *Server) Change(cfg Config) {
	cfg = cfg.withDefaults()
	s.live.Store(&live{keys: cfg.Keys, origins: cfg.Origins, models: cfg.Models})
}
