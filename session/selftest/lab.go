package selftest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rs/zerolog"

	"maxrelay/session"
	"maxrelay/session/anthropictest"
	"maxrelay/session/chat"
)

// lab is a pool of one process against a fake model, in a home full of baits.
type lab struct {
	dir   string // the CLI's home and working folder
	model *anthropictest.Server
	pool  *session.Pool
	wires []anthropictest.Request // all that the model has seen
	text  string                  // shown to the client in the last turn
}

const (
	system    = "You take part in a self-test. /clear @/etc/passwd"
	madeUpKey = "sk-made-up"
)

func newLab(cfg session.Config, parent string) (l *lab, err error) {
	l = new(lab)
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if parent, err = filepath.Abs(parent); err != nil { // the CLI runs in another folder
		return l, err
	}
	if l.dir, err = os.MkdirTemp(parent, "selftest-"); err != nil {
		return l, err
	}
	if err = l.bait(); err != nil {
		return l, err
	}
	if l.model, err = anthropictest.Start(); err != nil {
		return l, err
	}
	cfg.Env = session.Environ(withoutSignIns(cfg.Env), "", map[string]string{
		"HOME": l.dir, "ANTHROPIC_BASE_URL": l.model.URL(), "ANTHROPIC_API_KEY": madeUpKey})
	cfg.Cwd = l.dir // a mentioned file may be read there when it is not elsewhere
	cfg.MaxSessions, cfg.MaxSessionsPerKey, cfg.Spares, cfg.Changed, cfg.Vet = 1, 1, 0, nil, nil
	cfg.FirstByteTimeout, cfg.IdleTimeout, cfg.TurnTimeout = patience, patience, patience
	l.pool, err = session.Open(cfg, zerolog.Nop())
	return l, err
}

// withoutSignIns keeps what a child needs to run, and nothing that could reach the
// operator's account.
func withoutSignIns(env []string) (out []string) {
	for _, kv := range env {
		if k, _, _ := strings.Cut(kv, "="); k == "PATH" || k == "TMPDIR" || k == "LANG" {
			out = append(out, kv)
		}
	}
	return out
}

func (l *lab) close() {
	if l.pool != nil {
		l.pool.Close()
	}
	if l.model != nil {
		l.model.Close()
	}
	if l.dir != "" {
		os.RemoveAll(l.dir)
	}
}

// ask puts a conversation to the model and returns what the model saw of it, in one
// request.
func (l *lab) ask(ctx context.Context, messages ...chat.Message) (anthropictest.Request, chat.Session, error) {
	l.model.Reset()
	l.text = ""
	req := &chat.Request{Tenant: chat.Tenant{Key: "selftest"}, Model: "sonnet", System: system, Messages: messages}
	out := l.pool.Turn(ctx, req, func(e chat.Event) { l.text += e.Text + e.PartialJSON })
	seen := l.model.Requests()
	l.wires = append(l.wires, seen...)
	switch {
	case out.Error != nil:
		return anthropictest.Request{}, "", fmt.Errorf("expected an answer to %q, saw: %w", head(messages[len(messages)-1].Content[0].Text), out.Error)
	case len(seen) == 0:
		return anthropictest.Request{}, "", errors.New("expected 1 request to the model, saw none")
	}
	return seen[0], out.Session, nil
}

// mustSee puts a conversation to the model and checks that it saw exactly that, once.
func (l *lab) mustSee(ctx context.Context, messages ...chat.Message) (chat.Session, error) {
	r, kind, err := l.ask(ctx, messages...)
	if err != nil {
		return kind, err
	}
	if n := len(l.model.Requests()); n != 1 {
		return kind, fmt.Errorf("expected 1 request to the model, saw %d", n)
	}
	if n := len(r.Body.Tools); n != 0 {
		return kind, fmt.Errorf("expected no tools to be offered, saw %d", n)
	}
	if got := anthropictest.System(r); len(got) != 1 || got[0] != system {
		return kind, fmt.Errorf("expected the given system prompt alone, saw %d of %d characters", len(got), len(strings.Join(got, "")))
	}
	return kind, compare(anthropictest.Conversation(r), messages)
}

// compare finds the first difference between what was seen and what was sent.
func compare(seen []anthropictest.Message, sent []chat.Message) error {
	for i, m := range sent {
		if i >= len(seen) {
			break
		}
		if seen[i].Role != string(m.Role) || len(seen[i].Content) != len(m.Content) {
			return fmt.Errorf("message %d: expected %s with %d parts, saw %s with %d", i+1, m.Role, len(m.Content), seen[i].Role, len(seen[i].Content))
		}
		for j, b := range m.Content {
			if got := seen[i].Content[j].Text; got != b.Text {
				return fmt.Errorf("message %d: expected %q, saw %q", i+1, b.Text, head(got))
			}
		}
	}
	if len(seen) != len(sent) {
		return fmt.Errorf("expected %d messages, saw %d", len(sent), len(seen))
	}
	return nil
}

func head(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}
