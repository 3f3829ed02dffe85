package anthropic

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"maxrelay/api/anthropic/messagestest"
	"maxrelay/session/chat"
)

func TestErrorsOnTheWire(t *testing.T) {
	for code, want := range map[chat.Code]struct {
		status int
		kind   string
		retry  time.Duration
		final  bool
	}{
		chat.CodeInvalid:         {400, "invalid_request_error", 0, false},
		chat.CodeUnauthenticated: {401, "authentication_error", 0, false},
		chat.CodeForbidden:       {403, "permission_error", 0, false},
		chat.CodeModelNotFound:   {404, "not_found_error", 0, false},
		chat.CodeNotFound:        {404, "not_found_error", 0, false},
		chat.CodeMethod:          {405, "invalid_request_error", 0, false},
		chat.CodeTooLarge:        {413, "request_too_large", 0, false},
		chat.CodeRateLimited:     {429, "rate_limit_error", 30 * time.Second, false},
		chat.CodeUsageLimit:      {429, "rate_limit_error", 5 * time.Minute, true},
		chat.CodeQuota:           {429, "rate_limit_error", 0, true},
		chat.CodeQueueFull:       {529, "overloaded_error", time.Second, false},
		chat.CodeNoWorker:        {529, "overloaded_error", 5 * time.Second, false},
		chat.CodeOverloaded:      {529, "overloaded_error", 10 * time.Second, false},
		chat.CodeUpstream:        {502, "api_error", 0, false},
		chat.CodeWorkerFailed:    {502, "api_error", 0, false},
		chat.CodeAccount:         {502, "api_error", 0, false},
		chat.CodeTurnTimeout:     {502, "api_error", 0, false},
		chat.CodeInternal:        {500, "api_error", 0, false},
	} {
		f := FailureOf(fmt.Errorf("wrapped: %w", &chat.Error{Code: code, Message: "m"}), "req_1")
		if f.Status != want.status || f.RetryAfter != want.retry || f.Final != want.final || f.Code != string(code.Told()) {
			t.Errorf("%s: got %+v, want %+v", code, f, want)
		}
		body := `{"type":"error","error":{"type":"` + want.kind + `","message":"m"},"request_id":"req_1"}`
		if event := "event: error\ndata: " + body + "\n\n"; string(f.Body) != body || string(f.Event) != event {
			t.Errorf("%s: body %s, event %q", code, f.Body, f.Event)
		}
		messagestest.Validate(t, messagestest.Error, f.Body)
		messagestest.Stream(t, f.Event)
	}
}

func TestErrorsNameTheField(t *testing.T) {
	f := FailureOf(chat.Invalid("messages[0].content", "is empty"), "req_1")
	if want := `{"type":"error","error":{"type":"invalid_request_error","message":"messages[0].content: is empty"},"request_id":"req_1"}`; string(f.Body) != want {
		t.Errorf("got %s", f.Body)
	}
}

func TestAThreadIsRefusedAsTheSDKsExpect(t *testing.T) {
	_, err := Decode([]byte(`{` + hello + `,"thread":{"type":"create"}}`))
	f := FailureOf(err, "req_1")
	messagestest.Validate(t, messagestest.Error, f.Body)
	if want := `"details":{"error_code":"thread_unsupported_request"}}`; f.Status != 400 || !strings.Contains(string(f.Body), want) {
		t.Errorf("got %d %s", f.Status, f.Body)
	}
}

// Clients that shorten a conversation by themselves know by these words that they must.
func TestAConversationThatIsTooLongIsSaidInTheAPIsWords(t *testing.T) {
	f := FailureOf(&chat.Error{Code: chat.CodeContextLength, Message: "m"}, "req_1")
	if want := `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: m"},"request_id":"req_1"}`; string(f.Body) != want || f.Status != 400 {
		t.Errorf("got %d %s", f.Status, f.Body)
	}
}
