package anthropictest

import (
	"strings"

	"maxrelay/session/anthropictest/wire"
)

// Conversation is the request's messages without what Claude Code 2.1.330 adds to them: messages of the role system, and the
// reminders about environment, model and date that older models get in front of a user's own text.
func Conversation(r Request) []Message {
	var out []Message
	for _, m := range r.Body.Messages {
		if m.Role == "system" {
			continue
		}
		own := Message{Role: m.Role}
		for _, b := range m.Content {
			if m.Role == "user" && isReminder(b) {
				continue
			}
			b.Raw = b.Canonical()
			b.CacheControl = nil
			own.Content = append(own.Content, b)
		}
		out = append(out, own)
	}
	return out
}

// A caller's own text in such tags is none of these; Claude Code writes the tag on a line of its own.
var reminders = []string{
	"<system-reminder>\n# Environment\n",
	"<system-reminder>\nYou are powered by the model ",
	"<system-reminder>\nToday's date is ",
}

func isReminder(b Block) bool {
	if b.Type != "text" || !strings.HasSuffix(strings.TrimSuffix(b.Text, "\n"), "\n</system-reminder>") {
		return false
	}
	for _, head := range reminders {
		if strings.HasPrefix(b.Text, head) {
			return true
		}
	}
	return false
}

// System is the caller's system texts: the request's without the attribution and identity blocks of Claude Code 2.1.330.
func System(r Request) []string {
	var out []string
	for _, b := range r.Body.System {
		if !isVendor(b.Text) {
			out = append(out, b.Text)
		}
	}
	return out
}

func isVendor(text string) bool {
	return strings.HasPrefix(text, "x-anthropic-billing-header:") ||
		text == "You are a Claude agent, built on Anthropic's Claude Agent SDK." ||
		strings.HasPrefix(text, "You are Claude Code, Anthropic's official CLI for Claude")
}

// Digest names a conversation, see wire.Digest.
func Digest(conversation []Message) string { return wire.Digest(conversation) }
