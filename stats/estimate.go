package stats

import (
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/pkoukk/tiktoken-go"
	loader "github.com/pkoukk/tiktoken-go-loader"
)

// Estimator estimates how many tokens a text has, for turns that ended before the
// upstream's counts came. It counts with OpenAI's cl100k_base, which comes near to
// what the models behind the CLI count and needs no network. The zero value is ready;
// the vocabulary (some 10 MB) is loaded at the first use.
type Estimator struct {
	once  sync.Once
	codec *tiktoken.Tiktoken
	err   error

	// one lets a single estimate run at a time: texts come from callers, who must not
	// be able to keep every core at it.
	one sync.Mutex
}

const (
	// pieceBytes bounds what the tokenizer sees at once: its time is quadratic in the
	// length of a word, and a caller may send a word of 50 MB.
	pieceBytes = 2 << 10

	// exactBytes is how much of a text is tokenized. The rest is counted by the
	// density found so far.
	exactBytes = 128 << 10

	// bytesPerToken stands in for the tokenizer where there is none.
	bytesPerToken = 4
)

// Tokens estimates the number of tokens of text.
func (e *Estimator) Tokens(text string) int {
	if text == "" {
		return 0
	}
	e.once.Do(e.load)
	if e.err != nil {
		return (len(text) + bytesPerToken - 1) / bytesPerToken
	}
	e.one.Lock()
	defer e.one.Unlock()
	total, tokens, rest := len(text), 0, text
	for rest != "" && total-len(rest) < exactBytes {
		var piece string
		piece, rest = cut(rest)
		tokens += len(e.codec.EncodeOrdinary(piece))
	}
	done := total - len(rest)
	return tokens + int(float64(len(rest))*float64(tokens)/float64(done))
}

// Err returns why the tokenizer could not be loaded; estimates are then coarse.
func (e *Estimator) Err() error {
	e.once.Do(e.load)
	return e.err
}

// vocabulary is where cl100k_base is published; the loader has a copy under its name.
const vocabulary = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"

// words is cl100k_base's pattern of what may become a token.
const words = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`

// load builds the tokenizer without the library's global loader, which other code in
// the process could replace by one that downloads.
func (e *Estimator) load() {
	ranks, err := loader.NewOfflineLoader().LoadTiktokenBpe(vocabulary)
	if err != nil {
		e.err = fmt.Errorf("loading the tokenizer: %w", err)
		return
	}
	core, err := tiktoken.NewCoreBPE(ranks, map[string]int{}, words)
	if err != nil {
		e.err = fmt.Errorf("loading the tokenizer: %w", err)
		return
	}
	e.codec = tiktoken.NewTiktoken(core, nil, nil)
}

// cut takes a piece of at most pieceBytes from text, if possible up to white space,
// otherwise up to a rune's border.
func cut(text string) (piece, rest string) {
	if len(text) <= pieceBytes {
		return text, ""
	}
	if i := strings.LastIndexAny(text[:pieceBytes], " \t\r\n"); i > 0 {
		return text[:i], text[i:]
	}
	n := pieceBytes
	for n > pieceBytes-utf8.UTFMax && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n], text[n:]
}
