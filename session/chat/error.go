package chat

import (
	"fmt"
	"time"
)

// Code says what went wrong. Codes are decided where the failure is seen; the status
// and the words a client gets for each stand in one table at the edge.
type Code string

// The codes.
const (
	CodeInvalid         Code = "invalid_request"         // the request is wrong; Param names where
	CodeContextLength   Code = "context_length_exceeded" // longer than the model's context
	CodeModelNotFound   Code = "model_not_found"
	CodeTooLarge        Code = "request_too_large"
	CodeRateLimited     Code = "rate_limit_exceeded" // the key's rate, or the upstream's that is no usage window
	CodeQuota           Code = "insufficient_quota"  // the key's tokens, of the day or for good
	CodeUsageLimit      Code = "usage_limit_reached" // the account's window is used up
	CodeOverloaded      Code = "overloaded"          // upstream 503 or 529
	CodeUpstream        Code = "upstream_failed"     // upstream 500, lost connection, broken stream
	CodeAccount         Code = "account_unavailable" // upstream 401 or 403: the operator's sign-in
	CodeInvalidOutput   Code = "invalid_output"      // the answer does not have the format asked for
	CodeWorkerFailed    Code = "worker_failed"       // the CLI or its worker died, hung or spoke nonsense
	CodeQueueFull       Code = "queue_full"
	CodeNoWorker        Code = "no_worker"
	CodeTurnTimeout     Code = "turn_timeout"
	CodeCancelled       Code = "cancelled" // the client left, or the owner gave the turn up
	CodeUnauthenticated Code = "invalid_api_key"
	CodeForbidden       Code = "permission_denied"
	CodeNotFound        Code = "not_found"
	CodeMethod          Code = "method_not_allowed"
	CodeInternal        Code = "internal_error"
	CodeKeyReused       Code = "idempotency_key_reused" // for another body
	CodeKeyElsewhere    Code = "idempotency_conflict"   // another node has the answer
	CodeNotReady        Code = "usage_not_ready"        // the numbers asked for are being gathered
)

// Told is the one name of a failure for everybody outside: in answers, records, logs and
// metrics. Whether the model's servers failed or the worker decides what is tried again;
// who asked and who operates do the same of both.
func (c Code) Told() Code {
	if c == CodeUpstream {
		return CodeWorkerFailed
	}
	return c
}

// Error is a failure with words for the person who made the request. Message never
// holds prompt text, keys, tokens or paths of the worker's machine.
type Error struct {
	Code       Code          `json:"code"`
	Message    string        `json:"message"`
	Param      string        `json:"param,omitempty"`       // the request field at fault, like messages[2].content
	RetryAfter time.Duration `json:"retry_after,omitempty"` // 0: not known
}

func (e *Error) Error() string {
	if e.Param != "" {
		return fmt.Sprintf("%s: %s: %s", e.Code.Told(), e.Param, e.Message)
	}
	return fmt.Sprintf("%s: %s", e.Code.Told(), e.Message)
}

// Invalid returns a CodeInvalid error for the request field param.
func Invalid(param, format string, args ...any) *Error {
	return &Error{Code: CodeInvalid, Param: param, Message: fmt.Sprintf(format, args...)}
}
