package api

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"maxrelay/api/key"
	"maxrelay/api/roster"
	"maxrelay/queue"
)

type health struct {
	Status    roster.State   `json:"status"` // ok or unavailable
	Provider  string         `json:"provider"`
	Timestamp time.Time      `json:"timestamp"`
	Version   string         `json:"version,omitempty"`
	Reason    string         `json:"reason,omitempty"`
	Workers   []workerHealth `json:"workers"`
	Warning   string         `json:"warning,omitempty"`
}

type workerHealth struct {
	Name       string       `json:"name"`
	State      roster.State `json:"state"`
	Slots      int          `json:"slots"`
	Busy       int          `json:"busy"`
	CLIVersion string       `json:"cli_version,omitempty"`

	// Told to callers on this machine and to administrators.
	Pools  []string `json:"pools,omitempty"`
	Reason string   `json:"reason,omitempty"`
}

// health says whether a request of the default pool would find a worker.
func (s *Server) health(x *exchange, r *http.Request) error {
	h := health{Status: roster.OK, Provider: "claude-code-cli", Timestamp: time.Now().UTC(), Version: s.cfg.Version, Workers: []workerHealth{}}
	workers, insider := s.owner.Workers(), s.isInsider(r)
	for _, w := range workers {
		h.Workers = append(h.Workers, healthOf(w, insider))
	}
	h.Reason = s.unfit(workers)
	h.Warning = strings.Join(s.warnings(), "; ")
	if h.Reason == "" {
		return x.json(http.StatusOK, h)
	}
	h.Status = roster.Unavailable
	x.Header().Set("Retry-After", "5")
	return x.json(http.StatusServiceUnavailable, h)
}

// unfit is why no request of the default pool can be served, "" when one can.
func (s *Server) unfit(workers []queue.WorkerInfo) string {
	if s.owner.CutOff() {
		return "the message broker cannot be reached"
	}
	mine := slices.DeleteFunc(slices.Clone(workers), func(w queue.WorkerInfo) bool { return !slices.Contains(w.Pools, key.DefaultPool) })
	switch {
	case slices.ContainsFunc(mine, func(w queue.WorkerInfo) bool { state, _ := roster.Of(w).State(); return state == roster.OK }):
		return ""
	case len(mine) > 0:
		return "no worker of pool " + key.DefaultPool + " can serve"
	case len(workers) > 0:
		return cmp.Or(s.cfg.Pending(), "no worker of pool "+key.DefaultPool+" is connected: those that are serve other pools")
	}
	return cmp.Or(s.cfg.Pending(), "no worker is connected")
}

func (s *Server) warnings() (all []string) {
	if w := s.cfg.Broker(); w != "" {
		all = append(all, w)
	}
	if s.recorder.Ailing() {
		all = append(all, "usage events wait for the broker")
	}
	if s.live.Load().keys.Behind() {
		all = append(all, "changes of API keys by other nodes are not seen")
	}
	if w := s.limits.Warning(); w != "" {
		all = append(all, w)
	}
	if s.cfg.Usage != nil && s.cfg.Usage.Warning() != "" {
		all = append(all, s.cfg.Usage.Warning())
	}
	return all
}

func healthOf(w queue.WorkerInfo, insider bool) workerHealth {
	worker := roster.Of(w)
	state, reason := worker.State()
	h := workerHealth{Name: w.Name, State: state, Slots: w.Slots, Busy: w.Busy, CLIVersion: worker.Told.CLIVersion}
	if insider {
		h.Pools, h.Reason = w.Pools, reason
	}
	return h
}

// isInsider reports whether a caller may know what is wrong with workers, and whom they serve.
func (s *Server) isInsider(r *http.Request) bool {
	return s.madeHere(r) || s.cfg.Admin != nil && s.cfg.Admin.SignedIn(r)
}

// madeHere reports whether a request was made on this machine and meant for it: in a
// browser here, somebody else's name may lead here too.
func (s *Server) madeHere(r *http.Request) bool {
	return s.cfg.Proxies.OnThisMachine(r) && s.hostAllowed(r.Host)
}
