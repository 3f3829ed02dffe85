package openai

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"maxrelay/session/chat"
)

// failure is how a kind of failure looks on the wire.
type failure struct {
	status int
	kind   string // the envelope's type
	code   string // "" for null
	// heals is the retry-after where the failure does not tell its own; 0 for
	// failures that waiting does not heal.
	heals time.Duration
	// may says that it heals only when it tells when.
	may bool
	// final asks the official SDKs, which retry every 429, not to.
	final bool
}

// StatusClientClosed is what logs and records say of a client that left before it had
// an answer. Nobody receives it.
const StatusClientClosed = 499

// failures is the one table from what went wrong to what a client is told.
var failures = map[chat.Code]failure{
	chat.CodeInvalid:         {status: http.StatusBadRequest, kind: "invalid_request_error"},
	chat.CodeContextLength:   {status: http.StatusBadRequest, kind: "invalid_request_error", code: "context_length_exceeded"},
	chat.CodeUnauthenticated: {status: http.StatusUnauthorized, kind: "invalid_request_error", code: "invalid_api_key"},
	chat.CodeForbidden:       {status: http.StatusForbidden, kind: "permission_error"},
	chat.CodeModelNotFound:   {status: http.StatusNotFound, kind: "invalid_request_error", code: "model_not_found"},
	chat.CodeNotFound:        {status: http.StatusNotFound, kind: "invalid_request_error", code: "not_found"},
	chat.CodeMethod:          {status: http.StatusMethodNotAllowed, kind: "invalid_request_error", code: "method_not_allowed"},
	chat.CodeTooLarge:        {status: http.StatusRequestEntityTooLarge, kind: "invalid_request_error", code: "request_too_large"},
	chat.CodeRateLimited:     {status: http.StatusTooManyRequests, kind: "rate_limit_error", code: "rate_limit_exceeded", heals: 30 * time.Second},
	chat.CodeQuota:           {status: http.StatusTooManyRequests, kind: "insufficient_quota", code: "insufficient_quota", may: true, final: true},
	chat.CodeUsageLimit:      {status: http.StatusTooManyRequests, kind: "rate_limit_error", code: "usage_limit_reached", heals: 5 * time.Minute, final: true},
	chat.CodeQueueFull:       {status: http.StatusServiceUnavailable, kind: "service_unavailable", code: "queue_full", heals: time.Second},
	chat.CodeNoWorker:        {status: http.StatusServiceUnavailable, kind: "service_unavailable", code: "no_worker", heals: 5 * time.Second},
	chat.CodeOverloaded:      {status: http.StatusServiceUnavailable, kind: "service_unavailable", code: "overloaded", heals: 10 * time.Second},
	chat.CodeUpstream:        {status: http.StatusBadGateway, kind: "api_error", code: "worker_failed"},
	chat.CodeWorkerFailed:    {status: http.StatusBadGateway, kind: "api_error", code: "worker_failed"},
	chat.CodeAccount:         {status: http.StatusBadGateway, kind: "api_error", code: "account_unavailable"},
	chat.CodeInvalidOutput:   {status: http.StatusBadGateway, kind: "api_error", code: "invalid_output"},
	chat.CodeTurnTimeout:     {status: http.StatusGatewayTimeout, kind: "api_error", code: "turn_timeout"},
	chat.CodeCancelled:       {status: StatusClientClosed, kind: "api_error", code: "cancelled"},
	chat.CodeInternal:        {status: http.StatusInternalServerError, kind: "api_error", code: "internal_error"},
	chat.CodeKeyReused:       {status: http.StatusUnprocessableEntity, kind: "invalid_request_error", code: "idempotency_key_reused"},
	chat.CodeKeyElsewhere:    {status: http.StatusConflict, kind: "conflict_error", code: "idempotency_conflict", heals: 5 * time.Second},
}

// Failure is an error ready to be sent.
type Failure struct {
	Status     int
	RetryAfter time.Duration // whole seconds for the retry-after header; 0: none
	Final      bool          // x-should-retry: false
	Code       string        // for logs and records; never ""
	Body       []byte        // {"error":{…}}
}

// FailureOf translates an error. One that is no *chat.Error, or has an unknown code,
// is a fault of this program: its text is for the log, not for the client.
func FailureOf(err error) Failure {
	e, ok := errors.AsType[*chat.Error](err)
	if !ok {
		e = &chat.Error{Code: chat.CodeInternal, Message: "the server made a mistake; its log has the request id"}
	}
	f, known := failures[e.Code]
	if !known {
		f = failures[chat.CodeInternal]
	}
	return Failure{
		Status:     f.status,
		RetryAfter: f.retryAfter(e),
		Final:      f.final,
		Code:       string(e.Code),
		Body:       f.envelope(e),
	}
}

// Frame returns the failure as the last event of a stream.
func (f Failure) Frame() []byte {
	return append(append([]byte("data: "), f.Body...), "\n\n"...)
}

func (f failure) retryAfter(e *chat.Error) time.Duration {
	wait := f.heals
	if e.RetryAfter > 0 && (f.may || f.heals > 0) {
		wait = e.RetryAfter
	}
	if wait == 0 {
		return 0
	}
	return max(time.Second, (wait + time.Second - 1).Truncate(time.Second))
}

func (f failure) envelope(e *chat.Error) []byte {
	type detail struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	d := detail{Message: e.Message, Type: f.kind}
	if e.Param != "" {
		d.Param = &e.Param
		d.Message = e.Param + ": " + e.Message
	}
	if f.code != "" {
		d.Code = &f.code
	}
	body, _ := json.Marshal(map[string]detail{"error": d}) // strings only
	return body
}
