package key

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"maxrelay/session/chat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func idOf(secret string) string {
	hash := sha256.Sum256([]byte(secret))
	return "k_" + hex.EncodeToString(hash[:])[:10]
}

func TestIdentify(t *testing.T) {
	hashed := sha256.Sum256([]byte("hashed"))
	secrets := []string{"plain", "sha256:" + hex.EncodeToString(hashed[:])}
	for name, tc := range map[string]struct {
		header         http.Header
		required, open string // the id with and without required keys; "" for refused
	}{
		"no key":                  {nil, "", Local},
		"wrong key":               {http.Header{"Authorization": {"Bearer nope"}}, "", Local},
		"bearer":                  {http.Header{"Authorization": {"Bearer plain"}}, idOf("plain"), idOf("plain")},
		"bearer in another case":  {http.Header{"Authorization": {"bearer  plain "}}, idOf("plain"), idOf("plain")},
		"hashed":                  {http.Header{"Authorization": {"Bearer hashed"}}, idOf("hashed"), idOf("hashed")},
		"the hash is no key":      {http.Header{"Authorization": {"Bearer " + secrets[1]}}, "", Local},
		"header of its own":       {http.Header{"X-Api-Key": {"plain"}}, idOf("plain"), idOf("plain")},
		"bearer before the other": {http.Header{"Authorization": {"Bearer nope"}, "X-Api-Key": {"plain"}}, "", Local},
		"empty bearer":            {http.Header{"Authorization": {"Bearer "}, "X-Api-Key": {"plain"}}, idOf("plain"), idOf("plain")},
		"basic":                   {http.Header{"Authorization": {"Basic plain"}}, "", Local},
	} {
		for required, want := range map[bool]string{true: tc.required, false: tc.open} {
			t.Run(fmt.Sprintf("%s, required %t", name, required), func(t *testing.T) {
				keys, err := New(secrets, required, "default")
				if err != nil {
					t.Fatal(err)
				}
				got, err := keys.Identify(&http.Request{Header: tc.header}, netip.Addr{})
				if want == "" {
					if e, ok := errors.AsType[*chat.Error](err); !ok || e.Code != chat.CodeUnauthenticated {
						t.Errorf("error %v, want one of an unknown key", err)
					}
					return
				}
				if err != nil || got.ID != want || got.Pool != "default" {
					t.Errorf("got %+v, %v, want %s", got, err, want)
				}
			})
		}
	}
}

func TestIDsAreSafeInSubjects(t *testing.T) {
	keys, err := New([]string{"a b.c>*"}, true, "default")
	if err != nil {
		t.Fatal(err)
	}
	id, err := keys.Identify(&http.Request{Header: http.Header{"X-Api-Key": {"a b.c>*"}}}, netip.Addr{})
	if err != nil || !regexp.MustCompile(`^k_[0-9a-f]{10}$`).MatchString(id.ID) {
		t.Errorf("got %+v, %v", id, err)
	}
}

func TestAKeyIsOfOnePool(t *testing.T) {
	keys, err := New([]string{"a"}, true, "default")
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.AddPool("team", []string{"b", "c"}); err != nil {
		t.Fatal(err)
	}
	for secret, pool := range map[string]string{"a": "default", "b": "team", "c": "team"} {
		got, err := keys.Identify(&http.Request{Header: http.Header{"X-Api-Key": {secret}}}, netip.Addr{})
		if err != nil || got.Pool != pool || got.ID != idOf(secret) {
			t.Errorf("key %s: %+v, %v; want pool %s", secret, got, err, pool)
		}
	}
	hashed := sha256.Sum256([]byte("a"))
	if err := keys.AddPool("team", []string{"sha256:" + hex.EncodeToString(hashed[:])}); err == nil {
		t.Error("a key is in two pools")
	}
}

func TestBadConfigurationIsRefusedWithoutRepeatingIt(t *testing.T) {
	for _, secret := range []string{"", "  ", "sha256:", "sha256:zz", "sha256:abcd", "sha256:" + strings.Repeat("0", 66)} {
		if _, err := New([]string{"ok", secret}, false, "default"); err == nil || strings.Contains(err.Error(), "abcd") || !strings.Contains(err.Error(), "API key 2") {
			t.Errorf("%q: error %v", secret, err)
		}
	}
}
