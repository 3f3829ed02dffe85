package openai

import (
	"fmt"
	"testing"
	"time"

	"maxrelay/session/chat"
)

func TestErrorsOnTheWire(t *testing.T) {
	const envelope = `{"error":{"message":"m","type":"%s","param":null,"code":%s}}`
	for code, want := range map[chat.Code]struct {
		status     int
		kind, code string
		retry      time.Duration
		final      bool
	}{
		chat.CodeInvalid:         {400, "invalid_request_error", `null`, 0, false},
		chat.CodeContextLength:   {400, "invalid_request_error", `"context_length_exceeded"`, 0, false},
		chat.CodeUnauthenticated: {401, "invalid_request_error", `"invalid_api_key"`, 0, false},
		chat.CodeForbidden:       {403, "permission_error", `null`, 0, false},
		chat.CodeModelNotFound:   {404, "invalid_request_error", `"model_not_found"`, 0, false},
		chat.CodeTooLarge:        {413, "invalid_request_error", `"request_too_large"`, 0, false},
		chat.CodeRateLimited:     {429, "rate_limit_error", `"rate_limit_exceeded"`, 30 * time.Second, false},
		chat.CodeQuota:           {429, "insufficient_quota", `"insufficient_quota"`, 0, true},
		chat.CodeUsageLimit:      {429, "rate_limit_error", `"usage_limit_reached"`, 5 * time.Minute, true},
		chat.CodeQueueFull:       {503, "service_unavailable", `"queue_full"`, time.Second, false},
		chat.CodeNoWorker:        {503, "service_unavailable", `"no_worker"`, 5 * time.Second, false},
		chat.CodeOverloaded:      {503, "service_unavailable", `"overloaded"`, 10 * time.Second, false},
		chat.CodeWorkerFailed:    {502, "api_error", `"worker_failed"`, 0, false},
		chat.CodeUpstream:        {502, "api_error", `"worker_failed"`, 0, false},
		chat.CodeAccount:         {502, "api_error", `"account_unavailable"`, 0, false},
		chat.CodeTurnTimeout:     {504, "api_error", `"turn_timeout"`, 0, false},
		chat.CodeInternal:        {500, "api_error", `"internal_error"`, 0, false},
	} {
		f := FailureOf(fmt.Errorf("wrapped: %w", &chat.Error{Code: code, Message: "m"}))
		if f.Status != want.status || f.RetryAfter != want.retry || f.Final != want.final || f.Code != string(code.Told()) {
			t.Errorf("%s: got %+v, want %+v", code, f, want)
		}
		if body := fmt.Sprintf(envelope, want.kind, want.code); string(f.Body) != body {
			t.Errorf("%s: body %s, want %s", code, f.Body, body)
		}
	}
}

func TestParamIsInTheEnvelope(t *testing.T) {
	f := FailureOf(chat.Invalid("n", "must be 1"))
	if want := `{"error":{"message":"n: must be 1","type":"invalid_request_error","param":"n","code":null}}`; string(f.Body) != want {
		t.Errorf("got %s, want %s", f.Body, want)
	}
	if want := "data: " + string(f.Body) + "\n\n"; string(f.Event) != want {
		t.Errorf("event %q, want %q", f.Event, want)
	}
}
