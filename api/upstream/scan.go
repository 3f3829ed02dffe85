package upstream

import (
	"bytes"
	"slices"
	"strings"
)

const (
	maxDepth = 128      // of a JSON value that is looked into
	maxKept  = 16 << 10 // bytes of a member that was asked for
	maxName  = 32       // bytes of a member's name
)

// member is a place in a JSON object: a member of its own, or one of an inner object.
type member struct{ outer, name string } // outer is "" for one of its own

// scanner finds members of a JSON object that passes by in pieces of any size. It
// holds what was asked for and nothing else, however large the object is. It does not
// check: from what is no JSON something may come out that is none either.
type scanner struct {
	wanted []member
	found  [][]byte // per wanted, as it was written; nil: not seen
	texts  *texts   // gets the strings of members that hold text; may be nil

	depth   int
	object  [maxDepth]bool // what each level is, else an array
	names   [2][]byte      // of the member that is read, on the first two levels
	name    []byte         // of the last member, at any depth
	atName  bool           // the next string is a name
	literal bool           // within a number, true, false or null

	quoted, naming, escaped, isText, isMedia bool // within a string

	keeping int // which of wanted is read, -1 for none
	level   int // of that value
	kept    []byte
	lost    bool // no object, or deeper than can be followed
	unclear bool // a wanted member of the object's own is there twice, or a name may be one in another spelling
}

func newScanner(texts *texts, wanted ...member) *scanner {
	s := &scanner{wanted: wanted, texts: texts, found: make([][]byte, len(wanted))}
	s.reset()
	return s
}

// reset makes it ready for another value.
func (s *scanner) reset() {
	clear(s.found)
	*s = scanner{wanted: s.wanted, found: s.found, texts: s.texts, names: s.names, name: s.name[:0], kept: s.kept[:0], keeping: -1}
}

// get returns a wanted member's value, nil if it was not seen.
func (s *scanner) get(outer, name string) []byte {
	return s.found[slices.Index(s.wanted, member{outer, name})]
}

func (s *scanner) feed(p []byte) {
	for len(p) > 0 && !s.lost {
		if s.quoted {
			p = s.inString(p)
			continue
		}
		s.outside(p[0])
		p = p[1:]
	}
}

func (s *scanner) outside(c byte) {
	switch c {
	case ' ', '\t', '\r', '\n', ':':
		s.endLiteral()
		s.keep(c)
	case ',':
		s.endLiteral()
		s.keep(c)
		s.atName = s.depth > 0 && s.object[s.depth-1]
	case '"':
		s.openString()
	case '{', '[':
		s.open(c)
	case '}', ']':
		s.endLiteral()
		s.close(c)
	default:
		if !s.literal {
			s.begin(c)
			s.literal = true
		}
		s.keep(c)
	}
}

func (s *scanner) open(c byte) {
	if s.depth == maxDepth {
		s.lost = true
		return
	}
	s.begin(c)
	s.keep(c)
	s.object[s.depth] = c == '{'
	s.atName = c == '{'
	s.depth++
}

func (s *scanner) close(c byte) {
	if s.depth == 0 {
		s.lost = true
		return
	}
	s.depth--
	s.atName = false
	s.keep(c)
	s.end()
}

func (s *scanner) endLiteral() {
	if s.literal {
		s.literal = false
		s.end()
	}
}

// begin looks whether the value that begins is wanted. Only an object has members.
func (s *scanner) begin(c byte) {
	if s.depth == 0 {
		s.lost = c != '{'
		return
	}
	if s.keeping >= 0 || s.depth > len(s.names) || !s.object[0] || !s.object[s.depth-1] {
		return
	}
	if s.keeping = slices.IndexFunc(s.wanted, s.here); s.keeping >= 0 {
		s.level, s.kept = s.depth, s.kept[:0]
	}
}

// here reports whether the member that is read is m.
func (s *scanner) here(m member) bool {
	if s.depth == 1 {
		return m.outer == "" && m.name == string(s.names[0])
	}
	return m.outer != "" && m.outer == string(s.names[0]) && m.name == string(s.names[1])
}

// keep gives a value up that is too long.
func (s *scanner) keep(p ...byte) {
	switch {
	case s.keeping < 0:
	case len(s.kept)+len(p) > maxKept:
		s.keeping = -1
	default:
		s.kept = append(s.kept, p...)
	}
}

func (s *scanner) end() {
	if s.keeping >= 0 && s.depth == s.level {
		s.unclear = s.unclear || s.found[s.keeping] != nil
		s.found[s.keeping] = slices.Clone(s.kept)
		s.keeping = -1
	}
}

func (s *scanner) openString() {
	s.quoted, s.naming = true, s.atName
	if s.naming {
		s.name = s.name[:0]
		s.keep('"')
		return
	}
	s.isText = s.texts != nil && textNames[string(s.name)]
	if s.isMedia = s.texts != nil && mediaNames[string(s.name)]; s.isMedia {
		s.texts.media++
	}
	s.begin('"')
	s.keep('"')
}

// inString takes what belongs to the string and returns the rest.
func (s *scanner) inString(p []byte) []byte {
	n := s.endOfString(p)
	s.content(p[:n])
	if n == len(p) {
		return nil
	}
	s.closeString()
	return p[n+1:]
}

// endOfString returns where the closing quote is, or len(p). What is long, such as
// pictures, has no escapes.
func (s *scanner) endOfString(p []byte) int {
	if !s.escaped {
		n := bytes.IndexByte(p, '"')
		if n < 0 {
			n = len(p)
		}
		if bytes.IndexByte(p[:n], '\\') < 0 {
			return n
		}
	}
	for n, c := range p {
		switch {
		case s.escaped:
			s.escaped = false
		case c == '"':
			return n
		default:
			s.escaped = c == '\\'
		}
	}
	return len(p)
}

func (s *scanner) content(p []byte) {
	s.keep(p...)
	switch {
	case s.naming:
		s.name = append(s.name, p[:min(len(p), maxName+1-len(s.name))]...)
	case s.isText:
		s.texts.add(p)
	case s.isMedia:
		s.texts.mediaBytes += len(p)
	}
}

func (s *scanner) closeString() {
	s.quoted = false
	s.keep('"')
	if !s.naming {
		s.end()
		return
	}
	s.atName = false
	if s.depth <= len(s.names) {
		s.names[s.depth-1] = append(s.names[s.depth-1][:0], s.name...)
	}
	s.unclear = s.unclear || s.depth == 1 && s.isDisguised(string(s.name))
}

// isDisguised reports whether some decoder may take a name for a wanted one that is not
// written like it: escapes are undone by all, and some do not mind capitals.
func (s *scanner) isDisguised(name string) bool {
	return strings.Contains(name, "\\") || slices.ContainsFunc(s.wanted, func(m member) bool {
		return m.outer == "" && m.name != name && strings.EqualFold(m.name, name)
	})
}
