package queue

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"maxrelay/queue/trust"
)

// startOpenBroker starts one that workers elsewhere can join: it listens at every address, and speaks TLS only.
func startOpenBroker(t testing.TB) (*Broker, *Registry) {
	t.Helper()
	dir := t.TempDir()
	b, err := OpenBroker(testContext(t), BrokerConfig{
		Listen: "0.0.0.0:0", StoreDir: filepath.Join(dir, "nats"), TokenFile: filepath.Join(dir, "nats.token"),
		TLS: TLSConfig{SecretFile: filepath.Join(dir, "nats.secret"), CAFile: filepath.Join(dir, "nats.ca")},
	}, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	_, port, err := splitListen(b.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b.cfg.Advertise = fmt.Sprint("127.0.0.1:", port)
	return b, openRegistry(t, b)
}

func openRegistry(t testing.TB, b *Broker) *Registry {
	t.Helper()
	r, err := b.OpenRegistry(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

func member(t testing.TB, name string, expires time.Time, pools ...string) Member {
	t.Helper()
	m, err := NewMember(name, pools, expires)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func invite(t testing.TB, r *Registry, name string, pools ...string) Invitation {
	t.Helper()
	_, text, err := r.Add(testContext(t), member(t, name, time.Time{}, pools...))
	if err != nil {
		t.Fatal(err)
	}
	i, err := ParseInvitation(text)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func join(t testing.TB, r *Registry, name string, pools ...string) Credentials {
	t.Helper()
	c, err := Join(testContext(t), invite(t, r, name, pools...))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func dialMember(t testing.TB, c Credentials, id string) *nats.Conn {
	t.Helper()
	nc, err := DialMember(c, id, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func startMember(t testing.TB, c Credentials, cfg WorkerConfig, handle Handler) *Worker {
	t.Helper()
	cfg.Name, cfg.ID, cfg.Pools, cfg.Joined = c.Name, NewWorkerID(c.Name), c.Pools, true
	nc := dialMember(t, c, cfg.ID)
	if cfg.Slots == 0 {
		cfg.Slots = 4
	}
	w, err := NewWorker(testContext(t), nc, cfg, handle, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w
}

func TestAJoinedWorkerDoesItsWork(t *testing.T) {
	t.Parallel()
	b, r := startOpenBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	w := startMember(t, join(t, r, "far", "std", "other"), WorkerConfig{}, echo)
	awaitWorkers(t, o, 1)
	w.Hold("process", "k_1", []Key{{1}}, false)
	eventually(t, "the directory", func() bool { return holders(o, Key{1}) == 1 })
	eventually(t, "its consumers", func() bool { return welcomed(o) == 1 })
	large := strings.Repeat("x", 3*bodyChunk)
	for i := range 20 {
		j := job(large)
		if i%2 == 0 {
			j.Prefixes = []Key{{1}}
		}
		if r := read(t, submit(t, o, j)); r.text != large || r.worker != "far" || r.attempt != 1 || r.err != nil {
			t.Fatalf("job %d: %d bytes, attempt %d, %v", i, len(r.text), r.attempt, r.err)
		}
	}
	eventually(t, "no ticket is left", func() bool { return jobsWaiting(t, o) == 0 })
	end := silence(t, o, silences["nobody is there"])
	if r := read(t, submit(t, o, job("offered"))); r.text != "offered" || r.err != nil {
		t.Errorf("offered: %+v", r)
	}
	end()
}

func TestAWorkerServesItsPoolsOnlyWhateverItSays(t *testing.T) {
	t.Parallel()
	b, r := startOpenBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	c := join(t, r, "w", "poor")
	id := NewWorkerID("w")
	w := &rawWorker{t: t, o: o, nc: dialMember(t, c, id), id: id, pools: []string{"std", "poor"}}
	w.join(4)
	call := submit(t, o, job("secret"))
	for _, pool := range []string{"std", "poor"} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		m, err := w.nc.RequestWithContext(ctx, claimSubject(o.node, pool, id), encode(claim{Job: call.job.ID, Place: 1, Nonce: "n"}))
		cancel()
		if err == nil && strings.Contains(string(m.Data), "secret") {
			t.Errorf("claimed as %s: %s", pool, m.Data)
		}
	}
	if call.epoch != 0 {
		t.Errorf("the job was granted %d times", call.epoch)
	}
}

func TestAnInvitationIsForOneWorkerOnce(t *testing.T) {
	t.Parallel()
	_, r := startOpenBroker(t)
	i := invite(t, r, "w", "std")
	with := func(change func(*Invitation)) Invitation {
		j := i
		change(&j)
		return j
	}
	for name, bad := range map[string]Invitation{
		"another secret": with(func(i *Invitation) { i.Secret = "guess" }),
		"no secret":      with(func(i *Invitation) { i.Secret = "" }),
		"another name":   with(func(i *Invitation) { i.Name = "x" }),
		"another node":   with(func(i *Invitation) { i.Anchor.Pin = strings.Repeat("0", 64) }),
	} {
		if _, err := Join(testContext(t), bad); err == nil {
			t.Errorf("%s: it joined", name)
		}
	}
	c, err := Join(testContext(t), i)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Join(testContext(t), i); err == nil || strings.Contains(err.Error(), i.Secret) {
		t.Errorf("used again: %v", err)
	}
	if _, _, err := r.Add(testContext(t), member(t, "w", time.Time{}, "std")); !errors.Is(err, ErrMemberExists) {
		t.Errorf("a second worker of the name: %v", err)
	}

	first, second := invite(t, r, "v", "std"), invite(t, r, "v", "std")
	if _, err := Join(testContext(t), first); err == nil {
		t.Error("an invitation was used that another had replaced")
	}
	if _, err := Join(testContext(t), second); err != nil {
		t.Error(err)
	}

	if _, err := r.join("u", markOf(invite(t, r, "u", "std")), publicKey(t, c)); err == nil {
		t.Error("a worker took another's key for its own, and its place")
	}

	old := Member{Name: "late", Pools: []string{"std"}, Invite: make([]byte, 32), Invited: time.Now().Add(-time.Second)}
	if old.invited("", time.Now()) || old.State(time.Now()) != MemberExpired {
		t.Error("an invitation of the past is taken")
	}
	if _, err := r.join("v", "", "no key"); err == nil {
		t.Error("a worker joined twice")
	}
}

// TestAPublicKeyIsNotEnough: a worker's public key is no secret, and the server leaves the signature to the gate.
func TestAPublicKeyIsNotEnough(t *testing.T) {
	t.Parallel()
	_, r := startOpenBroker(t)
	c := join(t, r, "w", "std")
	key, err := nkeys.FromSeed([]byte(c.Seed))
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	thief, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		id   string
		sign nats.SignatureHandler
		ok   bool
	}{
		"its signature":            {"w-123456", key.Sign, true},
		"another's signature":      {"w-123456", thief.Sign, false},
		"no signature":             {"w-123456", func([]byte) ([]byte, error) { return nil, nil }, false},
		"a signature of yesterday": {"w-123456", func([]byte) ([]byte, error) { return key.Sign([]byte("yesterday")) }, false},
		"another's id":             {"x-123456", key.Sign, false},
		"an id with more to it":    {"w-x-12345", key.Sign, false},
		"an id for all":            {"w-*", key.Sign, false},
		"no id":                    {"", key.Sign, false},
	} {
		nc, err := nats.Connect(tlsURLs(c.URLs), nats.Name(tc.id), nats.Nkey(public, tc.sign), nats.Secure(c.Anchor.Client()))
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v", name, err)
		}
		if nc != nil {
			nc.Close()
		}
	}
	if nc, err := nats.Connect("nats://"+c.URLs[0], nats.Nkey(public, key.Sign)); err == nil {
		nc.Close()
		t.Error("it came in without TLS")
	}
}

func TestTheTokenOfAnOpenListener(t *testing.T) {
	t.Parallel()
	b, _ := startOpenBroker(t)
	url := "tls://" + b.advertised()
	nc, err := Dial(url, DialOptions{Name: "local", TokenFile: b.cfg.TokenFile, CAFile: b.cfg.TLS.CAFile, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	eventually(t, "a local client is in", nc.IsConnected)
	token, err := readToken(b.cfg.TokenFile)
	if err != nil {
		t.Fatal(err)
	}
	operator, err := nats.Connect(url, nats.Token(token), nats.RootCAs(b.cfg.TLS.CAFile))
	if err != nil {
		t.Errorf("a client that has the authority's certificate as a file: %v", err)
	} else {
		operator.Close()
	}
	stranger := trust.Anchor{Pin: strings.Repeat("0", 64), Name: trust.Name}
	if nc, err := nats.Connect(url, nats.Token(token), nats.Secure(stranger.Client())); err == nil {
		nc.Close()
		t.Error("a client took the node for another")
	}
}

func TestARevokedWorkerIsOutAtOnce(t *testing.T) {
	t.Parallel()
	b, r := startOpenBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	g := newGated()
	c := join(t, r, "w", "std")
	startMember(t, c, WorkerConfig{}, g.handle)
	awaitWorkers(t, o, 1)
	call := submit(t, o, job("moved"))
	receive(t, "the task", g.started)
	startWorkerAtTLS(t, b, WorkerConfig{Name: "local"}, echo)
	awaitWorkers(t, o, 2)

	if err := r.Revoke(testContext(t), "w"); err != nil {
		t.Fatal(err)
	}
	if r := read(t, call); r.text != "moved" || r.worker != "local" || r.err != nil {
		t.Errorf("its job: %+v", r)
	}
	nc, err := nats.Connect(tlsURLs(c.URLs), nats.Secure(c.Anchor.Client()), nkeyOf(t, c), nats.Name(NewWorkerID("w")))
	if err == nil {
		nc.Close()
		t.Error("it came in again")
	}
	if err := r.Revoke(testContext(t), "w"); !errors.Is(err, ErrMemberRevoked) {
		t.Errorf("revoked again: %v", err)
	}
	if _, err := r.join("w", "", publicKey(t, c)); err == nil {
		t.Error("its key was taken again")
	}
	if all := r.List(); len(all) != 1 || all[0].State(time.Now()) != MemberRevoked || all[0].Key != "" {
		t.Errorf("the members are %+v", all)
	}
	again := join(t, r, "w", "std")
	if again.Seed == c.Seed {
		t.Error("it has the same key again")
	}
}

func nkeyOf(t testing.TB, c Credentials) nats.Option {
	t.Helper()
	key, err := nkeys.FromSeed([]byte(c.Seed))
	if err != nil {
		t.Fatal(err)
	}
	return nats.Nkey(publicKey(t, c), key.Sign)
}

func publicKey(t testing.TB, c Credentials) string {
	t.Helper()
	key, err := nkeys.FromSeed([]byte(c.Seed))
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return public
}

// startWorkerAtTLS starts one on the node's own machine.
func startWorkerAtTLS(t testing.TB, b *Broker, cfg WorkerConfig, handle Handler) {
	t.Helper()
	nc, err := Dial("tls://"+b.advertised(), DialOptions{Name: cfg.Name, TokenFile: b.cfg.TokenFile, CAFile: b.cfg.TLS.CAFile, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	cfg.Pools, cfg.Slots = []string{"std"}, 4
	w, err := NewWorker(testContext(t), nc, cfg, handle, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
}

// Who had the secret of an invitation that another has replaced must not get in with it later.
func TestANewInvitationEndsTheConnectionsOfTheOldOne(t *testing.T) {
	t.Parallel()
	_, r := startOpenBroker(t)
	old := invite(t, r, "w", "std")
	nc, err := nats.Connect(tlsURLs(old.URLs), nats.UserInfo(joinPrefix+old.Name, old.Secret), nats.Secure(old.Anchor.Client()), nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	invite(t, r, "w", "std")
	eventually(t, "it is out", nc.IsClosed)
}

// A key can be on its way when another invitation replaces the one that it came with.
func TestAKeyIsForTheInvitationThatItCameWith(t *testing.T) {
	t.Parallel()
	_, r := startOpenBroker(t)
	old := invite(t, r, "w", "std")
	now := invite(t, r, "w", "std")
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, mark := range map[string]string{"of the former": markOf(old), "of none": "", "of another": strings.Repeat("0", 64)} {
		if _, err := r.join("w", mark, public); err == nil {
			t.Errorf("the key %s was taken", name)
		}
	}
	if _, err := r.join("w", markOf(now), public); err != nil {
		t.Error(err)
	}
}

// markOf is how the subject of a join names an invitation.
func markOf(i Invitation) string {
	sum := sha256.Sum256([]byte(i.Secret))
	_, mark, _ := cutLast(joinSubject(i.Name, sum[:]))
	return mark
}

// An owner hears workers as soon as it is there, and must not believe what they say of their pools.
func TestAnOpenRegistryKnowsItsMembers(t *testing.T) {
	t.Parallel()
	b, r := startOpenBroker(t)
	join(t, r, "w", "poor")
	cfg := b.cfg
	r.Close()
	b.Close()
	b, err := OpenBroker(testContext(t), cfg, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	if pools, joined := openRegistry(t, b).Given("w-123456"); !joined || !slices.Equal(pools, []string{"poor"}) {
		t.Errorf("it knows %v, %t", pools, joined)
	}
}

func TestAMemberHasSoManyConnectionsAtANode(t *testing.T) {
	t.Parallel()
	_, r := startOpenBroker(t)
	c := join(t, r, "w", "std")
	dial := func() (*nats.Conn, error) {
		return nats.Connect(tlsURLs(c.URLs), nats.Secure(c.Anchor.Client()), nkeyOf(t, c), nats.Name(NewWorkerID("w")), nats.NoReconnect())
	}
	var last *nats.Conn
	for range maxInside {
		nc, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		last = nc
	}
	if nc, err := dial(); err == nil {
		nc.Close()
		t.Error("one more was let in")
	}
	last.Close()
	eventually(t, "there is room again", func() bool {
		nc, err := dial()
		if err == nil {
			nc.Close()
		}
		return err == nil
	})
}

// A listener on the machine's own address takes clients without TLS, of which none is to be a worker from elsewhere.
func TestNoWorkerJoinsInTheClear(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b, err := OpenBroker(testContext(t), BrokerConfig{
		Listen: "127.0.0.1:0", StoreDir: filepath.Join(dir, "nats"), TokenFile: filepath.Join(dir, "nats.token"), TLS: TLSConfig{SecretFile: filepath.Join(dir, "nats.secret")},
	}, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	r := openRegistry(t, b)
	if _, _, err := r.Add(testContext(t), member(t, "w", time.Time{}, "std")); !errors.Is(err, ErrUnreachable) {
		t.Errorf("invited to an address that nobody can reach: %v", err)
	}
	b.cfg.Advertise = b.Addr().String()
	i := invite(t, r, "w", "std")
	if nc, err := nats.Connect(b.ClientURL(), nats.UserInfo(joinPrefix+i.Name, i.Secret)); err == nil {
		nc.Close()
		t.Error("an invitation was taken in the clear")
	}
	c, err := Join(testContext(t), i)
	if err != nil {
		t.Fatal(err)
	}
	if nc, err := nats.Connect(b.ClientURL(), nkeyOf(t, c), nats.Name(NewWorkerID("w"))); err == nil {
		nc.Close()
		t.Error("a worker came in without TLS")
	}
	nc := dialMember(t, c, NewWorkerID("w"))
	eventually(t, "it is in with TLS", nc.IsConnected)
}

func TestAWorkerIsOutWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	_, r := startOpenBroker(t)
	_, text, err := r.Add(testContext(t), member(t, "w", time.Now().Add(2*time.Second), "std"))
	if err != nil {
		t.Fatal(err)
	}
	i, err := ParseInvitation(text)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Join(testContext(t), i)
	if err != nil {
		t.Fatal(err)
	}
	nc := dialMember(t, c, NewWorkerID("w"))
	eventually(t, "it is in", nc.IsConnected)
	eventually(t, "it is out", func() bool { return !nc.IsConnected() })
}

func TestACredentialsFileIsForItsOwner(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "worker.join")
	want := Credentials{Name: "w", Pools: []string{"std"}, URLs: []string{"h:1"}, Anchor: trust.Anchor{Pin: "p", Name: "n"}, Seed: "s"}
	if err := want.Save(path); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	got, err := LoadCredentials(path)
	if err != nil || got.Name != want.Name || got.Seed != want.Seed || !slices.Equal(got.URLs, want.URLs) || got.Anchor != want.Anchor {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCredentials(path); err == nil {
		t.Error("a file open to others was taken")
	}
}

func TestAMemberOwnsItsStartsOnly(t *testing.T) {
	m := Member{Name: "a-b"}
	for id, want := range map[string]bool{
		"a-b-123456": true, "a-b": false, "a-b-12345": false, "a-b-1234567": false, "a-c-123456": false, "a-b_123456": false, "a-b-12345*": false, "": false,
	} {
		if m.owns(id) != want {
			t.Errorf("%q: %t, want %t", id, !want, want)
		}
	}
	if !m.owns(NewWorkerID("a-b")) {
		t.Error("it does not own an id of its name")
	}
}

func FuzzParseInvitation(f *testing.F) {
	f.Add(Invitation{URLs: []string{"h:1"}, Name: "w", Secret: "s"}.String())
	f.Add(invitationMark)
	f.Add("{}")
	f.Fuzz(func(t *testing.T, text string) {
		i, err := ParseInvitation(text)
		if err == nil && (!isToken(i.Name) || len(i.URLs) == 0 || i.Secret == "") {
			t.Errorf("%q gave %+v", text, i)
		}
	})
}

func FuzzParseMember(f *testing.F) {
	f.Add("w", encode(Member{Name: "w", Pools: []string{"p"}}))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if m, err := parseMember(name, data); err == nil && (m.Name != name || !isToken(name) || len(m.Pools) == 0) {
			t.Errorf("%q gave %+v", data, m)
		}
	})
}
