package upstream

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"maxrelay/session/chat"
)

const (
	// statusClientClosed is what records say of a client that left before it had an
	// answer. Nobody receives it.
	statusClientClosed = 499

	// statusOverloaded is Anthropic's own.
	statusOverloaded = 529
)

// failure is how a kind of failure looks on the wire.
type failure struct {
	status int
	kind   string
	heals  time.Duration // retry-after where the failure does not tell its own; 0: waiting does not help
	final  bool          // asks the SDKs, which retry every 429, not to
}

// failures is the one table from what went wrong to what Anthropic's clients are told.
var failures = map[chat.Code]failure{
	chat.CodeInvalid:         {status: http.StatusBadRequest, kind: "invalid_request_error"},
	chat.CodeContextLength:   {status: http.StatusBadRequest, kind: "invalid_request_error"},
	chat.CodeKeyReused:       {status: http.StatusBadRequest, kind: "invalid_request_error"},
	chat.CodeUnauthenticated: {status: http.StatusUnauthorized, kind: "authentication_error"},
	chat.CodeForbidden:       {status: http.StatusForbidden, kind: "permission_error"},
	chat.CodeModelNotFound:   {status: http.StatusNotFound, kind: "not_found_error"},
	chat.CodeNotFound:        {status: http.StatusNotFound, kind: "not_found_error"},
	chat.CodeMethod:          {status: http.StatusMethodNotAllowed, kind: "invalid_request_error"},
	chat.CodeTooLarge:        {status: http.StatusRequestEntityTooLarge, kind: "request_too_large"},
	chat.CodeRateLimited:     {status: http.StatusTooManyRequests, kind: "rate_limit_error", heals: 30 * time.Second},
	chat.CodeUsageLimit:      {status: http.StatusTooManyRequests, kind: "rate_limit_error", heals: 5 * time.Minute, final: true},
	chat.CodeQuota:           {status: http.StatusTooManyRequests, kind: "rate_limit_error", final: true},
	chat.CodeQueueFull:       {status: statusOverloaded, kind: "overloaded_error", heals: time.Second},
	chat.CodeNoWorker:        {status: statusOverloaded, kind: "overloaded_error", heals: 5 * time.Second},
	chat.CodeKeyElsewhere:    {status: statusOverloaded, kind: "overloaded_error", heals: 5 * time.Second},
	chat.CodeOverloaded:      {status: statusOverloaded, kind: "overloaded_error", heals: 10 * time.Second},
	chat.CodeUpstream:        {status: http.StatusBadGateway, kind: "api_error"},
	chat.CodeWorkerFailed:    {status: http.StatusBadGateway, kind: "api_error"},
	chat.CodeAccount:         {status: http.StatusBadGateway, kind: "api_error"},
	chat.CodeInvalidOutput:   {status: http.StatusBadGateway, kind: "api_error"},
	chat.CodeTurnTimeout:     {status: http.StatusBadGateway, kind: "api_error"},
	chat.CodeCancelled:       {status: statusClientClosed, kind: "api_error"},
	chat.CodeInternal:        {status: http.StatusInternalServerError, kind: "api_error"},
}

// Failure is an error ready to be sent.
type Failure struct {
	Status     int
	RetryAfter time.Duration // whole seconds; 0: none
	Final      bool          // x-should-retry: false
	Code       string        // for logs and records; never ""
	Body       []byte        // {"type":"error","error":{…}}
}

// FailureOf translates an error. One that is no *chat.Error, or has an unknown code, is
// a fault of this program: its text is for the log, not for the client.
func FailureOf(err error) Failure {
	e, ok := errors.AsType[*chat.Error](err)
	if !ok {
		e = &chat.Error{Code: chat.CodeInternal, Message: "the server made a mistake; its log has the request id"}
	}
	f, known := failures[e.Code]
	if !known {
		f = failures[chat.CodeInternal]
	}
	return Failure{Status: f.status, RetryAfter: f.retryAfter(e), Final: f.final, Code: string(e.Code), Body: f.envelope(e)}
}

// Write sends the failure as a whole answer.
func (f Failure) Write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	nameRequest(h)
	if f.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(f.RetryAfter.Seconds())))
	}
	if f.Final {
		h.Set("X-Should-Retry", "false")
	}
	w.WriteHeader(f.Status)
	_, _ = w.Write(f.Body) // a client that left needs no error
}

// Frame returns the failure as the last event of a stream.
func (f Failure) Frame() []byte {
	return append(append([]byte("event: error\ndata: "), f.Body...), "\n\n"...)
}

func (f failure) retryAfter(e *chat.Error) time.Duration {
	if f.heals == 0 {
		return 0
	}
	wait := e.RetryAfter
	if wait <= 0 {
		wait = f.heals
	}
	return max(time.Second, (wait + time.Second - 1).Truncate(time.Second))
}

func (f failure) envelope(e *chat.Error) []byte {
	type detail struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	message := e.Message
	if e.Param != "" {
		message = e.Param + ": " + message
	}
	body, _ := json.Marshal(struct { // strings only
		Type  string `json:"type"`
		Error detail `json:"error"`
	}{"error", detail{f.kind, message}})
	return body
}

// codeOf names the failure that an upstream's status tells of; "" for none.
func codeOf(status int) chat.Code {
	switch {
	case status < 400:
		return ""
	case status == http.StatusNotFound:
		return chat.CodeNotFound
	case status == http.StatusRequestEntityTooLarge:
		return chat.CodeTooLarge
	case status == http.StatusTooManyRequests:
		return chat.CodeRateLimited
	case status == http.StatusServiceUnavailable, status == statusOverloaded:
		return chat.CodeOverloaded
	case status < 500:
		return chat.CodeInvalid
	}
	return chat.CodeUpstream
}
