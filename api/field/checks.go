package field

import (
	"maps"
	"slices"

	"maxrelay/session/chat"
)

// Checks are parameters that are looked at and not acted on, by name, and what they may be.
type Checks map[string]func(Value) error

func (c Checks) names() []string { return slices.Sorted(maps.Keys(c)) }

// Names returns those of several lists together.
func Names(lists ...Checks) (names []string) {
	for _, c := range lists {
		names = append(names, c.names()...)
	}
	return names
}

// Check looks at the parameters that were given, and returns their names.
func (o *Object) Check(c Checks) (given []string) {
	for _, name := range c.names() {
		if v, ok := o.Members[name]; ok {
			o.Fail(c[name](v))
			given = append(given, name)
		}
	}
	return given
}

// Never refuses a parameter, whatever it is.
func Never(words string) func(Value) error {
	return func(v Value) error { return chat.Invalid(v.At, "%s", words) }
}

// AnObject takes objects.
func AnObject(v Value) error {
	if !v.Is('{') {
		return v.Wrong("an object")
	}
	return nil
}

// OneOf takes some words.
func OneOf(words ...string) func(Value) error {
	return func(v Value) error {
		_, err := v.Among(words...)
		return err
	}
}
