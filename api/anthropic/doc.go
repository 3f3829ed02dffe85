// Package anthropic speaks the wire forms of Anthropic's Messages API and translates them to and from the canonical conversation.
//
// The canonical conversation has that API's shape, so the translation is nearly a copy.
// Everything here is pure: bytes in, values out. Nothing reads a clock, a file or the
// network, and no request text is put into an error's words.
package anthropic
