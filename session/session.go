package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"maxrelay/session/chat"
)

// session is a process and what it holds. While busy it belongs to the goroutine of
// its turn; otherwise it is read under the pool's mutex and not written.
type session struct {
	*process
	rec           record
	key           string   // API key id of its tenant; "" for a spare
	fresh         bool     // nobody's yet: initialize has not been sent
	conversations int      // cuts to empty: memory grows with them
	set           settings // as the last turn left them
	tools         toolset  // likewise
	doomed        bool     // killed, or about to be stopped
	edition       edition  // what it runs; set before it serves

	// Guarded by the pool's mutex.
	idleSince time.Time // of a spare, when it was ready
	gone      bool      // the directory was told so
	reaped    bool
	measured  time.Time // zero: not yet, and memory is a guess
	memory    int64
	private   int64
}

// claim gives a spare to a tenant, for good.
func (s *session) claim(req *chat.Request, origin chat.Fingerprint) {
	s.key, s.rec.origin = req.Tenant.Key, origin
}

func (s *session) kill() {
	s.doomed = true
	s.process.kill()
}

// greet waits until a fresh process answers on stdio and returns the CLI's version.
// Asking for it changes nothing: initialize can still be sent, once, afterwards.
func (s *session) greet(ctx context.Context, timeout time.Duration) (version string, err error) {
	s.attend()
	defer s.unattend()
	cfg := Config{}.withDefaults()
	t := newTurn(s, &cfg, nil, plan{}, nil)
	defer t.timer.Stop()
	reply, err := t.call(ctx, "get_binary_version", nil, timeout)
	if errors.Is(err, errSilent) { // it looks its upstream up first (Claude Code 2.1.330)
		return "", fmt.Errorf("%w within %v: is its upstream reachable from here?", err, timeout)
	}
	if err != nil {
		return "", err
	}
	var body struct {
		Version string `json:"version"`
	}
	if err := json.Unmarshal(reply, &body); err != nil || body.Version == "" {
		return "", fmt.Errorf("the CLI does not tell its version")
	}
	return body.Version, nil
}

// call makes a control request and waits for its answer.
func (t *turn) call(ctx context.Context, subtype string, body map[string]any, timeout time.Duration) (json.RawMessage, error) {
	var in input
	id, err := in.request(subtype, body)
	if err != nil {
		return nil, err
	}
	if err := t.s.write(ctx, &in); err != nil {
		return nil, err
	}
	for {
		l, err := t.next(ctx, timeout)
		if err != nil {
			return nil, err
		}
		if l.Type != "control_response" || l.Response.RequestID != id {
			continue
		}
		if l.Response.Subtype != "success" {
			return nil, fmt.Errorf("%w: %s", errRefused, subtype)
		}
		return l.Response.Response, nil
	}
}

// failedStart kills a process that could not be greeted and adds what it said on
// stderr to the error. That is shown here only: it has seen no caller's text yet.
func (s *session) failedStart(err error) error {
	s.kill()
	<-s.done
	if words := s.stderr.String(); words != "" {
		err = fmt.Errorf("%w: %s", err, words)
	}
	return fmt.Errorf("the CLI did not start: %w", err)
}
