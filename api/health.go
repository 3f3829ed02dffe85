package api

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"maxrelay/queue"
)

type health struct {
	Status    string         `json:"status"` // ok or unavailable
	Provider  string         `json:"provider"`
	Timestamp time.Time      `json:"timestamp"`
	Version   string         `json:"version,omitempty"`
	Reason    string         `json:"reason,omitempty"`
	Workers   []workerHealth `json:"workers"`
	Warning   string         `json:"warning,omitempty"`
}

type workerHealth struct {
	Name       string `json:"name"`
	State      string `json:"state"` // ok, draining, resting or unavailable
	Slots      int    `json:"slots"`
	Busy       int    `json:"busy"`
	CLIVersion string `json:"cli_version,omitempty"`
	Reason     string `json:"reason,omitempty"` // told to callers on this machine and to administrators
}

// States of a worker, and of the server.
const (
	stateOK          = "ok"
	stateDraining    = "draining"
	stateResting     = "resting" // its account is used up
	stateUnavailable = "unavailable"
)

// health says whether a request would find a worker.
func (s *Server) health(x *exchange, r *http.Request) error {
	h := health{
		Status: stateUnavailable, Provider: "claude-code-cli", Timestamp: time.Now().UTC(), Version: s.cfg.Version,
		Reason: "no worker can serve", Workers: []workerHealth{},
	}
	status := http.StatusServiceUnavailable
	insider := s.isInsider(r)
	for _, w := range s.owner.Workers() {
		wh := healthOf(w)
		if wh.State == stateOK {
			h.Status, h.Reason, status = stateOK, "", http.StatusOK
		}
		if !insider {
			wh.Reason = ""
		}
		h.Workers = append(h.Workers, wh)
	}
	if len(h.Workers) == 0 {
		h.Reason = cmp.Or(s.cfg.Pending(), "no worker is connected")
	}
	h.Warning = strings.Join(s.warnings(), "; ")
	if status != http.StatusOK {
		x.Header().Set("Retry-After", "5")
	}
	return x.json(status, h)
}

func (s *Server) warnings() (all []string) {
	if s.recorder.Ailing() {
		all = append(all, "usage events wait for the broker")
	}
	if s.live.Load().keys.Behind() {
		all = append(all, "changes of API keys by other nodes are not seen")
	}
	if w := s.limits.Warning(); w != "" {
		all = append(all, w)
	}
	return all
}

func healthOf(w queue.WorkerInfo) workerHealth {
	info := infoOf(w)
	h := workerHealth{Name: w.Name, State: stateOK, Slots: w.Slots, Busy: w.Busy, CLIVersion: info.CLIVersion, Reason: info.Reason}
	signedOut := info.SignedIn != nil && !*info.SignedIn
	if signedOut && h.Reason == "" {
		h.Reason = "the CLI is not signed in"
	}
	switch {
	case w.Draining:
		h.State = stateDraining
	case signedOut || info.Reason != "":
		h.State = stateUnavailable
	case rests(w):
		h.State, h.Reason = stateResting, info.restReason()
	}
	return h
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

// rests reports whether a worker takes no jobs of any model.
func rests(w queue.WorkerInfo) bool {
	return slices.ContainsFunc(w.Rests, func(r queue.Rest) bool { return r.Models == "" && (r.Until.IsZero() || r.Until.After(time.Now())) })
}

// restReason says which of the account's limits is reached.
func (i workerInfo) restReason() string {
	for _, l := range i.Limits {
		if l.Reached && l.Models == "" {
			return fmt.Sprintf("the account's %s limit is reached until %s", cmp.Or(l.Window, "usage"), l.ResetsAt.UTC().Format(time.DateTime+" MST"))
		}
	}
	return "the account's limit is reached"
}
