package upstream

import (
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"maxrelay/session/chat"
)

func TestFailuresInAnthropicsForm(t *testing.T) {
	for name, tc := range map[string]struct {
		err        error
		status     int
		body       string
		retryAfter string
		final      string
	}{
		"a wrong field":   {chat.Invalid("model", "is missing"), 400, `{"type":"error","error":{"type":"invalid_request_error","message":"model: is missing"}}`, "", ""},
		"no key":          {&chat.Error{Code: chat.CodeUnauthenticated, Message: "x"}, 401, `{"type":"error","error":{"type":"authentication_error","message":"x"}}`, "", ""},
		"forbidden":       {&chat.Error{Code: chat.CodeForbidden, Message: "x"}, 403, `{"type":"error","error":{"type":"permission_error","message":"x"}}`, "", ""},
		"nothing there":   {&chat.Error{Code: chat.CodeNotFound, Message: "x"}, 404, `{"type":"error","error":{"type":"not_found_error","message":"x"}}`, "", ""},
		"no such model":   {&chat.Error{Code: chat.CodeModelNotFound, Message: "x"}, 404, `{"type":"error","error":{"type":"not_found_error","message":"x"}}`, "", ""},
		"too large":       {&chat.Error{Code: chat.CodeTooLarge, Message: "x"}, 413, `{"type":"error","error":{"type":"request_too_large","message":"x"}}`, "", ""},
		"too often":       {&chat.Error{Code: chat.CodeRateLimited, Message: "x", RetryAfter: 1500 * time.Millisecond}, 429, `{"type":"error","error":{"type":"rate_limit_error","message":"x"}}`, "2", ""},
		"used up":         {&chat.Error{Code: chat.CodeUsageLimit, Message: "x"}, 429, `{"type":"error","error":{"type":"rate_limit_error","message":"x"}}`, "300", "false"},
		"a full queue":    {&chat.Error{Code: chat.CodeQueueFull, Message: "x"}, 529, `{"type":"error","error":{"type":"overloaded_error","message":"x"}}`, "1", ""},
		"overloaded":      {&chat.Error{Code: chat.CodeOverloaded, Message: "x"}, 529, `{"type":"error","error":{"type":"overloaded_error","message":"x"}}`, "10", ""},
		"the upstream":    {&chat.Error{Code: chat.CodeUpstream, Message: "x"}, 502, `{"type":"error","error":{"type":"api_error","message":"x"}}`, "", ""},
		"the account":     {&chat.Error{Code: chat.CodeAccount, Message: "x"}, 502, `{"type":"error","error":{"type":"api_error","message":"x"}}`, "", ""},
		"our own mistake": {errors.New("CANARY"), 500, `{"type":"error","error":{"type":"api_error","message":"the server made a mistake; its log has the request id"}}`, "", ""},
		"an unknown code": {&chat.Error{Code: "new", Message: "x"}, 500, `{"type":"error","error":{"type":"api_error","message":"x"}}`, "", ""},
	} {
		w := httptest.NewRecorder()
		f := FailureOf(tc.err)
		f.Write(w)
		h := w.Header()
		if w.Code != tc.status || w.Body.String() != tc.body || h.Get("Retry-After") != tc.retryAfter || h.Get("X-Should-Retry") != tc.final || h.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %v %s", name, w.Code, h, w.Body)
		}
		if got, want := string(f.Frame()), "event: error\ndata: "+tc.body+"\n\n"; got != want {
			t.Errorf("%s: frame %q", name, got)
		}
	}
}

func TestStatusesHaveCodes(t *testing.T) {
	for status, want := range map[int]chat.Code{
		200: "", 302: "", 304: "", 400: chat.CodeInvalid, 404: chat.CodeNotFound, 413: chat.CodeTooLarge, 422: chat.CodeInvalid, 429: chat.CodeRateLimited,
		500: chat.CodeUpstream, 502: chat.CodeUpstream, 503: chat.CodeOverloaded, 504: chat.CodeUpstream, 529: chat.CodeOverloaded,
	} {
		if got := codeOf(status); got != want {
			t.Errorf("%d: %q, want %q", status, got, want)
		}
	}
}
