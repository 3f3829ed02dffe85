// Package openai speaks the wire forms of OpenAI's chat API and translates them to and from the canonical conversation.
//
// Everything here is pure: bytes in, values out. Nothing reads a clock, a file or the
// network, and no request text is put into an error's words.
package openai
