package wire

import (
	"crypto/sha256"
	"encoding/hex"
)

// Digest names a conversation: equal digests mean equal roles and equal blocks in equal order.
func Digest(conversation []Message) string {
	h := sha256.New()
	for _, m := range conversation {
		h.Write([]byte(m.Role))
		h.Write([]byte{0})
		for _, b := range m.Content {
			h.Write(b.Canonical())
			h.Write([]byte{0})
		}
		h.Write([]byte{1})
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Echo is the answer to an echo directive: which conversation was seen, and the head of its last user text.
func Echo(conversation []Message) string {
	text := []rune(LastUserText(conversation))
	return Digest(conversation) + " " + string(text[:min(len(text), 64)])
}

// LastUserText is the text of the last user message, or nothing when the conversation ends otherwise.
func LastUserText(conversation []Message) string {
	if len(conversation) == 0 {
		return ""
	}
	last := conversation[len(conversation)-1]
	if last.Role != "user" {
		return ""
	}
	return last.Text()
}
