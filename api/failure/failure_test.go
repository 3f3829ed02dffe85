package failure

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"testing"
	"time"

	"go.uber.org/goleak"

	"maxrelay/session/chat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var table = Table{
	"waits":    {Status: 503, Kind: "busy", Heals: 5 * time.Second},
	"may":      {Status: 429, Kind: "quota", May: true, Final: true},
	"never":    {Status: 400, Kind: "wrong"},
	"internal": {Status: 500, Kind: "api"},

	chat.CodeInternal: {Status: 500, Kind: "api"},
}

func TestRetryAfterIsWholeSecondsRoundedUp(t *testing.T) {
	for _, tc := range []struct {
		code       chat.Code
		told, want time.Duration
	}{
		{"waits", 0, 5 * time.Second},
		{"waits", 1200 * time.Millisecond, 2 * time.Second},
		{"waits", time.Millisecond, time.Second},
		{"waits", time.Hour, time.Hour},
		{"may", 0, 0},
		{"may", time.Hour, time.Hour},
		{"never", time.Minute, 0},
	} {
		f, _, _ := table.Of(fmt.Errorf("wrapped: %w", &chat.Error{Code: tc.code, RetryAfter: tc.told}))
		if f.RetryAfter != tc.want || f.Code != string(tc.code) {
			t.Errorf("%s told %s: got %s of %s, want %s", tc.code, tc.told, f.RetryAfter, f.Code, tc.want)
		}
	}
}

func TestWhatIsNotKnownIsAFaultOfOurs(t *testing.T) {
	f, c, e := table.Of(errors.New("dial tcp 10.0.0.1: secret"))
	if f.Status != 500 || f.Code != string(chat.CodeInternal) || c.Kind != "api" || e.Message == "" || e.Message == "secret" {
		t.Errorf("an error of another type: %+v %+v", f, e)
	}
	if f, _, e := table.Of(&chat.Error{Code: "new", Message: "m"}); f.Status != 500 || f.Code != string(chat.CodeInternal) || e.Message != "m" {
		t.Errorf("an unknown code: %+v %+v", f, e)
	}
}

func TestHeadersSayWhetherToTryAgain(t *testing.T) {
	for code, want := range map[chat.Code]http.Header{
		"waits": {"Content-Type": {"application/json"}, "Retry-After": {"5"}},
		"may":   {"Content-Type": {"application/json"}, "X-Should-Retry": {"false"}},
		"never": {"Content-Type": {"application/json"}},
	} {
		h := make(http.Header)
		f, _, _ := table.Of(&chat.Error{Code: code})
		if f.SetHeaders(h); !reflect.DeepEqual(h, want) {
			t.Errorf("%s: %v, want %v", code, h, want)
		}
	}
}
