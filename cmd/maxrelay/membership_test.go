package main

import (
	"testing"

	"github.com/rs/zerolog"

	"maxrelay/queue"
)

func TestWhereTheBrokerIsLookedForIsToldWithoutItsToken(t *testing.T) {
	nc, err := queue.Dial("nats://secret@127.0.0.1:1,nats://127.0.0.2:1", queue.DialOptions{Name: "worker", Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if got, want := addressOf(nc), "nats://127.0.0.1:1,nats://127.0.0.2:1"; got != want {
		t.Errorf("it is at %q, want %q", got, want)
	}
}
