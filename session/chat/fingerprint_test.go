package chat_test

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"testing"

	"maxrelay/session/chat"
)

// hashed is the chain's H as it is defined, in one go.
func hashed(fields ...string) (f chat.Fingerprint) {
	var input []byte
	for _, field := range fields {
		input = binary.BigEndian.AppendUint64(input, uint64(len(field)))
		input = append(input, field...)
	}
	digest := sha256.Sum256(input)
	copy(f[:], digest[:])
	return f
}

func TestFingerprintsOfLongTextsAreOfTheWholeText(t *testing.T) {
	const piece = 64 << 10
	tenant := chat.Tenant{Key: "k", User: "u", Pool: "p"}
	for _, n := range []int{0, 1, piece - 100, piece - 16, piece - 8, piece - 1, piece, piece + 1, 2*piece - 8, 2 * piece, 10*piece + 7} {
		long := strings.Repeat("0123456789abcde", n/15+1)[:n]
		if got, want := chat.Origin(tenant, "m", long), hashed("maxrelay/1", "k", "u", "p", "m", long); got != want {
			t.Errorf("F0 with %d bytes: %s, want %s", n, got, want)
		}
		tenant.User = long
		if got, want := chat.Origin(tenant, "m", long), hashed("maxrelay/1", "k", long, "p", "m", long); got != want {
			t.Errorf("F0 with twice %d bytes: %s, want %s", n, got, want)
		}
		tenant.User = "u"
		var f0 chat.Fingerprint
		one, again, another := f0.Next(user(text(long))), f0.Next(user(text(long))), f0.Next(user(text(long+"x")))
		if one != again || one == another {
			t.Errorf("a message of %d bytes is not told from another", n)
		}
	}
}

func BenchmarkLongChain(b *testing.B) {
	r := &chat.Request{Messages: []chat.Message{user(text(strings.Repeat("x", 49<<20)))}}
	b.SetBytes(49 << 20)
	b.ReportAllocs()
	for b.Loop() {
		chat.Chain(r)
	}
}
