package anthropic

import (
	"encoding/json"
	"net/http"
	"time"

	"maxrelay/api/failure"
	"maxrelay/session/chat"
)

// statusOverloaded is Anthropic's own.
const statusOverloaded = 529

// failures is the one table from what went wrong to what a client of the Messages API is
// told.
var failures = failure.Table{
	chat.CodeInvalid:         {Status: http.StatusBadRequest, Kind: "invalid_request_error"},
	chat.CodeContextLength:   {Status: http.StatusBadRequest, Kind: "invalid_request_error"},
	chat.CodeKeyReused:       {Status: http.StatusBadRequest, Kind: "invalid_request_error"},
	chat.CodeUnauthenticated: {Status: http.StatusUnauthorized, Kind: "authentication_error"},
	chat.CodeForbidden:       {Status: http.StatusForbidden, Kind: "permission_error"},
	chat.CodeModelNotFound:   {Status: http.StatusNotFound, Kind: "not_found_error"},
	chat.CodeNotFound:        {Status: http.StatusNotFound, Kind: "not_found_error"},
	chat.CodeMethod:          {Status: http.StatusMethodNotAllowed, Kind: "invalid_request_error"},
	chat.CodeTooLarge:        {Status: http.StatusRequestEntityTooLarge, Kind: "request_too_large"},
	chat.CodeRateLimited:     {Status: http.StatusTooManyRequests, Kind: "rate_limit_error", Heals: 30 * time.Second},
	chat.CodeUsageLimit:      {Status: http.StatusTooManyRequests, Kind: "rate_limit_error", Heals: 5 * time.Minute, Final: true},
	chat.CodeQuota:           {Status: http.StatusTooManyRequests, Kind: "rate_limit_error", May: true, Final: true},
	chat.CodeQueueFull:       {Status: statusOverloaded, Kind: "overloaded_error", Heals: time.Second},
	chat.CodeNoWorker:        {Status: statusOverloaded, Kind: "overloaded_error", Heals: 5 * time.Second},
	chat.CodeKeyElsewhere:    {Status: statusOverloaded, Kind: "overloaded_error", Heals: 5 * time.Second},
	chat.CodeNotReady:        {Status: statusOverloaded, Kind: "overloaded_error", Heals: 2 * time.Second},
	chat.CodeOverloaded:      {Status: statusOverloaded, Kind: "overloaded_error", Heals: 10 * time.Second},
	chat.CodeUpstream:        {Status: http.StatusBadGateway, Kind: "api_error"},
	chat.CodeWorkerFailed:    {Status: http.StatusBadGateway, Kind: "api_error"},
	chat.CodeAccount:         {Status: http.StatusBadGateway, Kind: "api_error"},
	chat.CodeInvalidOutput:   {Status: http.StatusBadGateway, Kind: "api_error"},
	chat.CodeTurnTimeout:     {Status: http.StatusBadGateway, Kind: "api_error"},
	chat.CodeCancelled:       {Status: failure.StatusClientClosed, Kind: "api_error"},
	chat.CodeInternal:        {Status: http.StatusInternalServerError, Kind: "api_error"},
}

// FailureOf translates an error for the request of that id.
func FailureOf(err error, request string) failure.Failure {
	f, c, e := failures.Of(err)
	f.Body = envelope(c, e, request)
	f.Event = append(append([]byte("event: error\ndata: "), f.Body...), "\n\n"...)
	return f
}

// tooLong is by what clients know that they have to shorten the conversation: Claude Code
// 2.1.330 does it by itself then.
const tooLong = "prompt is too long: "

// errorCodes are for the SDKs, by the field at fault: theirs send the whole conversation
// when they are told that the server keeps none (Node 1.12.0).
var errorCodes = map[string]string{"thread": "thread_unsupported_request"}

func envelope(c failure.Case, e *chat.Error, request string) []byte {
	type detail struct {
		Type    string            `json:"type"`
		Message string            `json:"message"`
		Details map[string]string `json:"details,omitempty"`
	}
	d := detail{Type: c.Kind, Message: e.Message}
	switch {
	case e.Param != "":
		d.Message = e.Param + ": " + e.Message
	case e.Code == chat.CodeContextLength:
		d.Message = tooLong + e.Message
	}
	if code, ok := errorCodes[e.Param]; ok {
		d.Details = map[string]string{"error_code": code}
	}
	body, _ := json.Marshal(struct { // strings only
		Type    string `json:"type"`
		Error   detail `json:"error"`
		Request string `json:"request_id"`
	}{"error", d, request})
	return body
}
