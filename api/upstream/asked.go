package upstream

import (
	"encoding/json"
	"net/http"
	"strings"

	"maxrelay/session/chat"
)

// Asked is what a request's body says that this program has to know.
type Asked struct {
	Model     string // "" when it is no model request, or when the name is none
	Stream    bool
	MaxTokens int // 0: not said
	Input     int // estimate of the prompt's tokens, from its bytes and its pictures
}

// Look finds it without decoding the rest. A body that is no JSON object asks for nothing.
//
// Its error is a *chat.Error: what is looked for stands there twice, or in another
// spelling, so that an upstream may read it otherwise than it was read here.
func Look(body []byte) (Asked, error) {
	var prompt texts
	s := newScanner(&prompt, member{"", "model"}, member{"", "stream"}, member{"", "max_tokens"})
	s.feed(body)
	if s.unclear {
		return Asked{}, chat.Invalid("", "the body's members must be there once and their names be written plainly")
	}
	var a Asked
	_ = json.Unmarshal(s.get("", "model"), &a.Model) // of another type: as if it were not there
	_ = json.Unmarshal(s.get("", "stream"), &a.Stream)
	_ = json.Unmarshal(s.get("", "max_tokens"), &a.MaxTokens)
	a.Model, a.MaxTokens = saneModel(a.Model), sane(a.MaxTokens)
	a.Input = chat.EstimateBytes(len(body)-prompt.mediaBytes) + prompt.media*chat.MediaTokens
	return a, nil
}

// saneModel returns "" for what must not reach logs, records and metrics as a name.
func saneModel(name string) string {
	if len(name) > 128 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return name
}

// The paths of the Messages API that matter to what a request costs.
const (
	MessagesPath    = "/v1/messages"
	CountTokensPath = "/v1/messages/count_tokens"
	filesPath       = "/v1/files"
)

// UsesModel reports whether a request costs tokens. Counting them does not.
func (a Asked) UsesModel(r *http.Request) bool {
	return a.Model != "" && r.Method == http.MethodPost && r.URL.EscapedPath() != CountTokensPath
}

// Counted reports whether it is known what a request costs: that of a model request is
// read from its answer, and others cost nothing. A batch, say, is neither.
func (a Asked) Counted(r *http.Request) bool {
	switch r.URL.EscapedPath() {
	case CountTokensPath, filesPath:
		return true
	case MessagesPath:
		return a.Model != "" || r.Method != http.MethodPost
	}
	return a.UsesModel(r) || r.Method != http.MethodPost
}
