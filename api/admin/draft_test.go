package admin

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"maxrelay/api/key"
)

func FuzzDraft(f *testing.F) {
	for _, body := range []string{
		`{"name":"n"}`, `{"name":"n","expires_in_days":3,"allowed_ips":["::1","10.0.0.0/8"],"metadata":{"a":[]}}`,
		`{"name":null,"expires_at":"2031-01-01T00:00:00+02:00"}`, `{"name":"\ud800"}`, `[]`, `{"x":1}`, `{"name":"n","name":2}`,
	} {
		f.Add([]byte(body))
	}
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, body []byte) {
		d, err := parseDraft(body)
		if err != nil {
			mustBeTellable(t, err)
			return
		}
		s, err := d.apply(key.DefaultSettings(), []string{"basic"}, now)
		if err != nil {
			mustBeTellable(t, err)
			return
		}
		if strings.TrimSpace(s.Name) == "" || s.Tier != "basic" || !s.ExpiresAt.IsZero() && !s.ExpiresAt.After(now) {
			t.Errorf("accepted: %+v", s)
		}
		if _, err := json.Marshal(s); err != nil {
			t.Errorf("not written: %v", err)
		}
		if again, err := d.apply(s, []string{"basic"}, now); err != nil || len(changed(s, again)) > 0 {
			t.Errorf("a second time changes %v, %v", changed(s, again), err)
		}
	})
}

func TestABodyThatIsNotUTF8IsRefused(t *testing.T) {
	_, err := parseDraft([]byte("{\"name\":\"a\xff\"}"))
	mustBeTellable(t, err)
}

func mustBeTellable(t *testing.T, err error) {
	t.Helper()
	f, known := failureOf(err)
	if !known || f.status != 422 || errors.Unwrap(err) != nil {
		t.Errorf("not for the client: %v", err)
	}
}

func FuzzToken(f *testing.F) {
	tokens := newTokens(Config{}.withDefaults(), []byte("secret"), password{})
	good, err := tokens.issue()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		if tokens.check(token) == nil && token != good {
			t.Errorf("accepted %q", token)
		}
	})
}
