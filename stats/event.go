package stats

import (
	"cmp"
	"math"
	"time"

	"maxrelay/session/chat"
)

// Event is what is kept of one model request, whatever happened to it. It never holds
// prompt text, an answer's text or a secret. The JSON names are stable: events of a
// year ago are read by the programs of today.
type Event struct {
	ID     string    `json:"id"`                   // ours, also the broker's message id
	Label  string    `json:"request_id,omitempty"` // the id the client gave its request and was told, if it gave one
	Time   time.Time `json:"time"`
	KeyID  string    `json:"key_id"`
	Method string    `json:"method"`
	Path   string    `json:"path"` // the route's template

	Model    string `json:"model"`                    // as the client asked for it
	Upstream string `json:"upstream_model,omitempty"` // the model that answered
	Stream   bool   `json:"stream,omitempty"`

	Status    int    `json:"status"`               // HTTP status; 499 for a client that left
	ErrorCode string `json:"error_code,omitempty"` // a chat.Code

	Session  chat.Session `json:"session,omitempty"`
	Worker   string       `json:"worker,omitempty"`   // its id
	Attempts int          `json:"attempts,omitempty"` // granted claims; 0: no worker ever had it

	QueueMS    int64 `json:"queue_ms,omitempty"` // submit to the last claim
	FirstMS    int64 `json:"first_ms,omitempty"` // request to the first content; 0: there was none
	DurationMS int64 `json:"duration_ms"`        // request to the last byte

	Usage     chat.Usage `json:"usage"`               // of all attempts
	Estimated bool       `json:"estimated,omitempty"` // Usage is not, or not only, the upstream's count
	// CacheReadShare is how much of the prompt was read from the upstream's cache.
	CacheReadShare float64 `json:"cache_read_share"`

	RequestBytes  int64 `json:"request_bytes,omitempty"`
	ResponseBytes int64 `json:"response_bytes,omitempty"`
}

// RequestID is the one that the client was told.
func (e Event) RequestID() string { return cmp.Or(e.Label, e.ID) }

// Failed reports whether a request with this error code, "" for none, counts as an
// error. One whose client left does not: nothing failed, and what was used was used.
func Failed(code string) bool { return code != "" && code != string(chat.CodeCancelled) }

// CacheReadShare is the part of the prompt's tokens that was read from the upstream's
// cache, 0 to 1, to four digits; 0 where there was no prompt.
func CacheReadShare(u chat.Usage) float64 {
	if u.PromptTokens() == 0 {
		return 0
	}
	return math.Round(1e4*float64(u.CacheReadTokens)/float64(u.PromptTokens())) / 1e4
}
