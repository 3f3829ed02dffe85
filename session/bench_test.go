package session_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"maxrelay/session/chat"
)

// What a warm turn costs with a CLI that thinks in no time; the cost of a token is the
// difference of two of these by their tokens. The time is that of both processes, the
// allocations and own-µs/op, of the CPU, are this one's alone.
func BenchmarkWarmTurn(b *testing.B) {
	for _, tokens := range []int{1, 50, 1000} {
		b.Run(fmt.Sprint(tokens, " tokens"), func(b *testing.B) {
			f := openFakes(b, fakeConfig())
			d := f.dialog("k", "")
			order := fmt.Sprintf("[[tokens %d]]", tokens)
			b.ReportAllocs()
			before := ownCPU(b)
			for b.Loop() {
				if len(d.req.Messages) == 20 { // back to its start: the length of a conversation is not the matter
					d.req.Messages = nil
				}
				req := d.with(order)
				var text strings.Builder
				out := f.Turn(b.Context(), req, func(e chat.Event) { text.WriteString(e.Text) })
				if out.Error != nil {
					b.Fatal(out.Error)
				}
				d.req.Messages = append(req.Messages, chat.Text(chat.RoleAssistant, text.String()))
			}
			b.ReportMetric(float64((ownCPU(b)-before).Microseconds())/float64(b.N), "own-µs/op")
		})
	}
}

func ownCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
