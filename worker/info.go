package worker

import (
	"encoding/json"
	"time"
)

// Info is what a worker says of itself in the roster, for health, model lists and administrators.
type Info struct {
	CLIVersion string   `json:"cli_version"`
	Models     []string `json:"models"`
	SignedIn   bool     `json:"signed_in"`
	Account    string   `json:"account"` // what kind it is, see session.Account
	Limits     []Limit  `json:"limits,omitempty"`
	Sessions   Sessions `json:"sessions"`
	Reason     string   `json:"reason,omitempty"` // why it cannot serve, for an operator
}

// Limit is a window of the account's use. An account without windows has none.
type Limit struct {
	Window   string    `json:"window,omitempty"` // in the CLI's words; "": it did not say which
	Models   string    `json:"models,omitempty"` // whose alone it counts, "" for all
	Used     float64   `json:"used"`             // 1 is all of it
	ResetsAt time.Time `json:"resets_at,omitzero"`
	Reached  bool      `json:"reached,omitempty"` // the worker rests until the reset
}

// Sessions counts the worker's CLI processes.
type Sessions struct {
	Busy   int `json:"busy"`
	Idle   int `json:"idle"` // each holds a conversation
	Spares int `json:"spares"`
}

// info is called for each heartbeat.
func (w *Worker) info() json.RawMessage {
	cli := w.cli.Load()
	i := Info{CLIVersion: cli.Version, Models: cli.Models, SignedIn: cli.Account.SignedIn(), Account: string(cli.Account), Limits: w.account.limits(time.Now())}
	if !i.SignedIn {
		i.Reason = "the claude CLI is not signed in"
	}
	select {
	case <-w.ready:
		st := w.pool.Stats()
		i.Sessions = Sessions{Busy: st.Busy, Idle: st.Idle, Spares: st.Spares}
	default: // the worker is being opened
	}
	raw, err := json.Marshal(i)
	if err != nil {
		return nil // all of it always encodes
	}
	return raw
}
