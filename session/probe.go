package session

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// Identity is what a CLI says of itself.
type Identity struct {
	Version string   // like 2.1.330
	Models  []string // aliases and full names that it offers, sorted
	Account Account
}

// Probe starts a CLI, asks it who it is, and ends it. No model is called.
func Probe(ctx context.Context, cfg Config) (Identity, error) {
	cfg = cfg.withDefaults()
	l, err := newLauncher()
	if err != nil {
		return Identity{}, err
	}
	defer l.close()
	s := &session{fresh: true}
	if s.process, err = l.spawn("probe", cfg, func() {}); err != nil {
		return Identity{}, err
	}
	defer s.process.stop()
	version, err := s.greet(ctx, cfg.StartTimeout)
	if err != nil {
		return Identity{}, s.failedStart(err)
	}
	id, err := s.introduction(ctx, cfg)
	id.Version = version
	return id, err
}

// introduction reads what the answer to initialize tells of account and models.
func (s *session) introduction(ctx context.Context, cfg Config) (Identity, error) {
	s.attend()
	defer s.unattend()
	t := newTurn(s, &cfg, nil, plan{}, nil)
	defer t.timer.Stop()
	raw, err := t.call(ctx, "initialize", map[string]any{"systemPrompt": []string{""}}, cfg.StartTimeout)
	if err != nil {
		return Identity{}, fmt.Errorf("initialize: %w", err)
	}
	var reply struct {
		Account signIn `json:"account"`
		Models  []struct {
			Value    string `json:"value"`
			Resolved string `json:"resolvedModel"`
		} `json:"models"`
	}
	if err := json.Unmarshal(raw, &reply); err != nil {
		return Identity{}, fmt.Errorf("initialize: the answer is unreadable")
	}
	id := Identity{Account: reply.Account.account()}
	for _, m := range reply.Models {
		id.Models = append(id.Models, m.Value, m.Resolved)
	}
	slices.Sort(id.Models)
	id.Models = slices.DeleteFunc(slices.Compact(id.Models), func(m string) bool { return m == "" || m == "default" })
	return id, nil
}
