package main

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// setting is one value that a source gives to one key.
type setting struct {
	key    configKey
	entry  string // in a table, else empty
	value  any    // of the key's type, a table's entry a string
	origin origin
}

// origin is where a value came from, for the error that refuses it.
type origin struct {
	where  string // config.yaml:12: queue.timeout · MAXRELAY_QUEUE_TIMEOUT · --port
	hidden bool   // the value may hold a secret and is not repeated
}

func (o origin) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %w", o.where, fmt.Errorf(format, args...))
}

// show is the value as an error may repeat it.
func (o origin) show(value string) string {
	if o.hidden {
		return "the value"
	}
	return strconv.Quote(value)
}

// settings gathers what one source gives, good and bad.
type settings struct {
	good []setting
	errs []error
}

func (s *settings) add(good setting, err error) {
	if err != nil {
		s.errs = append(s.errs, err)
		return
	}
	s.good = append(s.good, good)
}

func (s *settings) result() ([]setting, error) { return s.good, errors.Join(s.errs...) }

// newSetting reads text as the key's type. Lists may come as one text with commas.
func newSetting(k configKey, entry, text string, o origin) (setting, error) {
	if k.isList() {
		return newListSetting(k, entry, splitList(text), o), nil
	}
	value, err := parseValue(k, text)
	if err != nil {
		return setting{}, o.errorf("%s %w", o.show(text), err)
	}
	return setting{key: k, entry: entry, value: value, origin: o}, nil
}

func newListSetting(k configKey, entry string, items []string, o origin) setting {
	return setting{key: k, entry: entry, value: items, origin: o}
}

// splitList returns no item, not an empty one, for an empty text.
func splitList(text string) []string {
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// parseValue's errors complete a sentence that begins with the value.
func parseValue(k configKey, text string) (any, error) {
	switch k.typ {
	case reflect.TypeFor[int]():
		return parseInt(k, text)
	case reflect.TypeFor[bool]():
		return parseBool(text)
	case reflect.TypeFor[float64]():
		return parsePrice(text)
	case reflect.TypeFor[time.Duration]():
		return parseDuration(text)
	case reflect.TypeFor[Memory]():
		return parseMemory(text)
	default:
		return parseWord(k, text)
	}
}

func parseInt(k configKey, text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, errors.New("is not a whole number")
	}
	least, _ := strconv.Atoi(k.tag.Get("min"))
	most, err := strconv.Atoi(k.tag.Get("max"))
	switch {
	case err == nil && (n < least || n > most):
		return 0, fmt.Errorf("is not between %d and %d", least, most)
	case n < least:
		return 0, fmt.Errorf("is less than %d", least)
	}
	return n, nil
}

func parsePrice(text string) (float64, error) {
	price, err := strconv.ParseFloat(text, 64)
	if err != nil || !(price >= 0 && price <= 1e6) {
		return 0, errors.New("is not a price like 3.75")
	}
	return price, nil
}

func parseBool(text string) (bool, error) {
	if text != "true" && text != "false" {
		return false, errors.New("is neither true nor false")
	}
	return text == "true", nil
}

func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, errors.New("is not a duration like 750ms, 90s or 10m")
	case d <= 0:
		return 0, errors.New("is not longer than zero")
	}
	return d, nil
}

func parseWord(k configKey, text string) (string, error) {
	words := strings.Fields(k.tag.Get("oneof"))
	if len(words) > 0 && !slices.Contains(words, text) {
		return "", fmt.Errorf("is none of %s", strings.Join(words, ", "))
	}
	return text, nil
}

// Memory is a share of the machine's memory or a fixed size; one of the two is zero.
type Memory struct {
	Percent int
	Bytes   int64
}

// Of returns the limit in bytes on a machine that has total.
func (m Memory) Of(total int64) int64 {
	if m.Percent > 0 {
		return int64(float64(total) / 100 * float64(m.Percent))
	}
	return m.Bytes
}

func (m Memory) String() string {
	if m.Percent > 0 {
		return strconv.Itoa(m.Percent) + "%"
	}
	return strconv.FormatInt(m.Bytes, 10) + "B"
}

var memoryUnits = []struct {
	suffix string
	bytes  int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"B", 1}, // last: the others end in it too
}

// parseMemory reads 60%, 4GB (10⁹ bytes each) and 512MiB (2²⁰ each).
func parseMemory(text string) (Memory, error) {
	malformed := errors.New("is neither a percentage like 60% nor a size like 4GB or 512MiB")
	if percent, ok := strings.CutSuffix(text, "%"); ok {
		n, err := strconv.Atoi(strings.TrimSpace(percent))
		switch {
		case err != nil:
			return Memory{}, malformed
		case n < 1 || n > 100:
			return Memory{}, errors.New("is not between 1% and 100%")
		}
		return Memory{Percent: n}, nil
	}
	for _, unit := range memoryUnits {
		number, ok := strings.CutSuffix(text, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		size := n * float64(unit.bytes)
		if err != nil || !(size >= 1 && size < math.MaxInt64) {
			return Memory{}, malformed
		}
		return Memory{Bytes: int64(size)}, nil
	}
	return Memory{}, malformed
}
