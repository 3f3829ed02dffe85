package selftest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"maxrelay/session/anthropictest"
	"maxrelay/session/chat"
)

func user(texts ...string) chat.Message {
	m := chat.Message{Role: chat.RoleUser}
	for _, t := range texts {
		m.Content = append(m.Content, chat.Block{Type: chat.BlockText, Text: t})
	}
	return m
}

func (l *lab) answer() chat.Message { return chat.Text(chat.RoleAssistant, l.text) }

// literal says what a CLI acts on when it takes text for a person's: a file to read, a
// command, a shell's line.
func (l *lab) literal(ctx context.Context) error {
	var told []chat.Message
	for _, text := range []string{"see @" + secretFile, "/clear", "/model opus", "!touch " + ranFile} {
		told = append(told, user(text))
		if _, err := l.mustSee(ctx, told...); err != nil {
			return err
		}
		told = append(told, l.answer())
	}
	return nil
}

// history tells a conversation that no process has had.
func (l *lab) history(ctx context.Context) error {
	_, err := l.mustSee(ctx,
		user("/clear", "@"+secretFile), chat.Text(chat.RoleAssistant, "/clear"),
		user("a question"), chat.Text(chat.RoleAssistant, "an answer"),
		user("and now?"))
	return err
}

// cut changes a conversation's last question, and then asks for another conversation:
// both times the one process that there is must forget.
func (l *lab) cut(ctx context.Context) error {
	first := user("the first question")
	if _, err := l.mustSee(ctx, first); err != nil {
		return err
	}
	begun := []chat.Message{first, l.answer()}
	if _, err := l.mustSee(ctx, append(begun[:2:2], user("a question to be taken back"))...); err != nil {
		return err
	}
	kind, err := l.mustSee(ctx, append(begun[:2:2], user("another question"))...)
	if err != nil {
		return err
	}
	if kind != chat.SessionRewound {
		return fmt.Errorf("expected the process to be rewound, saw a conversation that is %s", kind)
	}
	_, err = l.mustSee(ctx, user("a conversation of its own"))
	return err
}

// tools has the model call tools of the CLI's that nobody offered.
func (l *lab) tools(ctx context.Context) error {
	defer l.model.Unscript()
	l.model.Answer(anthropictest.Say("ok").
		Then(anthropictest.ToolUse("Bash", encode(map[string]any{"command": touch + "tool"}))).
		Then(anthropictest.ToolUse("Read", encode(map[string]any{"file_path": filepath.Join(l.dir, secretFile)}))))
	if _, _, err := l.ask(ctx, user("call a tool")); err != nil {
		return err
	}
	if l.text != "ok" {
		return fmt.Errorf("expected the client to be shown %q, saw %q", "ok", head(l.text))
	}
	return l.baitsTaken()
}

// isolation looks at what all the turns before have left behind.
func (l *lab) isolation() error {
	if len(l.wires) == 0 {
		return errors.New("expected requests to look at, saw none")
	}
	if err := l.baitsTaken(); err != nil {
		return err
	}
	for _, r := range l.wires {
		if r.Header.Get("X-Api-Key") != madeUpKey {
			return errors.New("expected the model to be asked with the key of the environment, saw another sign-in")
		}
	}
	return nil
}
