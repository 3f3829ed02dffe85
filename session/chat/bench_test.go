package chat_test

import (
	"testing"

	"maxrelay/session/chat"
)

func BenchmarkChain(b *testing.B) {
	r := &chat.Request{}
	for range 50 {
		r.Messages = append(r.Messages, chat.Text(chat.RoleUser, "a question of some forty characters or so"),
			chat.Text(chat.RoleAssistant, "an answer that is a little longer than the question was, by the model's nature"))
	}
	b.ReportAllocs()
	for b.Loop() {
		chat.Chain(r)
	}
}
