package chat

import (
	"slices"
	"strings"
)

// ToolName maps a client's name of a tool, any string, to one of the form that the
// Messages API takes, [a-zA-Z0-9_-]+. A name of that form stays as it is, so what the
// model reads is what the client wrote, unless it could be taken for a mapped one or
// the CLI would keep the tool from the model for it. No two names have the same, and
// ClientToolName gives each back. A mapped name is up to three times as long, and four
// bytes more: how long is too long, the caller decides.
//
//	get_weather → get_weather
//	get.weather → enc_get_2eweather
//	Agent       → enc_Agent
func ToolName(name string) string { return escape(name) }

// ClientToolName is the inverse of ToolName.
func ClientToolName(name string) string { return unescape(name) }

// ToolID maps the id of a call as ToolName maps names.
func ToolID(id string) string { return escape(id) }

// ClientToolID is the inverse of ToolID.
func ClientToolID(id string) string { return unescape(id) }

// MaxToolName is how long a name may be for the Messages API.
const MaxToolName = 128

// escaped begins a mapped name. In it "_" and two digits stand for any byte that is no
// letter, digit or hyphen.
const (
	escaped = "enc_"
	digits  = "0123456789abcdef"
)

// reserved are names under which Claude Code 2.1.330 drops a client's tool without a
// word, since it has a tool of that name itself.
var reserved = []string{"Agent", "ToolSearch"}

func escape(s string) string {
	if _, mapped := decodeEscaped(s); legal(s) && !mapped && !slices.Contains(reserved, s) {
		return s
	}
	out := []byte(escaped)
	for _, c := range []byte(s) {
		if plain(c) {
			out = append(out, c)
		} else {
			out = append(out, '_', digits[c>>4], digits[c&15])
		}
	}
	return string(out)
}

func unescape(s string) string {
	if original, mapped := decodeEscaped(s); mapped {
		return original
	}
	return s
}

func decodeEscaped(s string) (original string, mapped bool) {
	rest, ok := strings.CutPrefix(s, escaped)
	if !ok {
		return "", false
	}
	out := make([]byte, 0, len(rest))
	for i := 0; i < len(rest); i++ {
		c := rest[i]
		if c == '_' && i+2 < len(rest) {
			high, low := strings.IndexByte(digits, rest[i+1]), strings.IndexByte(digits, rest[i+2])
			if high < 0 || low < 0 {
				return "", false
			}
			c, i = byte(high<<4|low), i+2
		} else if !plain(c) {
			return "", false
		}
		out = append(out, c)
	}
	return string(out), true
}

func legal(s string) bool {
	for _, c := range []byte(s) {
		if c != '_' && !plain(c) {
			return false
		}
	}
	return s != ""
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-'
}
