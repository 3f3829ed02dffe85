package upstream

import (
	"encoding/json"
	"net/http"
	"strings"
)

// Asked is what a request's body says that this program has to know.
type Asked struct {
	Model     string // "" when it is no model request, or when the name is none
	Stream    bool
	MaxTokens int // 0: not said
}

// Look finds it without decoding the rest. A body that is no JSON object asks for nothing.
func Look(body []byte) Asked {
	s := newScanner(nil, member{"", "model"}, member{"", "stream"}, member{"", "max_tokens"})
	s.feed(body)
	var a Asked
	_ = json.Unmarshal(s.get("", "model"), &a.Model) // of another type: as if it were not there
	_ = json.Unmarshal(s.get("", "stream"), &a.Stream)
	_ = json.Unmarshal(s.get("", "max_tokens"), &a.MaxTokens)
	a.Model, a.MaxTokens = saneModel(a.Model), sane(a.MaxTokens)
	return a
}

// saneModel returns "" for what must not reach logs, records and metrics as a name.
func saneModel(name string) string {
	if len(name) > 128 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return ""
	}
	return name
}

// usesModel reports whether a request costs tokens. Counting them does not.
func (a Asked) usesModel(r *http.Request) bool {
	return a.Model != "" && r.Method == http.MethodPost && !strings.HasSuffix(r.URL.Path, "/count_tokens")
}
