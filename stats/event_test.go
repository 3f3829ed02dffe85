package stats

import (
	"testing"

	"maxrelay/session/chat"
)

func TestCacheReadShare(t *testing.T) {
	tests := []struct {
		name  string
		usage chat.Usage
		want  float64
	}{
		{"no prompt", chat.Usage{OutputTokens: 5}, 0},
		{"nothing read", chat.Usage{InputTokens: 3, CacheWriteTokens: 4}, 0},
		{"all read", chat.Usage{CacheReadTokens: 9, OutputTokens: 100}, 1},
		{"written tokens are of the prompt too", chat.Usage{InputTokens: 1, CacheWriteTokens: 1, CacheReadTokens: 2}, 0.5},
		{"four digits", chat.Usage{InputTokens: 1, CacheReadTokens: 2}, 0.6667},
	}
	for _, tt := range tests {
		if got := CacheReadShare(tt.usage); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
