// Package roster reads what workers tell of themselves: how they are, and what account they have.
package roster

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"maxrelay/queue"
)

// State is what a worker can be given.
type State string

// The states.
const (
	OK          State = "ok"
	Draining    State = "draining"    // no new jobs; it is to stop, or an operator said so
	Resting     State = "resting"     // its account is used up
	Unavailable State = "unavailable" // it says that it cannot serve
)

// States are all there are.
var States = []State{OK, Draining, Resting, Unavailable}

// Worker is a line of the queue's roster, and what the worker itself tells.
type Worker struct {
	queue.WorkerInfo
	Told Told
}

// Told is a worker's own word. One of another version may tell less, or more.
type Told struct {
	CLIVersion string   `json:"cli_version"`
	Models     []string `json:"models"`
	SignedIn   *bool    `json:"signed_in"`
	Account    string   `json:"account"` // what kind it is
	Limits     []Limit  `json:"limits"`
	Sessions   Sessions `json:"sessions"`
	Reason     string   `json:"reason"` // why it cannot serve
}

// Limit is a window of the account's use.
type Limit struct {
	Window   string    `json:"window,omitempty"` // "": it is not known which
	Models   string    `json:"models,omitempty"` // whose alone it counts, "" for all
	Used     float64   `json:"used"`             // 1 is all of it
	ResetsAt time.Time `json:"resets_at,omitzero"`
	Reached  bool      `json:"reached,omitempty"`
}

// Sessions counts CLI processes.
type Sessions struct {
	Busy   int `json:"busy"`
	Idle   int `json:"idle"` // each holds a conversation
	Spares int `json:"spares"`
}

// Of reads a line.
func Of(w queue.WorkerInfo) Worker {
	r := Worker{WorkerInfo: w}
	_ = json.Unmarshal(w.Info, &r.Told) // what cannot be read was not told
	return r
}

// State says how a worker is, and why it is no better; "" where it is well.
func (w Worker) State() (s State, reason string) {
	signedOut := w.Told.SignedIn != nil && !*w.Told.SignedIn
	switch {
	case w.Draining:
		return Draining, w.Told.Reason
	case w.Told.Reason != "":
		return Unavailable, w.Told.Reason
	case signedOut:
		return Unavailable, "the CLI is not signed in"
	case w.rests():
		return Resting, w.restReason()
	}
	return OK, ""
}

// rests reports whether it takes no jobs of any model.
func (w Worker) rests() bool {
	return slices.ContainsFunc(w.Rests, func(r queue.Rest) bool { return r.Models == "" && (r.Until.IsZero() || r.Until.After(time.Now())) })
}

// restReason says which limit is reached.
func (w Worker) restReason() string {
	for _, l := range w.Told.Limits {
		if l.Reached && l.Models == "" {
			return fmt.Sprintf("the account's %s limit is reached until %s", cmp.Or(l.Window, "usage"), l.ResetsAt.UTC().Format(time.DateTime+" MST"))
		}
	}
	return "the account's limit is reached"
}
