// Package selftest proves with the installed CLI and a fake model that a held CLI is a model and nothing else.
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

// Check is one finding of Run; Err is nil when it holds.
type Check struct {
	Name string
	Err  error
}

// Run proves on this machine, with the CLI of cfg and a fake model on loopback,
// that a CLI held by this package is only a model: caller text is data, tools run
// nothing, and a cut leaves nothing behind. It works in a new folder below dir and
// uses a made-up key; the operator's sign-in is not touched.
func Run(ctx context.Context, cfg session.Config, dir string) ([]Check, error) {
	lab, err := newLab(cfg, dir)
	if err != nil {
		return nil, fmt.Errorf("self-test: %w", err)
	}
	defer lab.close()
	return []Check{
		{"caller text reaches the model literally", lab.literal(ctx)},
		{"tools called by the model run nothing", lab.tools(ctx)},
		{"a cut conversation leaves nothing behind", lab.cut(ctx)},
	}, nil
}

// lab is a pool of one process against a fake model.
type lab struct {
	dir   string
	bait  string // a file that must neither be read nor written
	model *anthropictest.Server
	pool  *session.Pool
	req   chat.Request
	shown string
}

const baitText = "maxrelay-self-test-bait"

func newLab(cfg session.Config, parent string) (l *lab, err error) {
	l = &lab{req: chat.Request{Tenant: chat.Tenant{Key: "selftest"}, Model: "sonnet", System: "self-test"}}
	if parent, err = filepath.Abs(parent); err != nil { // the CLI runs in another folder
		return nil, err
	}
	if l.dir, err = os.MkdirTemp(parent, "selftest-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	l.bait = filepath.Join(l.dir, "bait")
	if err = os.WriteFile(l.bait, []byte(baitText), 0o600); err != nil {
		return nil, err
	}
	if l.model, err = anthropictest.Start(); err != nil {
		return nil, err
	}
	cfg.Env = session.Environ(withoutSignIns(cfg.Env), filepath.Join(l.dir, "config"), map[string]string{
		"HOME": l.dir, "ANTHROPIC_BASE_URL": l.model.URL(), "ANTHROPIC_API_KEY": "sk-made-up"})
	cfg.MaxSessions, cfg.MaxSessionsPerKey, cfg.Spares, cfg.Changed = 1, 1, 0, nil
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
	os.RemoveAll(l.dir)
}

// ask puts messages to the model and returns the request that it saw.
func (l *lab) ask(ctx context.Context, messages ...chat.Message) (anthropictest.Request, error) {
	l.model.Reset()
	l.shown = ""
	req := l.req
	req.Messages = messages
	out := l.pool.Turn(ctx, &req, func(e chat.Event) { l.shown += e.Text + e.PartialJSON })
	if out.Error != nil {
		return anthropictest.Request{}, out.Error
	}
	return l.model.Wait(ctx, 1)
}

func (l *lab) literal(ctx context.Context) error {
	text := "/help @" + l.bait + " !ls #x"
	r, err := l.ask(ctx, chat.Text(chat.RoleUser, text))
	if err != nil {
		return err
	}
	if strings.Contains(string(r.Raw), baitText) {
		return errors.New("a file named in a message was read and sent")
	}
	return l.mustSee(r, text)
}

func (l *lab) tools(ctx context.Context) error {
	l.model.Answer(anthropictest.Say("ok").Then(anthropictest.ToolUse("Bash", fmt.Sprintf(`{"command":"echo ran > %s"}`, l.bait))))
	defer l.model.Unscript()
	if _, err := l.ask(ctx, chat.Text(chat.RoleUser, "call a tool")); err != nil {
		return err
	}
	if now, err := os.ReadFile(l.bait); err != nil || string(now) != baitText {
		return errors.New("a tool call was carried out")
	}
	if l.shown != "ok" {
		return errors.New("a call of a tool that was not offered reached the client")
	}
	return nil
}

func (l *lab) cut(ctx context.Context) error {
	for _, text := range []string{"first conversation", "second conversation"} {
		r, err := l.ask(ctx, chat.Text(chat.RoleUser, text))
		if err != nil {
			return err
		}
		if err := l.mustSee(r, text); err != nil {
			return err
		}
	}
	return nil
}

// mustSee checks that the model saw one message of one text, and nothing else.
func (l *lab) mustSee(r anthropictest.Request, text string) error {
	seen := anthropictest.Conversation(r)
	if len(seen) != 1 || len(seen[0].Content) != 1 || seen[0].Content[0].Text != text {
		return fmt.Errorf("the model saw %d messages that are not what was sent", len(seen))
	}
	if tools := len(r.Body.Tools); tools != 0 {
		return fmt.Errorf("the model was offered %d tools", tools)
	}
	return nil
}
