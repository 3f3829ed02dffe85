package key

import (
	"net/netip"
	"strings"
)

// forwardedHops reads the addresses after for= in Forwarded headers (RFC 7239, section
// 4), one for each element, nil if a line breaks the grammar: an open quote of the
// client's would swallow what a proxy appends. An element without an address that can be
// read is an invalid one.
func forwardedHops(lines []string) (hops []netip.Addr) {
	for _, line := range lines {
		scan := forwardedScanner{rest: line}
		for more := true; more; {
			var hop netip.Addr
			if hop, more = scan.element(); scan.broken {
				return nil
			}
			hops = append(hops, hop)
		}
	}
	return hops
}

// forwardedScanner takes a header line apart from its front.
type forwardedScanner struct {
	rest   string
	broken bool // the line breaks the grammar
}

// element reads pairs up to a comma or the end. more tells which it was.
func (s *forwardedScanner) element() (hop netip.Addr, more bool) {
	seen := map[string]bool{}
	for {
		name, value := s.pair()
		switch {
		case s.broken:
			return netip.Addr{}, false
		case name != "" && seen[name]:
			s.broken = true // which of the two counts is nobody's to say
			return netip.Addr{}, false
		case name == "for":
			hop = parseHop(value)
		}
		seen[name] = true
		s.space()
		switch {
		case s.rest == "":
			return hop, false
		case s.take(','):
			return hop, true
		case !s.take(';'):
			s.broken = true
			return netip.Addr{}, false
		}
	}
}

// pair reads name=value, which may be missing. Names are case-insensitive.
func (s *forwardedScanner) pair() (name, value string) {
	s.space()
	name = s.token()
	if name == "" {
		return "", ""
	}
	if !s.take('=') {
		s.broken = true
		return "", ""
	}
	if s.take('"') {
		return strings.ToLower(name), s.quoted()
	}
	return strings.ToLower(name), s.token()
}

// token also takes the colons and brackets of an address that was not quoted, as some
// proxies write it.
func (s *forwardedScanner) token() string {
	end := strings.IndexAny(s.rest, " \t,;=\"")
	if end < 0 {
		end = len(s.rest)
	}
	text := s.rest[:end]
	s.rest = s.rest[end:]
	return text
}

func (s *forwardedScanner) quoted() string {
	var text strings.Builder
	for i := 0; i < len(s.rest); i++ {
		switch c := s.rest[i]; {
		case c == '"':
			s.rest = s.rest[i+1:]
			return text.String()
		case c == '\\' && i+1 < len(s.rest):
			i++
			text.WriteByte(s.rest[i])
		default:
			text.WriteByte(c)
		}
	}
	s.broken = true
	return ""
}

func (s *forwardedScanner) space() { s.rest = strings.TrimLeft(s.rest, " \t") }

func (s *forwardedScanner) take(c byte) bool {
	if s.rest == "" || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}
