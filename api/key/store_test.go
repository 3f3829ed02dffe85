package key

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"maxrelay/session/chat"
)

func mint(t *testing.T, n node, change func(*Settings)) (Record, string) {
	t.Helper()
	s := DefaultSettings()
	s.Name = "test"
	if change != nil {
		change(&s)
	}
	r, secret := Mint(s, n.clock.Now())
	if err := n.Add(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	return r, secret
}

// edit changes a key as an administrator's request does.
func edit(t *testing.T, n node, id string, change func(*Record)) {
	t.Helper()
	r, err := n.Load(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	change(&r)
	if err := n.Replace(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

func (n node) identity(secret, from, origin string) (Identity, error) {
	keys, err := New(nil, true, "default")
	if err != nil {
		return Identity{}, err
	}
	addr, _ := netip.ParseAddr(from)
	header := http.Header{"Authorization": {"Bearer " + secret}}
	if origin != "" {
		header.Set("Origin", origin)
	}
	return keys.With(n.Store).Identify(&http.Request{Header: header}, addr)
}

func (n node) works(secret string) bool {
	_, err := n.identity(secret, "", "")
	return err == nil
}

func TestAManagedKeyIsItsOwnIdentity(t *testing.T) {
	n := openNode(t, startBroker(t, t.TempDir(), 0))
	r, secret := mint(t, n, func(s *Settings) {
		s.TokenLimit, s.Tier, s.AllowedModels = 7, "premium", []string{"claude-opus-4"}
	})
	id, err := n.identity(secret, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if id.ID != r.ID || id.Name != "test" || id.Pool != "default" || id.Tier != "premium" || id.TokenLimit != 7 || !id.Managed {
		t.Errorf("got %+v", id)
	}
	if !id.MayUse("claude-opus-4") || id.MayUse("claude-sonnet-4") || !(Identity{}).MayUse("anything") {
		t.Errorf("models of %+v", id)
	}
	if !regexp.MustCompile(`^key_[a-z2-7]{16}$`).MatchString(id.ID) || !regexp.MustCompile(`^sk-proxy-[a-z2-7]{52}$`).MatchString(secret) {
		t.Errorf("id %q, a secret of %d characters", id.ID, len(secret))
	}
	if !strings.HasPrefix(secret, r.Prefix) || len(r.Prefix) != 12 {
		t.Errorf("prefix %q", r.Prefix)
	}
}

func TestStaticKeysComeFirstAndManagedOnesStayThemselves(t *testing.T) {
	n := openNode(t, startBroker(t, t.TempDir(), 0))
	r, secret := mint(t, n, nil)
	disabled, disabledSecret := mint(t, n, nil)
	edit(t, n, disabled.ID, func(r *Record) { r.Active = false })

	for _, tc := range []struct {
		name, secret   string
		static         []string
		required, open string // the id, "" for refused
	}{
		{"managed", secret, nil, r.ID, r.ID},
		{"static and managed", secret, []string{secret}, idOf(secret), idOf(secret)},
		{"static only", "plain", []string{"plain"}, idOf("plain"), idOf("plain")},
		{"unknown", "other", []string{"plain"}, "", Local},
		{"none", "", nil, "", Local},
		{"disabled", disabledSecret, nil, "", ""},
	} {
		for _, required := range []bool{true, false} {
			keys, err := New(tc.static, required, "default")
			if err != nil {
				t.Fatal(err)
			}
			want := tc.open
			if required {
				want = tc.required
			}
			got, err := keys.With(n.Store).Identify(&http.Request{Header: http.Header{"X-Api-Key": {tc.secret}}}, netip.Addr{})
			if got.ID != want || (err == nil) != (want != "") {
				t.Errorf("%s, required %t: %q, %v, want %q", tc.name, required, got.ID, err, want)
			}
		}
	}
}

func TestKeysThatDoNotWorkAreRefused(t *testing.T) {
	n := openNode(t, startBroker(t, t.TempDir(), 0))
	day := 24 * time.Hour
	for _, tc := range []struct {
		name   string
		change func(*Record)
		pass   time.Duration
		from   string
		origin string
		want   chat.Code
		says   string
	}{
		{"fresh", nil, 0, "", "", "", ""},
		{"disabled", func(r *Record) { r.Active = false }, 0, "", "", chat.CodeUnauthenticated, "disabled"},
		{"deleted", func(r *Record) { r.Active, r.DeletedAt = false, time.Now() }, 0, "", "", chat.CodeUnauthenticated, "deleted"},
		{"about to expire", func(r *Record) { r.ExpiresAt = n.clock.Now().Add(day) }, day - 1, "", "", "", ""},
		{"expired", func(r *Record) { r.ExpiresAt = n.clock.Now().Add(day) }, day, "", "", chat.CodeUnauthenticated, "expired on 2"},
		{"expired, from elsewhere", func(r *Record) { r.ExpiresAt, r.AllowedIPs = n.clock.Now(), []string{"10.0.0.1"} }, 0, "10.0.0.2", "", chat.CodeUnauthenticated, "expired"},
		{"address in the list", func(r *Record) { r.AllowedIPs = []string{"10.0.0.1", "2001:db8::/32"} }, 0, "2001:db8::9", "", "", ""},
		{"address not in the list", func(r *Record) { r.AllowedIPs = []string{"10.0.0.1"} }, 0, "10.0.0.2", "", chat.CodeForbidden, "address"},
		{"no address", func(r *Record) { r.AllowedIPs = []string{"0.0.0.0/0"} }, 0, "", "", chat.CodeForbidden, "address"},
		{"origin in the list", func(r *Record) { r.AllowedOrigins = []string{"https://a.example"} }, 0, "", "https://A.example", "", ""},
		{"another origin", func(r *Record) { r.AllowedOrigins = []string{"https://a.example"} }, 0, "", "https://a.example.org", chat.CodeForbidden, "origins"},
		{"no origin", func(r *Record) { r.AllowedOrigins = []string{"https://a.example"} }, 0, "", "", chat.CodeForbidden, "origins"},
		{"any origin", nil, 0, "", "https://a.example", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, secret := mint(t, n, nil)
			if tc.change != nil {
				edit(t, n, r.ID, tc.change)
			}
			n.clock.pass(tc.pass)
			_, err := n.identity(secret, tc.from, tc.origin)
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if e, ok := errors.AsType[*chat.Error](err); !ok || e.Code != tc.want || !strings.Contains(e.Message, tc.says) {
				t.Errorf("%v, want %s and %q", err, tc.want, tc.says)
			}
		})
	}
}

func TestARotatedSecretWorksForItsGrace(t *testing.T) {
	n := openNode(t, startBroker(t, t.TempDir(), 0))
	r, first := mint(t, n, nil)
	var second, third string
	edit(t, n, r.ID, func(r *Record) { second = r.Rotate(n.clock.Now(), 2*time.Hour) })
	if !n.works(first) || !n.works(second) {
		t.Error("the old or the new secret does not work")
	}
	edit(t, n, r.ID, func(r *Record) { third = r.Rotate(n.clock.Now(), time.Hour) })
	n.clock.pass(time.Hour - 1)
	if !n.works(first) || !n.works(second) || !n.works(third) {
		t.Error("a secret ended before its grace")
	}
	n.clock.pass(1)
	if n.works(first) || n.works(second) || !n.works(third) {
		t.Error("the shorter grace does not hold for all old secrets")
	}
	var fourth string
	edit(t, n, r.ID, func(r *Record) { fourth = r.Rotate(n.clock.Now(), 0) })
	if n.works(third) || !n.works(fourth) {
		t.Error("no grace is not at once")
	}
	if kept, _ := n.Get(r.ID); len(kept.Former) != 0 || !strings.HasPrefix(fourth, kept.Prefix) {
		t.Errorf("%d former secrets are kept, prefix %q", len(kept.Former), kept.Prefix)
	}
}

func TestCallersAreTheKeysThatCanBeUsed(t *testing.T) {
	n := openNode(t, startBroker(t, t.TempDir(), 0))
	works, _ := mint(t, n, nil)
	for _, change := range []func(*Record){
		func(r *Record) { r.Active = false },
		func(r *Record) { r.Active, r.DeletedAt = false, n.clock.Now() },
		func(r *Record) { r.ExpiresAt = n.clock.Now() },
	} {
		r, _ := mint(t, n, nil)
		edit(t, n, r.ID, change)
	}
	for required, want := range map[bool][]string{true: {idOf("plain"), works.ID}, false: {Local, idOf("plain"), works.ID}} {
		keys, err := New([]string{"plain"}, required, "default")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, who := range keys.With(n.Store).Callers() {
			got = append(got, who.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("required %t: %v, want %v", required, got, want)
		}
	}
}

func TestFormerSecretsAreBounded(t *testing.T) {
	r, _ := Mint(DefaultSettings(), time.Now())
	for range 3 * maxFormer {
		r.Rotate(time.Now(), time.Hour)
	}
	if len(r.Former) != maxFormer {
		t.Errorf("%d are kept", len(r.Former))
	}
}

func TestOtherNodesFollow(t *testing.T) {
	srv := startBroker(t, t.TempDir(), 0)
	a, b := openNode(t, srv), openNode(t, srv)
	r, secret := mint(t, a, nil)
	if !a.works(secret) {
		t.Fatal("a new key does not work at once where it was made")
	}
	eventually(t, "the new key", func() bool { return b.works(secret) })

	edit(t, b, r.ID, func(r *Record) { r.Active = false })
	if b.works(secret) {
		t.Error("a disabled key works where it was disabled")
	}
	eventually(t, "the disabled key to be refused", func() bool { return !a.works(secret) })
	edit(t, b, r.ID, func(r *Record) { r.Active = true })
	eventually(t, "the enabled key", func() bool { return a.works(secret) })

	loaded, err := a.Load(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Remove(t.Context(), loaded); err != nil {
		t.Fatal(err)
	}
	if _, found := a.Get(r.ID); found || a.works(secret) {
		t.Error("a removed key works where it was removed")
	}
	eventually(t, "the removed key to be gone", func() bool { _, found := b.Get(r.ID); return !found })
	if _, err := b.Load(t.Context(), r.ID); !errors.Is(err, ErrUnknown) {
		t.Errorf("loading it: %v", err)
	}
}

func TestANodeThatStartsKnowsAllKeys(t *testing.T) {
	srv := startBroker(t, t.TempDir(), 0)
	a := openNode(t, srv)
	var secrets []string
	for range 300 { // more than a watcher has room for
		_, secret := mint(t, a, nil)
		secrets = append(secrets, secret)
		a.clock.pass(time.Second)
	}
	b := openNode(t, srv)
	for i, secret := range secrets {
		if !b.works(secret) {
			t.Fatalf("key %d is not known", i)
		}
	}
	all := b.List()
	for i := 1; i < len(all); i++ {
		if all[i].CreatedAt.After(all[i-1].CreatedAt) {
			t.Fatal("the newest is not first")
		}
	}
	if len(all) != 300 || len(b.working()) != 300 {
		t.Errorf("%d keys, %d working", len(all), len(b.working()))
	}
}

func TestTheSecondOfTwoChangesIsRefused(t *testing.T) {
	srv := startBroker(t, t.TempDir(), 0)
	a, b := openNode(t, srv), openNode(t, srv)
	r, _ := mint(t, a, nil)
	one, err := a.Load(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	two, err := b.Load(t.Context(), r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Replace(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	if err := b.Replace(t.Context(), two); !errors.Is(err, ErrConflict) {
		t.Errorf("replacing: %v", err)
	}
	if err := b.Remove(t.Context(), two); !errors.Is(err, ErrConflict) {
		t.Errorf("removing: %v", err)
	}
	if err := b.Add(t.Context(), two); !errors.Is(err, ErrConflict) {
		t.Errorf("adding: %v", err)
	}
}

func TestABrokerThatRestartsCostsNoKey(t *testing.T) {
	dir := t.TempDir()
	srv := startBroker(t, dir, 0)
	port := srv.Addr().(*net.TCPAddr).Port
	a, b := openNode(t, srv), openNode(t, srv)
	r, secret := mint(t, a, nil)
	gone, goneSecret := mint(t, a, nil)
	eventually(t, "both keys", func() bool { return b.works(secret) && b.works(goneSecret) })

	stopBroker(srv)
	if !a.works(secret) || !b.works(secret) {
		t.Error("the keys went with the broker")
	}
	eventually(t, "the node to say so", a.Behind)
	srv = startBroker(t, dir, port)
	direct := openNode(t, srv)
	if !direct.works(secret) {
		t.Fatal("the broker lost the key")
	}
	loaded, err := direct.Load(t.Context(), gone.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := direct.Remove(t.Context(), loaded); err != nil {
		t.Fatal(err)
	}
	edit(t, direct, r.ID, func(r *Record) { r.Active = false })
	for _, n := range []node{a, b} {
		eventually(t, "what changed meanwhile", func() bool { return !n.works(secret) && !n.works(goneSecret) && !n.Behind() })
	}
	edit(t, direct, r.ID, func(r *Record) { r.Active = true })
	for _, n := range []node{a, b} {
		eventually(t, "the watch to go on", func() bool { return n.works(secret) })
	}
}

func TestAStoreThatCannotBeReadDoesNotOpen(t *testing.T) {
	srv := startBroker(t, t.TempDir(), 0)
	nc := connect(t, srv)
	stopBroker(srv)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if s, err := OpenStore(ctx, nc, StoreConfig{}, zerolog.Nop()); err == nil {
		s.Close()
		t.Error("it opened")
	}
}

func TestARecordThatIsNotUnderstoodIsRefused(t *testing.T) {
	srv := startBroker(t, t.TempDir(), 0)
	n := openNode(t, srv)
	r, secret := mint(t, n, nil)
	js, err := jetstream.New(n.nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{`{`, `{}`, `null`, strings.Replace(string(stored(t, kv, r.ID)), `"pool"`, `"allowed_ips":["canary"],"pool"`, 1)} {
		if _, err := kv.Put(t.Context(), r.ID, []byte(value)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the record to be refused", func() bool { return !n.works(secret) })
	}
	if log := n.log.String(); !strings.Contains(log, r.ID) || strings.Contains(log, "canary") {
		t.Errorf("logged: %s", log)
	}
}

func stored(t *testing.T, kv jetstream.KeyValue, id string) []byte {
	t.Helper()
	e, err := kv.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return e.Value()
}

func TestTheBrokerHasNoSecret(t *testing.T) {
	srv := startBroker(t, t.TempDir(), 0)
	n := openNode(t, srv)
	r, secret := mint(t, n, nil)
	var second string
	edit(t, n, r.ID, func(r *Record) { second = r.Rotate(n.clock.Now(), time.Hour) })
	js, err := jetstream.New(n.nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), bucket)
	if err != nil {
		t.Fatal(err)
	}
	value := string(stored(t, kv, r.ID))
	for _, s := range []string{secret, second} {
		if strings.Contains(value, s) || strings.Contains(value, s[prefixLength:]) || strings.Contains(n.log.String(), s[prefixLength:]) {
			t.Error("a secret is stored or logged")
		}
	}
}
