package main

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

const envPrefix = "MAXRELAY_"

// configKey is one key of the configuration, a leaf of Config.
type configKey struct {
	path   []string // queue, timeout; an entryMark where an entry is named
	field  []int    // of Config, for reflect's FieldByIndex; the table's, for a key in one
	member []int    // of an entry that is a section, below field
	typ    reflect.Type
	tag    reflect.StructTag
}

// configKeys is every key, in Config's order.
var configKeys = keysOf(reflect.TypeFor[Config](), nil, nil)

func keysOf(section reflect.Type, path []string, index []int) []configKey {
	var keys []configKey
	for i := range section.NumField() {
		f := section.Field(i)
		path := append(slices.Clip(path), f.Tag.Get("koanf"))
		index := append(slices.Clip(index), i)
		switch {
		case isSection(f.Type):
			keys = append(keys, keysOf(f.Type, path, index)...)
		case f.Type.Kind() == reflect.Map, f.Type.Kind() == reflect.Slice && isSection(f.Type.Elem()):
			keys = append(keys, tableKeys(f, path, index)...)
		default:
			keys = append(keys, configKey{path: path, field: index, typ: f.Type, tag: f.Tag})
		}
	}
	return keys
}

func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[Memory]()
}

// name is the key as people write it: queue.timeout.
func (k configKey) name() string { return strings.Join(k.path, ".") }

// variable is the key's environment variable: MAXRELAY_QUEUE_TIMEOUT.
func (k configKey) variable() string {
	return envPrefix + strings.ToUpper(strings.Join(k.path, "_"))
}

func (k configKey) isList() bool { return k.typ.Kind() == reflect.Slice }

func (k configKey) isSecret() bool { return k.tag.Get("secret") != "" }

// isReloaded looks at the whole of a table: its entries come and go together.
func (k configKey) isReloaded() bool {
	return reflect.TypeFor[Config]().FieldByIndex(k.field).Tag.Get("reload") != ""
}

// valueIn is the key's value in c, or all of its table.
func (k configKey) valueIn(c Config) any {
	return reflect.ValueOf(c).FieldByIndex(k.field).Interface()
}

// findKey resolves a flat name. The known names decide where one part ends, since keys hold underscores and
// entries may hold anything: spell is how a key is written there, separator what stands between its parts.
func findKey(name, separator string, spell func(configKey) string) (k configKey, entry string, err error) {
	for _, k := range configKeys {
		before, after, isTable := strings.Cut(spell(k), entryMark)
		switch {
		case !isTable && name == before:
			return k, "", nil
		case isTable && len(name) > len(before)+len(after) && strings.HasPrefix(name, before) && strings.HasSuffix(name, after):
			entry, err := k.entryNamed(name[len(before) : len(name)-len(after)])
			return k, entry, err
		case isTable && strings.TrimSuffix(name, separator) == strings.TrimSuffix(before, separator):
			return configKey{}, "", fmt.Errorf("names no entry, write %s<%s>%s", before, k.entryWord(), after)
		}
	}
	return configKey{}, "", fmt.Errorf("unknown key%s", didYouMean(name, separator, spell))
}

// didYouMean is the hint that goes with an unknown name, empty when nothing is like it.
func didYouMean(name, separator string, spell func(configKey) string) string {
	best, least := "", 2+len(name)/3
	for _, k := range configKeys {
		for depth := range k.path {
			candidate := inPlaceOfMark(name, separator, spell(configKey{path: k.path[:depth+1]}))
			if strings.Contains(candidate, entryMark) {
				break // of a table that the name is not in
			}
			if name == candidate {
				return " (a section: name one of its keys)"
			}
			if d := unlikeness(name, candidate, separator); d < least {
				best, least = candidate, d
			}
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", best)
}

// unlikeness also sees a right word in the wrong section, which in YAML is a slip of the indentation, and before that the
// end of a longer word in the right one, as keys for api_keys.
func unlikeness(name, candidate, separator string) int {
	whole := editDistance(name, candidate)
	if separator != "." {
		return whole
	}
	lastOf := func(s string) string { return s[strings.LastIndex(s, ".")+1:] }
	if section := strings.TrimSuffix(name, lastOf(name)); strings.HasPrefix(candidate, section) && strings.HasSuffix(candidate, "_"+lastOf(name)) {
		return 1
	}
	return min(whole, 1+editDistance(lastOf(name), lastOf(candidate)))
}

// editDistance is Levenshtein's, over bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
