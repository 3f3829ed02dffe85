package chat

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"strings"
)

// Fingerprint stands for a conversation up to and including one message: equal
// fingerprints mean the same tenant, model, system prompt and canonical messages.
//
// The chain begins with
//
//	F0 = H("maxrelay/1", key id, user, pool, model, system prompt)
//
// and goes on with Fi = H(Fi-1, message i), where H is SHA-256 cut to 16 bytes over
// its arguments, each preceded by its length as 8 bytes, big endian. A message is its
// role, the number of its blocks, and each block as a type and that type's fields:
//
//	text         text (an assistant's without trailing white space)
//	image, document   source type, media type, data, url, title, context
//	tool_use     id, name, canonical input
//	tool_result  tool_use_id, "1" for an error else "", the number of its blocks, each block
//
// Lengths make the encoding injective, so no two different conversations share an
// input of H. Tools and parameters stay outside: they may change from turn to turn.
type Fingerprint [16]byte

func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// Chain returns F0…Fn of a request with n canonical messages.
func Chain(r *Request) []Fingerprint {
	var h hasher
	chain := make([]Fingerprint, 1, len(r.Messages)+1)
	chain[0] = Origin(r.Tenant, r.Model, r.System)
	for _, m := range r.Messages {
		chain = append(chain, h.next(chain[len(chain)-1], m))
	}
	return chain
}

// Origin returns F0: the identity of a session before anything was said.
func Origin(t Tenant, model, system string) Fingerprint {
	var h hasher
	h.fields("maxrelay/1", t.Key, t.User, t.Pool, model, system)
	return h.sum()
}

// Next returns the fingerprint of the conversation f continued by the canonical
// message m.
func (f Fingerprint) Next(m Message) Fingerprint {
	var h hasher
	return h.next(f, m)
}

// hasher gathers H's input. Its memory serves one message after another.
//
// What is longer than a piece goes through it in pieces: the runtime cannot interrupt a
// copy, and one of 50 MB holds up a garbage collection, and all who wait for that, for
// 50 ms.
type hasher struct {
	input []byte
	long  hash.Hash // has had what came before the input; nil while that is all
}

const piece = 64 << 10

func (h *hasher) next(f Fingerprint, m Message) Fingerprint {
	h.field(string(f[:]))
	h.message(m)
	return h.sum()
}

// sum returns H of what was gathered, and starts over.
func (h *hasher) sum() (f Fingerprint) {
	if h.long == nil {
		digest := sha256.Sum256(h.input)
		copy(f[:], digest[:])
	} else {
		h.pass()
		copy(f[:], h.long.Sum(nil))
	}
	h.input, h.long = h.input[:0], nil
	return f
}

// pass makes room in the input.
func (h *hasher) pass() {
	if h.long == nil {
		h.long = sha256.New()
	}
	h.long.Write(h.input)
	h.input = h.input[:0]
}

func (h *hasher) number(n int) {
	h.input = binary.BigEndian.AppendUint64(h.input, uint64(n))
}

func (h *hasher) field(s string) {
	h.number(len(s))
	for len(h.input)+len(s) > piece {
		n := min(len(s), piece)
		h.input = append(h.input, s[:n]...)
		s = s[n:]
		h.pass()
	}
	h.input = append(h.input, s...)
}

func (h *hasher) fields(ss ...string) {
	for _, s := range ss {
		h.field(s)
	}
}

func (h *hasher) message(m Message) {
	h.field(string(m.Role))
	h.number(len(m.Content))
	for _, b := range m.Content {
		h.block(b, m.Role)
	}
}

func (h *hasher) block(b Block, role Role) {
	h.field(string(b.Type))
	switch b.Type {
	case BlockText:
		h.field(compared(b.Text, role))
	case BlockImage, BlockDocument:
		src := b.Source
		if src == nil {
			src = &Source{}
		}
		h.fields(src.Type, src.MediaType, src.Data, src.URL, b.Title, b.Context)
	case BlockToolUse:
		h.fields(b.ID, b.Name, string(b.Input))
	case BlockToolResult:
		h.fields(b.ToolUseID, map[bool]string{true: "1"}[b.IsError])
		h.number(len(b.Content))
		for _, inner := range b.Content {
			h.block(inner, role)
		}
	}
}

// compared returns the text as far as it tells conversations apart: clients trim the
// end of what they echo, so an assistant's trailing white space does not count.
func compared(text string, role Role) string {
	if role == RoleAssistant {
		return strings.TrimRight(text, " \t\r\n")
	}
	return text
}
