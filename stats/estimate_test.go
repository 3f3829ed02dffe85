package stats

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestEstimates(t *testing.T) {
	var e Estimator
	if err := e.Err(); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		text     string
		low, top int
	}{
		"nothing":      {"", 0, 0},
		"a greeting":   {"hello world", 2, 2},
		"special text": {"<|endoftext|>", 2, 10},
		"words":        {strings.Repeat("the quick brown fox ", 1000), 4000, 4100},
		"not UTF-8":    {"\xff\xfe", 1, 10},
	} {
		t.Run(name, func(t *testing.T) {
			if got := e.Tokens(tc.text); got < tc.low || got > tc.top {
				t.Errorf("%d tokens, want %d to %d", got, tc.low, tc.top)
			}
		})
	}
}

func TestHugeTextsAreEstimatedByTheirDensity(t *testing.T) {
	var e Estimator
	unit := strings.Repeat("some words. ", 2000)
	one, hundred := e.Tokens(unit), e.Tokens(strings.Repeat(unit, 200))
	if hundred < 190*one || hundred > 210*one {
		t.Errorf("%d tokens for 200 times %d", hundred, one)
	}
}

func FuzzCutLosesNothing(f *testing.F) {
	f.Add(strings.Repeat("word ", 2000))
	f.Add(strings.Repeat("é", 5000))
	f.Add(strings.Repeat("\xbf", 9000))
	f.Add(" " + strings.Repeat("x", 9000))
	f.Fuzz(func(t *testing.T, text string) {
		whole := ""
		for rest := text; rest != ""; {
			var piece string
			piece, rest = cut(rest)
			if piece == "" || len(piece) > pieceBytes {
				t.Fatalf("a piece of %d bytes", len(piece))
			}
			if utf8.ValidString(text) && !utf8.ValidString(piece) {
				t.Fatal("a rune was cut")
			}
			whole += piece
		}
		if whole != text {
			t.Fatal("text was lost")
		}
	})
}

func BenchmarkTokensOfALongWord(b *testing.B) {
	var e Estimator
	word := strings.Repeat("x", 1<<20)
	for b.Loop() {
		e.Tokens(word)
	}
}
