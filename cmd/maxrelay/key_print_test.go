package main

import (
	"strings"
	"testing"
)

// What a worker says of itself is printed on an administrator's terminal.
func TestATableHoldsNothingThatATerminalObeys(t *testing.T) {
	var out strings.Builder
	table(&out, [][]string{{"ID", "CLI"}, {"w-1", "\x1b]0;title\x07\x1b[2J2.1\r\n\u009bm\u202e"}})
	if got := out.String(); strings.ContainsAny(got, "\x1b\x07\r\u009b\u202e") || strings.Count(got, "\n") != 2 || !strings.Contains(got, "2.1") {
		t.Errorf("printed is %q", got)
	}
}
