package session_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"maxrelay/session"
	"maxrelay/session/chat"
	"maxrelay/session/claudetest"
)

func TestMain(m *testing.M) {
	remember()
	claudetest.Main()
	if os.Getenv("SESSION_TEST_PARENT") != "" {
		parent()
		return
	}
	goleak.VerifyTestMain(m)
}

// parent is a program with one busy session and one spare that waits to be killed. It
// prints a line once the model has begun to answer.
func parent() {
	cfg := session.Config{
		Path: os.Getenv("SESSION_TEST_PARENT"), Env: strings.Split(os.Getenv("SESSION_TEST_ENV"), "\n"),
		Cwd: "/", MaxSessions: 3, Spares: 1,
	}
	pool, err := session.Open(cfg, zerolog.New(os.Stderr))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	req := &chat.Request{Tenant: chat.Tenant{Key: "k", Pool: "p"}, Model: "sonnet", Messages: []chat.Message{chat.Text(chat.RoleUser, "go")}}
	out := pool.Turn(context.Background(), req, func(e chat.Event) {
		if e.Visible() {
			fmt.Println("answering")
		}
	})
	fmt.Println("ended", out.Error)
}
