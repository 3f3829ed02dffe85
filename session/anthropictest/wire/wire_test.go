package wire

import (
	"encoding/json"
	"testing"
)

func TestCanonicalBlocksCompareByMeaning(t *testing.T) {
	tests := []struct{ a, b string }{
		{`{"type":"text","text":"x"}`, `{ "text":"x", "type":"text", "cache_control":{"type":"ephemeral"} }`},
		{`{"type":"tool_use","input":{"a":1.0,"b":1e2}}`, `{"type":"tool_use","input":{"b":100,"a":1}}`},
		{`{"type":"tool_result","content":"r"}`, `{"type":"tool_result","content":[{"type":"text","text":"r","cache_control":{}}]}`},
	}
	for _, tt := range tests {
		a, b := decode(t, tt.a), decode(t, tt.b)
		if string(a.Canonical()) != string(b.Canonical()) {
			t.Errorf("%s and %s differ", a.Canonical(), b.Canonical())
		}
	}
}

func TestCanonicalKeepsACallersCacheControlArgument(t *testing.T) {
	b := decode(t, `{"type":"tool_use","input":{"cache_control":1}}`)
	if got := string(b.Canonical()); got != `{"input":{"cache_control":1},"type":"tool_use"}` {
		t.Error(got)
	}
}

func decode(t *testing.T, s string) Block {
	t.Helper()
	var b Block
	if err := json.Unmarshal([]byte(s), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"role":"user","content":[{"type":"tool_result","content":"x"}],"output_config":{}}`))
	f.Add([]byte(`{"role":null,"content":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m Message
		if json.Unmarshal(data, &m) != nil {
			return
		}
		first, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var again Message
		if err := json.Unmarshal(first, &again); err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		if Digest([]Message{m}) != Digest([]Message{again}) {
			t.Errorf("%s changed on its way", first)
		}
	})
}
