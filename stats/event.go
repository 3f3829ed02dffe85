package stats

import (
	"time"

	"maxrelay/session/chat"
)

// Event is what is kept of one model request, whatever happened to it. It never holds
// prompt text, an answer's text or a secret. The JSON names are stable: events of a
// year ago are read by the programs of today.
type Event struct {
	ID     string    `json:"id"` // the request id, also the broker's message id
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
	FirstMS    int64 `json:"first_ms,omitempty"` // request to the first content
	DurationMS int64 `json:"duration_ms"`        // request to the last byte

	Usage     chat.Usage `json:"usage"`               // of all attempts
	Estimated bool       `json:"estimated,omitempty"` // Usage is not, or not only, the upstream's count

	RequestBytes  int64 `json:"request_bytes,omitempty"`
	ResponseBytes int64 `json:"response_bytes,omitempty"`
}
