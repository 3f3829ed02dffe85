package upstream

import (
	"strings"
	"testing"
)

func TestFirstMessages(t *testing.T) {
	for body, want := range map[string]string{
		`{"model":"m","messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}`:                                                                               "a",
		`{"system":[{"text":"s"}],"messages":[{"role":"assistant","content":"x"},{"content":[{"type":"text","text":"a\u00e9"},{"type":"image"},{"text":"b"}],"role":"user"}]}`: "aéb",
		`{"messages":[{"role":"user","content":7}]}`: "",
		`{"messages":[]}`:          "",
		`{"messages":"a"}`:         "",
		`{"messages":[{"role":"us`: "",
		`{"input":"a"}`:            "",
		`[1]`:                      "",
		``:                         "",
		`{"messages":[{"role":"user","content":"a"}],"tools":["` + strings.Repeat("x", firstReach) + `"]}`: "a",
		`{"tools":["` + strings.Repeat("x", firstReach) + `"],"messages":[{"role":"user","content":"a"}]}`: "",
	} {
		if got := FirstMessage([]byte(body)); got != want {
			t.Errorf("%.60s: %q, want %q", body, got, want)
		}
	}
}

func FuzzFirstMessage(f *testing.F) {
	f.Add([]byte(`{"messages":[{"role":"user","content":[{"text":"a"}]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if got := FirstMessage(body); len(got) > 3*len(body) { // what is not UTF-8 becomes three bytes
			t.Errorf("%q of %q", got, body)
		}
	})
}
