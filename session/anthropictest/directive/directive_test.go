package directive

import (
	"reflect"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	tests := []struct {
		text string
		want []Directive
	}{
		{"nothing", nil},
		{"[[]] [[  ]]", nil},
		{"[[open", nil},
		{"a [[echo]] b", []Directive{{Name: "echo", Args: []string{}}}},
		{"[[tokens 5 delay 15ms]][[hang after 3]]", []Directive{{"tokens", []string{"5", "delay", "15ms"}}, {"hang", []string{"after", "3"}}}},
		{`[[tool Bash {"a":"]]}","b":[[1]]}]]`, []Directive{{"tool", []string{"Bash", `{"a":"]]}","b":[[1]]}`}}}},
		{`[[tool Bash {"a" [[echo]]`, []Directive{{Name: "echo", Args: []string{}}}},
	}
	for _, tt := range tests {
		if got := Parse(tt.text); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.text, got, tt.want)
		}
	}
}

func TestArguments(t *testing.T) {
	d := Parse("[[tokens 5 after 3 delay 15ms]]")[0]
	if d.Int(0, 1) != 5 || d.Int(9, 1) != 1 || d.After(0) != 3 || d.Delay() != 15*time.Millisecond {
		t.Errorf("%d %d %d %v", d.Int(0, 1), d.Int(9, 1), d.After(0), d.Delay())
	}
	if d := Parse("[[tokens -5 delay -1s]]")[0]; d.Int(0, 1) != 1 || d.Delay() != 0 || d.After(7) != 7 {
		t.Errorf("%d %v %d", d.Int(0, 1), d.Delay(), d.After(7))
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`[[tool Bash {"a":"]]}"}]] [[tokens 1 delay 2ms]] [[`)
	f.Fuzz(func(t *testing.T, text string) {
		for _, d := range Parse(text) {
			if d.Name == "" {
				t.Error("a directive without a name")
			}
			d.Int(0, 0)
			d.Delay()
		}
	})
}
