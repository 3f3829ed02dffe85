package openai

import (
	"encoding/json"
	"net/http"
	"time"

	"maxrelay/api/failure"
	"maxrelay/session/chat"
)

// failures is the one table from what went wrong to what a client is told.
var failures = failure.Table{
	chat.CodeInvalid:         {Status: http.StatusBadRequest, Kind: "invalid_request_error"},
	chat.CodeContextLength:   {Status: http.StatusBadRequest, Kind: "invalid_request_error", Code: "context_length_exceeded"},
	chat.CodeUnauthenticated: {Status: http.StatusUnauthorized, Kind: "invalid_request_error", Code: "invalid_api_key"},
	chat.CodeForbidden:       {Status: http.StatusForbidden, Kind: "permission_error"},
	chat.CodeModelNotFound:   {Status: http.StatusNotFound, Kind: "invalid_request_error", Code: "model_not_found"},
	chat.CodeNotFound:        {Status: http.StatusNotFound, Kind: "invalid_request_error", Code: "not_found"},
	chat.CodeMethod:          {Status: http.StatusMethodNotAllowed, Kind: "invalid_request_error", Code: "method_not_allowed"},
	chat.CodeTooLarge:        {Status: http.StatusRequestEntityTooLarge, Kind: "invalid_request_error", Code: "request_too_large"},
	chat.CodeRateLimited:     {Status: http.StatusTooManyRequests, Kind: "rate_limit_error", Code: "rate_limit_exceeded", Heals: 30 * time.Second},
	chat.CodeQuota:           {Status: http.StatusTooManyRequests, Kind: "insufficient_quota", Code: "insufficient_quota", May: true, Final: true},
	chat.CodeUsageLimit:      {Status: http.StatusTooManyRequests, Kind: "rate_limit_error", Code: "usage_limit_reached", Heals: 5 * time.Minute, Final: true},
	chat.CodeQueueFull:       {Status: http.StatusServiceUnavailable, Kind: "service_unavailable", Code: "queue_full", Heals: time.Second},
	chat.CodeNoWorker:        {Status: http.StatusServiceUnavailable, Kind: "service_unavailable", Code: "no_worker", Heals: 5 * time.Second},
	chat.CodeOverloaded:      {Status: http.StatusServiceUnavailable, Kind: "service_unavailable", Code: "overloaded", Heals: 10 * time.Second},
	chat.CodeUpstream:        {Status: http.StatusBadGateway, Kind: "api_error", Code: "worker_failed"},
	chat.CodeWorkerFailed:    {Status: http.StatusBadGateway, Kind: "api_error", Code: "worker_failed"},
	chat.CodeAccount:         {Status: http.StatusBadGateway, Kind: "api_error", Code: "account_unavailable"},
	chat.CodeInvalidOutput:   {Status: http.StatusBadGateway, Kind: "api_error", Code: "invalid_output"},
	chat.CodeTurnTimeout:     {Status: http.StatusGatewayTimeout, Kind: "api_error", Code: "turn_timeout"},
	chat.CodeCancelled:       {Status: failure.StatusClientClosed, Kind: "api_error", Code: "cancelled"},
	chat.CodeInternal:        {Status: http.StatusInternalServerError, Kind: "api_error", Code: "internal_error"},
	chat.CodeKeyReused:       {Status: http.StatusUnprocessableEntity, Kind: "invalid_request_error", Code: "idempotency_key_reused"},
	chat.CodeKeyElsewhere:    {Status: http.StatusConflict, Kind: "conflict_error", Code: "idempotency_conflict", Heals: 5 * time.Second},
	chat.CodeNotReady:        {Status: http.StatusServiceUnavailable, Kind: "service_unavailable", Code: "usage_not_ready", Heals: 2 * time.Second},
}

// FailureOf translates an error.
func FailureOf(err error) failure.Failure {
	f, c, e := failures.Of(err)
	f.Body = envelope(c, e)
	f.Event = append(append([]byte("data: "), f.Body...), "\n\n"...)
	return f
}

// envelope is {"error":{…}}.
func envelope(c failure.Case, e *chat.Error) []byte {
	type detail struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	d := detail{Message: e.Message, Type: c.Kind}
	if e.Param != "" {
		d.Param = &e.Param
		d.Message = e.Param + ": " + e.Message
	}
	if c.Code != "" {
		d.Code = &c.Code
	}
	body, _ := json.Marshal(map[string]detail{"error": d}) // strings only
	return body
}
