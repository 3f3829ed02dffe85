package session

import (
	"encoding/json"
	"testing"
)

func TestSettingsNameEveryVariableEachTime(t *testing.T) {
	tests := []struct {
		name    string
		set     settings
		environ []string
		want    string
	}{
		{"the defaults", settings{}, nil,
			`{"effortLevel":null,"env":{"CLAUDE_CODE_DISABLE_THINKING":"","CLAUDE_CODE_EXTRA_BODY":"","CLAUDE_CODE_MAX_OUTPUT_TOKENS":"","DISABLE_PROMPT_CACHING":""}}`},
		{"everything", settings{effort: "low", maxTokens: 7, noThinking: true, uncached: true, extra: `{"top_p":1}`}, nil,
			`{"effortLevel":"low","env":{"CLAUDE_CODE_DISABLE_THINKING":"1","CLAUDE_CODE_EXTRA_BODY":"{\"top_p\":1}","CLAUDE_CODE_MAX_OUTPUT_TOKENS":"7","DISABLE_PROMPT_CACHING":"1"}}`},
		{"back to an operator's own", settings{}, []string{"CLAUDE_CODE_MAX_OUTPUT_TOKENS=1", "A=b", "CLAUDE_CODE_MAX_OUTPUT_TOKENS=4096"},
			`{"effortLevel":null,"env":{"CLAUDE_CODE_DISABLE_THINKING":"","CLAUDE_CODE_EXTRA_BODY":"","CLAUDE_CODE_MAX_OUTPUT_TOKENS":"4096","DISABLE_PROMPT_CACHING":""}}`},
	}
	for _, tt := range tests {
		got, err := json.Marshal(tt.set.flags(tt.environ))
		if err != nil || string(got) != tt.want {
			t.Errorf("%s: %s (%v), want %s", tt.name, got, err, tt.want)
		}
	}
}
