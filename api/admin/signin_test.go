package admin_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/nats-io/nats.go/jetstream"

	"maxrelay/api/admin"
	"maxrelay/api/key"
)

func TestSigningIn(t *testing.T) {
	hash := sha256.Sum256([]byte(password))
	srv := startBroker(t)
	for name, configured := range map[string]string{"plain": password, "hashed": "sha256:" + hex.EncodeToString(hash[:])} {
		t.Run(name, func(t *testing.T) {
			n := openNode(t, srv, func(c *admin.Config) { c.Password, c.Username = configured, "root" })
			status, answer := n.login("root", password)
			if status != http.StatusOK || answer["token_type"] != "bearer" || answer["expires_in"] != 86400.0 {
				t.Fatalf("%d, %v", status, answer)
			}
			n.token = answer["access_token"].(string)
			n.must(http.MethodGet, "/admin/api-keys", "")
			for _, wrong := range [][2]string{{"admin", password}, {"root", password + " "}, {"root", ""}, {"", ""}} {
				if status, _ := n.login(wrong[0], wrong[1]); status != http.StatusUnauthorized {
					t.Errorf("%q: %d", wrong, status)
				}
			}
			if strings.HasPrefix(configured, "sha256:") {
				if status, _ := n.login("root", configured); status != http.StatusUnauthorized {
					t.Error("the hash is a password")
				}
			}
		})
	}
}

func TestRoutesOfOthersTellWhatIsWrongAsAllDo(t *testing.T) {
	n := newNode(t)
	for say, want := range map[string]struct {
		status      int
		code, param any
	}{
		"wrong": {http.StatusUnprocessableEntity, "invalid_request", "say"}, "later": {http.StatusServiceUnavailable, "usage_not_ready", nil}, "broken": {http.StatusInternalServerError, "internal_error", nil},
	} {
		status, answer := n.ask(http.MethodGet, "/admin/others?say="+say, "")
		if message, param, code := detail(answer); status != want.status || code != want.code || param != want.param || message == "" || strings.Contains(message, "secret") {
			t.Errorf("%s: %d %v", say, status, answer)
		}
	}
}

func TestManagementWithoutSigningIn(t *testing.T) {
	n := newNode(t)
	id, secret := n.create(`{"name":"n"}`)
	for _, route := range []string{
		"POST /api-keys", "GET /api-keys", "GET /api-keys/" + id, "PATCH /api-keys/" + id, "DELETE /api-keys/" + id, "POST /api-keys/" + id + "/disable",
		"POST /api-keys/" + id + "/enable", "POST /api-keys/" + id + "/rotate", "GET /api-keys/" + id + "/stats", "GET /audit", "GET /others",
	} {
		method, path, _ := strings.Cut(route, " ")
		for name, header := range map[string]http.Header{
			"nothing": {}, "a key": {"Authorization": {"Bearer " + secret}}, "the password": {"Authorization": {"Bearer " + password}},
			"basic": {"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("admin:"+password))}}, "another header": {"X-Api-Key": {n.token}},
		} {
			resp, answer := n.send(method, "/admin"+path, `{"name":"x"}`, header)
			if message, _, _ := detail(answer); resp.StatusCode != http.StatusUnauthorized || message == "" || resp.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s with %s: %d, %v", route, name, resp.StatusCode, answer)
			}
		}
	}
	if resp, _ := n.send(http.MethodGet, "/admin/others", "", http.Header{"Authorization": {"bearer " + n.token}}); resp.StatusCode != http.StatusOK {
		t.Errorf("others' routes are closed to the administrator: %d", resp.StatusCode)
	}
	if !n.accepts(secret) || n.must(http.MethodGet, "/admin/api-keys", "")["total"] != 1.0 {
		t.Error("something was done")
	}
}

// forge signs claims the way the node does, as far as the attacker knows it.
func forge(t *testing.T, method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestForgedTokensAreRefused(t *testing.T) {
	n := newNode(t)
	js, err := jetstream.New(n.nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), "ADMIN")
	if err != nil {
		t.Fatal(err)
	}
	entry, err := kv.Get(t.Context(), "token_secret")
	if err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(password))
	mac := hmac.New(sha256.New, entry.Value())
	mac.Write(hash[:])
	right := mac.Sum(nil)

	now := n.time()
	good := jwt.MapClaims{"iss": "maxrelay-admin", "sub": "admin", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	with := func(name string, value any) jwt.MapClaims {
		c := maps.Clone(good)
		if c[name] = value; value == nil {
			delete(c, name)
		}
		return c
	}
	hs := jwt.SigningMethodHS256
	parts := strings.Split(forge(t, hs, right, good), ".")
	for _, tc := range []struct {
		name, token string
		want        int
	}{
		{"the right one", strings.Join(parts, "."), 200},
		{"no algorithm", forge(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good), 401},
		{"no algorithm, another case", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"nOnE"}`)) + "." + parts[1] + ".", 401},
		{"no signature", parts[0] + "." + parts[1] + ".", 401},
		{"two parts", parts[0] + "." + parts[1], 401},
		{"another payload", parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"admin"}`)) + "." + parts[2], 401},
		{"another algorithm", forge(t, jwt.SigningMethodHS512, right, good), 401},
		{"the shared secret without the password", forge(t, hs, entry.Value(), good), 401},
		{"the password for a key", forge(t, hs, []byte(password), good), 401},
		{"no key", forge(t, hs, []byte{}, good), 401},
		{"expired", forge(t, hs, right, with("exp", now.Add(-time.Minute).Unix())), 401},
		{"for ever", forge(t, hs, right, with("exp", nil)), 401},
		{"another issuer", forge(t, hs, right, with("iss", "elsewhere")), 401},
		{"no issuer", forge(t, hs, right, with("iss", nil)), 401},
		{"another subject", forge(t, hs, right, with("sub", "root")), 401},
		{"no subject", forge(t, hs, right, with("sub", nil)), 401},
		{"issued in the future", forge(t, hs, right, with("iat", now.Add(time.Hour).Unix())), 401},
		{"never issued", forge(t, hs, right, with("iat", nil)), 401},
		{"not yet valid", forge(t, hs, right, with("nbf", now.Add(time.Hour).Unix())), 401},
		{"nonsense", "..", 401},
	} {
		resp, _ := n.send(http.MethodGet, "/admin/api-keys", "", http.Header{"Authorization": {"Bearer " + tc.token}})
		if resp.StatusCode != tc.want {
			t.Errorf("%s: %d", tc.name, resp.StatusCode)
		}
	}
}

func TestATokenOutlivesARestartButNotThePassword(t *testing.T) {
	srv := startBroker(t)
	first := openNode(t, srv, nil)
	again := openNode(t, srv, nil)
	again.token = first.token
	again.must(http.MethodGet, "/admin/audit", "")
	changed := openNode(t, srv, func(c *admin.Config) { c.Password = "another" })
	changed.token = first.token
	if status, _ := changed.ask(http.MethodGet, "/admin/audit", ""); status != http.StatusUnauthorized {
		t.Errorf("after a change of the password: %d", status)
	}
	first.pass(24*time.Hour + time.Minute)
	if status, _ := first.ask(http.MethodGet, "/admin/audit", ""); status != http.StatusUnauthorized {
		t.Errorf("after a day: %d", status)
	}
}

func TestGuessingIsHeldUp(t *testing.T) {
	n := newNode(t)
	fails := func(want ...int) {
		t.Helper()
		for i, status := range want {
			if got, _ := n.login("admin", "wrong"); got != status {
				t.Errorf("attempt %d: %d, want %d", i+1, got, status)
			}
		}
	}
	succeeds := func(want int) {
		t.Helper()
		if got, _ := n.login("admin", password); got != want {
			t.Errorf("the right password: %d, want %d", got, want)
		}
	}
	fails(401)
	n.pass(10 * time.Second)
	fails(401, 401, 401, 401, 429, 429)
	succeeds(429)
	req := http.Request{Header: http.Header{}}
	req.SetBasicAuth("admin", password)
	if resp, _ := n.send(http.MethodPost, "/admin/login", "", req.Header); resp.Header.Get("Retry-After") != "50" {
		t.Errorf("retry-after %q", resp.Header.Get("Retry-After"))
	}
	n.must(http.MethodGet, "/admin/audit", "") // who is signed in is not concerned

	n.callFrom("192.0.2.2")
	succeeds(200)
	n.callFrom("::ffff:192.0.2.1")
	fails(429)
	n.callFrom("192.0.2.1")
	n.pass(50 * time.Second)
	fails(401, 429)
	n.pass(time.Minute)
	fails(401, 401, 401, 401)
	succeeds(200)
	fails(401, 401, 401, 401, 401, 429)
	n.pass(time.Minute)
	succeeds(200)
}

func TestAnIPv6NetworkIsOneCaller(t *testing.T) {
	n := newNode(t)
	for i := range 5 {
		n.callFrom(fmt.Sprintf("2001:db8::%x", i+1))
		n.login("admin", "wrong")
	}
	n.callFrom("2001:db8::ffff:1")
	if status, _ := n.login("admin", password); status != http.StatusTooManyRequests {
		t.Errorf("the same /64: %d", status)
	}
	n.callFrom("2001:db8:0:1::1")
	if status, _ := n.login("admin", password); status != http.StatusOK {
		t.Errorf("another /64: %d", status)
	}
}

func TestManyGuessesAtOnceAreMany(t *testing.T) {
	n := newNode(t)
	statuses := make(chan int)
	for range 30 {
		go func() {
			req, _ := http.NewRequest(http.MethodPost, n.url+"/admin/login", nil)
			req.SetBasicAuth("admin", "wrong")
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				statuses <- 0
				return
			}
			resp.Body.Close()
			statuses <- resp.StatusCode
		}()
	}
	count := map[int]int{}
	for range 30 {
		count[<-statuses]++
	}
	if count[401] != 5 || count[429] != 25 {
		t.Errorf("got %v", count)
	}
}

func TestOnlyListedAddressesManage(t *testing.T) {
	srv := startBroker(t)
	networks, err := key.ParseNetworks([]string{"192.0.2.1", "10.0.0.0/8", "2001:db8::/32"})
	if err != nil {
		t.Fatal(err)
	}
	n := openNode(t, srv, func(c *admin.Config) { c.Networks = networks })
	for addr, want := range map[string]int{
		"192.0.2.1": 200, "192.0.2.2": 403, "10.9.8.7": 200, "::ffff:10.1.1.1": 200, "::ffff:11.1.1.1": 403, "2001:db8:1::1": 200, "2001:db9::1": 403, "127.0.0.1": 403, "": 403,
	} {
		n.callFrom(addr)
		if status, _ := n.ask(http.MethodGet, "/admin/api-keys", ""); status != want {
			t.Errorf("%q: %d, want %d", addr, status, want)
		}
		if status, _ := n.login("admin", password); status != want {
			t.Errorf("signing in from %q: %d, want %d", addr, status, want)
		}
	}
}

func TestThePasswordFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "admin.password")
	if _, err := admin.ReadPassword(path); err == nil {
		t.Error("a file that is not there was read")
	}
	made, fresh, err := admin.LoadPassword(path)
	if err != nil || !fresh || len(made) < 26 {
		t.Fatalf("%d characters, made %t, %v", len(made), fresh, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if again, fresh, err := admin.LoadPassword(path); again != made || fresh || err != nil {
		t.Errorf("a second time: the same %t, made %t, %v", again == made, fresh, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, _, err := admin.LoadPassword(path); err == nil || strings.Contains(err.Error(), made) {
		t.Errorf("open to others: %v", err)
	}
	if err := os.WriteFile(path, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	os.Chmod(path, 0o600)
	if _, _, err := admin.LoadPassword(path); err == nil {
		t.Error("an empty password was read")
	}
}
