package api

import (
	"cmp"
	"net/http"
	"strings"
	"time"

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
	Reason     string       `json:"reason,omitempty"` // told to callers on this machine and to administrators
}

// health says whether a request would find a worker.
func (s *Server) health(x *exchange, r *http.Request) error {
	h := health{
		Status: roster.Unavailable, Provider: "claude-code-cli", Timestamp: time.Now().UTC(), Version: s.cfg.Version,
		Reason: "no worker can serve", Workers: []workerHealth{},
	}
	status := http.StatusServiceUnavailable
	insider := s.isInsider(r)
	for _, w := range s.owner.Workers() {
		wh := healthOf(w)
		if wh.State == roster.OK {
			h.Status, h.Reason, status = roster.OK, "", http.StatusOK
		}
		if !insider {
			wh.Reason = ""
		}
		h.Workers = append(h.Workers, wh)
	}
	if len(h.Workers) == 0 {
		h.Reason = cmp.Or(s.cfg.Pending(), "no worker is connected")
	}
	if s.owner.CutOff() {
		h.Status, h.Reason, status = roster.Unavailable, "the message broker cannot be reached", http.StatusServiceUnavailable
	}
	h.Warning = strings.Join(s.warnings(), "; ")
	if status != http.StatusOK {
		x.Header().Set("Retry-After", "5")
	}
	return x.json(status, h)
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

func healthOf(w queue.WorkerInfo) workerHealth {
	worker := roster.Of(w)
	state, reason := worker.State()
	return workerHealth{Name: w.Name, State: state, Slots: w.Slots, Busy: w.Busy, CLIVersion: worker.Told.CLIVersion, Reason: reason}
}

// isInsider reports whether a caller may know what is wrong with workers.
func (s *Server) isInsider(r *http.Request) bool {
	return s.madeHere(r) || s.cfg.Admin != nil && s.cfg.Admin.SignedIn(r)
}

// madeHere reports whether a request was made on this machine and meant for it: in a
// browser here, somebody else's name may lead here too.
func (s *Server) madeHere(r *http.Request) bool {
	return s.cfg.Proxies.OnThisMachine(r) && s.hostAllowed(r.Host)
}
