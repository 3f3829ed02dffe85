// Package directive reads the orders that a test or a demonstration writes into a prompt, like [[tokens 50 delay 15ms]].
package directive

import (
	"strconv"
	"strings"
	"time"
)

// Directive is one order: a name and its arguments.
type Directive struct {
	Name string
	Args []string // separated by spaces; from the first brace on, everything is one argument
}

// Parse finds the directives of a text in order. What is not one is left alone: there are no errors.
func Parse(text string) []Directive {
	var found []Directive
	for {
		_, rest, ok := strings.Cut(text, "[[")
		if !ok {
			return found
		}
		end := closing(rest)
		if end < 0 {
			text = rest
			continue
		}
		if d, ok := split(rest[:end]); ok {
			found = append(found, d)
		}
		text = rest[end+len("]]"):]
	}
}

// closing is the index of the first "]]" outside JSON objects.
func closing(s string) int {
	depth, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case depth > 0 && c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			depth--
		case depth == 0 && strings.HasPrefix(s[i:], "]]"):
			return i
		}
	}
	return -1
}

func split(body string) (Directive, bool) {
	words, object, hasObject := strings.Cut(body, "{")
	fields := strings.Fields(words)
	if len(fields) == 0 {
		return Directive{}, false
	}
	d := Directive{Name: fields[0], Args: fields[1:]}
	if hasObject {
		d.Args = append(d.Args, "{"+strings.TrimSpace(object))
	}
	return d, true
}

// Arg is the i-th argument, or "".
func (d Directive) Arg(i int) string {
	if i < len(d.Args) {
		return d.Args[i]
	}
	return ""
}

// Int is the i-th argument as a number that is not negative, or def.
func (d Directive) Int(i, def int) int { return number(d.Arg(i), def) }

// After is the argument behind the word "after", or def.
func (d Directive) After(def int) int { return number(d.named("after"), def) }

// Delay is the argument behind the word "delay", or 0.
func (d Directive) Delay() time.Duration {
	delay, err := time.ParseDuration(d.named("delay"))
	if err != nil || delay < 0 {
		return 0
	}
	return delay
}

func (d Directive) named(word string) string {
	for i, a := range d.Args {
		if a == word {
			return d.Arg(i + 1)
		}
	}
	return ""
}

func number(s string, def int) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return def
	}
	return n
}
