package openai

import (
	"strconv"
	"strings"
	"testing"

	"maxrelay/api/content"
	"maxrelay/api/tool"
	"maxrelay/session/chat"
)

// A short text can be made to cost much memory or time. What it may cost is bounded
// before it is spent.
func TestWhatARequestMayCostIsBounded(t *testing.T) {
	user := `{"role":"user","content":"x"}`
	for name, c := range map[string]struct{ body, param string }{
		"messages":  {`{"model":"m","messages":[` + strings.Repeat(user+",", content.MaxPieces) + user + `]}`, "messages"},
		"parts":     {`{"model":"m","messages":[{"role":"user","content":[` + strings.Repeat(`{"type":"text","text":"x"},`, content.MaxPieces) + `{"type":"text","text":"x"}]}]}`, "messages"},
		"arguments": {callWith(`{"a":[` + strings.Repeat("0,", content.MaxValues) + `0]}`), "messages[0].tool_calls[0].function.arguments"},
		"tools":     {withMore(`,"tools":[{"type":"function","function":{"name":"f","description":"` + strings.Repeat("d", tool.MaxBytes) + `"}}]`), "tools"},
		"a stop":    {withMore(`,"stop":"` + strings.Repeat("s", maxStop+1) + `"`), "stop"},
		"a pattern": {withMore(`,"response_format":{"type":"json_schema","json_schema":{"name":"f","strict":true,"schema":{"type":"string","pattern":"` +
			strings.Repeat("a{1000}", 4000) + `"}}}`), "response_format.json_schema.schema"},
		"a null type": {withMore(`,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","$schema":"http://json-schema.org/draft-07/schema#","type":null}}}]`),
			"tools[0].function.parameters.type"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode([]byte(c.body))
			if e, ok := err.(*chat.Error); !ok || e.Code != chat.CodeInvalid || e.Param != c.param {
				t.Errorf("got %v, want one of %s", err, c.param)
			}
		})
	}
}

func TestPatternsThatAreNeverRunAreNotCompiled(t *testing.T) {
	schema := `{"type":"string","pattern":"` + strings.Repeat("a{1000}", 4000) + `"}`
	if _, err := Decode([]byte(withMore(`,"response_format":{"type":"json_schema","json_schema":{"name":"f","schema":` + schema + `}}`))); err != nil {
		t.Error(err)
	}
}

func withMore(more string) string {
	return `{"model":"m","messages":[{"role":"user","content":"x"}]` + more + `}`
}

func callWith(arguments string) string {
	return `{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":` +
		strconv.Quote(arguments) + `}}]},{"role":"tool","tool_call_id":"c","content":"r"}]}`
}
