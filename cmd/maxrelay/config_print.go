package main

import (
	"fmt"
	"iter"
	"strings"

	"github.com/rs/zerolog"
)

// String lists every key and value, secrets masked, one a line.
func (c Config) String() string {
	var b strings.Builder
	for name, text := range c.masked() {
		fmt.Fprintf(&b, "%s=%s\n", name, text)
	}
	return b.String()
}

// GoString keeps %#v from printing the secrets that String masks.
func (c Config) GoString() string { return c.String() }

// MarshalZerologObject lists what String lists.
func (c Config) MarshalZerologObject(e *zerolog.Event) {
	for name, text := range c.masked() {
		e.Str(name, text)
	}
}

func (c Config) masked() iter.Seq2[string, string] {
	return func(yield func(name, text string) bool) {
		for _, k := range configKeys {
			for entry, value := range k.entries(c) {
				if !yield(k.nameIn(entry), k.mask(textOf(value))) {
					return
				}
			}
		}
	}
}

func textOf(value any) string {
	if items, ok := value.([]string); ok {
		return strings.Join(items, ",")
	}
	return fmt.Sprint(value)
}

// mask shows whether a secret is set, and of a URL where it points.
func (k configKey) mask(text string) string {
	switch {
	case text == "":
		return ""
	case k.tag.Get("secret") == "all":
		return "***"
	case k.tag.Get("secret") == "login":
		return maskLogins(text)
	}
	return text
}

func maskLogins(urls string) string {
	items := splitList(urls)
	for i, item := range items {
		scheme, rest, _ := strings.Cut(item, "://")
		if at := strings.LastIndex(rest, "@"); at >= 0 {
			items[i] = scheme + "://***" + rest[at:]
		}
	}
	return strings.Join(items, ",")
}
