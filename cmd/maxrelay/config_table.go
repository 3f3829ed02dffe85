package main

import (
	"cmp"
	"errors"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// entryMark stands in a key's path where the operator names an entry: a table's by any word, as in models.*, a
// list's by its place in it, as in upstream.*.url, counted from 1.
const entryMark = "*"

// tableKeys are the keys of a table or a list whose entries are sections, or the one key of a table of texts.
func tableKeys(f reflect.StructField, path []string, index []int) []configKey {
	path = append(slices.Clip(path), entryMark)
	entry := f.Type.Elem()
	if !isSection(entry) {
		return []configKey{{path: path, field: index, typ: entry, tag: f.Tag}}
	}
	keys := keysOf(entry, path, nil)
	for i := range keys {
		keys[i].member, keys[i].field = keys[i].field, index
	}
	return keys
}

func (k configKey) isTable() bool { return slices.Contains(k.path, entryMark) }

// isNumbered tells that the key is in a list of sections.
func (k configKey) isNumbered() bool {
	return k.isTable() && reflect.TypeFor[Config]().FieldByIndex(k.field).Type.Kind() == reflect.Slice
}

// table is the name of the table or list that the key is in.
func (k configKey) table() string {
	name, _, _ := strings.Cut(k.name(), "."+entryMark)
	return name
}

func (k configKey) entryWord() string {
	if k.isNumbered() {
		return "number"
	}
	return "name"
}

// entryNamed checks what stands where a list's entry is numbered.
func (k configKey) entryNamed(entry string) (string, error) {
	if n, err := strconv.Atoi(entry); k.isNumbered() && (err != nil || n < 1 || entry != strconv.Itoa(n)) {
		return "", errors.New("numbers no entry: they count from 1")
	}
	return entry, nil
}

// at is the key's path in one entry.
func (k configKey) at(entry string) []string {
	path := slices.Clone(k.path)
	if i := slices.Index(path, entryMark); i >= 0 {
		path[i] = entry
	}
	return path
}

// nameIn is the key's name in one entry.
func (k configKey) nameIn(entry string) string { return strings.Join(k.at(entry), ".") }

// under reports whether the key stands at path or below it, and in which entry.
func (k configKey) under(path []string) (entry string, ok bool) {
	if len(path) > len(k.path) {
		return "", false
	}
	for i, part := range path {
		if k.path[i] == entryMark {
			entry = part
		} else if k.path[i] != part {
			return "", false
		}
	}
	return entry, true
}

// inPlaceOfMark puts the entry that a name has into a key of a table, so that the two can be compared.
func inPlaceOfMark(name, separator, candidate string) string {
	before, after, isTable := strings.Cut(candidate, entryMark)
	rest, inside := strings.CutPrefix(name, before)
	if !isTable || !inside {
		return candidate
	}
	entry, _, _ := strings.Cut(rest, separator)
	return before + entry + after
}

// entries returns the key's values in c: one without an entry's name, or those of a table or list in order.
func (k configKey) entries(c Config) iter.Seq2[string, any] {
	value := reflect.ValueOf(c).FieldByIndex(k.field)
	return func(yield func(entry string, value any) bool) {
		switch {
		case !k.isTable():
			yield("", value.Interface())
		case k.isNumbered():
			for i := range value.Len() {
				if !yield(strconv.Itoa(i+1), k.memberOf(value.Index(i))) {
					return
				}
			}
		default:
			for _, name := range slices.SortedFunc(slices.Values(value.MapKeys()), byName) {
				if !yield(name.String(), k.memberOf(value.MapIndex(name))) {
					return
				}
			}
		}
	}
}

func byName(a, b reflect.Value) int { return cmp.Compare(a.String(), b.String()) }

func (k configKey) memberOf(entry reflect.Value) any {
	if k.member == nil {
		return entry.Interface()
	}
	return entry.FieldByIndex(k.member).Interface()
}

// entryDefaults gives each entry that a source begins what it leaves out: the default tags of its section.
func entryDefaults(sources ...[]setting) ([]setting, error) {
	var found settings
	for _, s := range slices.Concat(sources...) {
		for _, k := range configKeys {
			text, ok := k.tag.Lookup("default")
			if ok && k.isTable() && slices.Equal(k.field, s.key.field) {
				found.add(newSetting(k, s.entry, text, origin{}))
			}
		}
	}
	return found.result()
}

// checkNumbers holds that lists of sections have no gaps, whichever sources their entries came from.
func checkNumbers(sources ...[]setting) error {
	var gaps []error
	began := make(map[string]bool)
	all := slices.Concat(sources...)
	for _, s := range all {
		began[s.key.table()+"."+s.entry] = true
	}
	for _, s := range all {
		if n, _ := strconv.Atoi(s.entry); s.key.isNumbered() && n > 1 && !began[s.key.table()+"."+strconv.Itoa(n-1)] {
			gaps = append(gaps, s.origin.errorf("there is no number %d before it", n-1))
		}
	}
	return errors.Join(gaps...)
}

// listHook puts the entries of a list of sections, which are merged by their numbers, into order.
func listHook(_, to reflect.Type, data any) (any, error) {
	numbered, ok := data.(map[string]any)
	if !ok || to.Kind() != reflect.Slice || !isSection(to.Elem()) {
		return data, nil
	}
	list := make([]any, len(numbered))
	for i := range list {
		list[i] = numbered[strconv.Itoa(i+1)]
	}
	return list, nil
}
