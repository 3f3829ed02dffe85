package upstream

import (
	"testing"

	"maxrelay/session/chat"
)

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
