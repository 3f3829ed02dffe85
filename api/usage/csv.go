package usage

import (
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// write answers with rows as CSV, or with all in JSON.
func write[T any](w http.ResponseWriter, format, name string, rows []T, all any) error {
	if format != "csv" {
		return writeJSON(w, all)
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`.csv"`)
	table := NewTable[T](w)
	for _, row := range rows {
		if err := table.Write(row); err != nil {
			break
		}
	}
	_ = table.Flush() // a client that left needs no error
	return nil
}

// Table writes structs as CSV (RFC 4180): a header of their fields' names in JSON, and a
// line for each.
type Table[T any] struct{ csv *csv.Writer }

// NewTable begins a table.
func NewTable[T any](w io.Writer) Table[T] {
	t := Table[T]{csv.NewWriter(w)}
	var header []string
	for f := range fields[T] {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		header = append(header, name)
	}
	_ = t.csv.Write(header) // nothing is written before Flush
	return t
}

// Write adds a line.
func (t Table[T]) Write(row T) error {
	var line []string
	v := reflect.ValueOf(row)
	for f := range fields[T] {
		line = append(line, cell(v.FieldByIndex(f.Index)))
	}
	return t.csv.Write(line)
}

// Flush writes what is not written yet.
func (t Table[T]) Flush() error {
	t.csv.Flush()
	return t.csv.Error()
}

func fields[T any](yield func(reflect.StructField) bool) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[T]()) {
		if !f.Anonymous && !yield(f) {
			return
		}
	}
}

// cell writes a value as JSON would, without quotes; nothing for null.
func cell(v reflect.Value) string {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return ""
		}
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case time.Time:
		return x.Format(time.RFC3339Nano)
	case string:
		return inert(x)
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64)
	default:
		return fmt.Sprint(x)
	}
}

// inert keeps a spreadsheet from taking a caller's text for a formula, in the way that
// OWASP describes under CSV Injection.
func inert(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}
