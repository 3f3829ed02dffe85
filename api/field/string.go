package field

import (
	"bytes"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Unquote returns what a valid JSON string says, as encoding/json would read it: a
// surrogate without its other half is U+FFFD.
func Unquote(raw []byte) string {
	rest := raw[1 : len(raw)-1]
	i := bytes.IndexByte(rest, '\\')
	if i < 0 {
		return string(rest)
	}
	out := make([]byte, 0, len(rest))
	for ; i >= 0; i = bytes.IndexByte(rest, '\\') {
		out = append(out, rest[:i]...)
		out, rest = unescape(out, rest[i+1:])
	}
	return string(append(out, rest...))
}

// unescape appends what the escape at the begin of rest, without its backslash, means.
func unescape(out, rest []byte) ([]byte, []byte) {
	switch c := rest[0]; c {
	case 'b':
		return append(out, '\b'), rest[1:]
	case 'f':
		return append(out, '\f'), rest[1:]
	case 'n':
		return append(out, '\n'), rest[1:]
	case 'r':
		return append(out, '\r'), rest[1:]
	case 't':
		return append(out, '\t'), rest[1:]
	case 'u':
		r := unit(rest)
		rest = rest[5:]
		if utf16.IsSurrogate(r) {
			low := rune(-1)
			if bytes.HasPrefix(rest, []byte(`\u`)) {
				low = unit(rest[1:])
			}
			if r = utf16.DecodeRune(r, low); r != utf8.RuneError {
				rest = rest[6:]
			}
		}
		return utf8.AppendRune(out, r), rest
	default:
		return append(out, c), rest[1:]
	}
}

// unit reads the UTF-16 code unit of an escape like u00e9.
func unit(b []byte) rune {
	n, _ := strconv.ParseUint(string(b[1:5]), 16, 16) // the string is valid
	return rune(n)
}

const hex = "0123456789abcdef"

// AppendString appends s as a JSON string, to the byte what encoding/json writes
// without HTML escapes: bytes that are no UTF-8 become U+FFFD, and the two line
// separators of Unicode are escaped, since JavaScript once ended lines at them.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if esc := escapeRune(r, size); esc != "" {
				dst = append(append(dst, s[start:i]...), esc...)
				start = i + size
			}
			i += size
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			dst = appendEscaped(append(dst, s[start:i]...), c)
			start = i + 1
		}
		i++
	}
	return append(append(dst, s[start:]...), '"')
}

func escapeRune(r rune, size int) string {
	switch {
	case r == utf8.RuneError && size == 1:
		return `\ufffd`
	case r == '\u2028':
		return `\u2028`
	case r == '\u2029':
		return `\u2029`
	}
	return ""
}

func appendEscaped(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}
