package queue

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

const (
	relayAccount  = "RELAY"
	systemAccount = "SYS"
	systemUser    = "system"

	// accounts is in the server's own language, because an account that is made in code has JetStream off until the
	// server runs, and a node of a cluster looks into its store before.
	accounts = "accounts { " + relayAccount + " { jetstream: enabled }, " + systemAccount + " {} }, system_account: " + systemAccount
)

// gate admits clients of the embedded server:
//
//   - who has the process's own secret, only from inside the process; it opens the system account, too
//   - who has the token of the file, only from this machine
//   - joined workers, by a signature with their key, to what memberPermissions allow
//   - invited ones, by the secret of their invitation, to hand in their key
type gate struct {
	token, secret string
	loaded        chan struct{}   // closed when members is all there are
	load          func()          // closes it
	relay, system *server.Account // the server's copies of the ones in its options

	mu      sync.Mutex
	members map[string]known           // by name
	keys    map[string]string          // public key to name
	inside  map[string]map[uint64]bool // by name, the clients that were admitted and have not left
}

// known is a member at a revision of its entry.
type known struct {
	Member
	revision uint64
}

func newGate(token, secret string) *gate {
	loaded := make(chan struct{})
	return &gate{token: token, secret: secret, loaded: loaded, load: sync.OnceFunc(func() { close(loaded) }),
		members: make(map[string]known), keys: make(map[string]string), inside: make(map[string]map[uint64]bool)}
}

func (g *gate) open(srv *server.Server) (err error) {
	if g.relay, err = srv.LookupAccount(relayAccount); err != nil {
		return fmt.Errorf("account %s: %w", relayAccount, err)
	}
	if g.system, err = srv.LookupAccount(systemAccount); err != nil {
		return fmt.Errorf("account %s: %w", systemAccount, err)
	}
	return nil
}

func (g *gate) Check(c server.ClientAuthentication) bool {
	opts := c.GetOpts()
	given := opts.Token
	if given == "" {
		given = opts.Password
	}
	switch {
	case sameSecret(given, g.secret) && inProcess(c):
		account, name := g.relay, "process"
		if opts.Username == systemUser {
			account, name = g.system, systemUser
		}
		c.RegisterUser(&server.User{Account: account, Username: name})
		return true
	case sameSecret(given, g.token) && onThisMachine(c):
		c.RegisterUser(&server.User{Account: g.relay, Username: "token"})
		return true
	case !g.knows():
		return false
	case opts.Nkey != "":
		return g.admitMember(c, opts)
	}
	return g.admitInvited(c, opts)
}

// knowsWait is longer than the server gives a client to prove itself: one that comes before the members are known hears
// that it took too long, not that it is refused.
const knowsWait = 2 * authWait

// knows waits until the members are known.
func (g *gate) knows() bool {
	select {
	case <-g.loaded:
		return true
	case <-time.After(knowsWait):
		return false
	}
}

// admitMember checks the signature, which the server leaves to us: a worker's public key is no secret. The id is the
// connection's name, and stays with it for good.
func (g *gate) admitMember(c server.ClientAuthentication, opts *server.ClientOpts) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	m, found := g.members[g.keys[opts.Nkey]]
	if !found || m.State(time.Now()) != MemberJoined || !m.owns(opts.Name) || !signed(opts.Nkey, opts.Sig, c.GetNonce()) {
		return false
	}
	return g.admitLocked(c, m.Member, memberPermissions(opts.Name, m.Pools))
}

func signed(public, signature string, nonce []byte) bool {
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil || len(nonce) == 0 {
		return false
	}
	key, err := nkeys.FromPublicKey(public)
	return err == nil && key.Verify(nonce, sig) == nil
}

func (g *gate) admitInvited(c server.ClientAuthentication, opts *server.ClientOpts) bool {
	name, ok := strings.CutPrefix(opts.Username, joinPrefix)
	g.mu.Lock()
	defer g.mu.Unlock()
	m, found := g.members[name]
	if !ok || !found || !m.invited(opts.Password, time.Now()) {
		return false
	}
	return g.admitLocked(c, m.Member, invitedPermissions(name, m.Invite))
}

// maxInside is how many connections of one member a node takes: one is its own, others are dead ones that the server has
// yet to notice, as it does within a minute (pingEvery). Each can have the server keep 64 MB that it asks for and does not
// read (nats-server 2.15.2), for 10 s.
const maxInside = 16

// admitLocked notes who is let in under the lock that a change of the member takes, so that none slips in behind it. A
// key or a secret that was not sent encrypted is nobody's any more. A connection proves itself once: a second CONNECT would
// give it another id.
func (g *gate) admitLocked(c server.ClientAuthentication, m Member, allowed *server.Permissions) bool {
	if c.GetTLSConnectionState() == nil || len(g.inside[m.Name]) >= maxInside || g.inside[m.Name][c.GetID()] {
		return false
	}
	if g.inside[m.Name] == nil {
		g.inside[m.Name] = make(map[uint64]bool)
	}
	g.inside[m.Name][c.GetID()] = true
	c.RegisterUser(&server.User{Account: g.relay, Username: "worker " + m.Name, Permissions: allowed, ConnectionDeadline: m.Expires})
	return true
}

// put takes a member as it is now, and returns the clients that were let in with what does not hold any more. One that
// has just joined is not thrown out: it has yet to hear so, and its invitation let it do nothing else. What is older than
// what is known comes late, and changes nothing.
func (g *gate) put(m Member, revision uint64) (out []uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	was, inside := g.members[m.Name], g.inside[m.Name]
	if revision < was.revision {
		return nil
	}
	joins := was.Key == "" && m.Key != ""
	holds := joins || was.Key == m.Key && bytes.Equal(was.Invite, m.Invite) && slices.Equal(was.Pools, m.Pools) && was.Expires.Equal(m.Expires)
	out = g.dropLocked(m.Name)
	if holds {
		out = nil
		if inside != nil {
			g.inside[m.Name] = inside
		}
	}
	g.members[m.Name] = known{m, revision}
	if m.Key != "" {
		g.keys[m.Key] = m.Name
	}
	return out
}

// drop forgets a member, and returns the clients that were let in as it.
func (g *gate) drop(name string) (out []uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dropLocked(name)
}

func (g *gate) dropLocked(name string) (out []uint64) {
	for id := range g.inside[name] {
		out = append(out, id)
	}
	delete(g.inside, name)
	if m := g.members[name]; g.keys[m.Key] == name {
		delete(g.keys, m.Key)
	}
	delete(g.members, name)
	return out
}

func (g *gate) hasKey(public string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.keys[public] != ""
}

// names are the members that are known.
func (g *gate) names() (all []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for name := range g.members {
		all = append(all, name)
	}
	return all
}

// left forgets a client that is gone.
func (g *gate) left(client uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, inside := range g.inside {
		delete(inside, client)
	}
}

func inProcess(c server.ClientAuthentication) bool {
	addr := c.RemoteAddress()
	return addr != nil && addr.Network() == "pipe"
}

func onThisMachine(c server.ClientAuthentication) bool {
	addr, ok := c.RemoteAddress().(*net.TCPAddr)
	return inProcess(c) || ok && addr.IP.IsLoopback()
}

func sameSecret(given, want string) bool {
	return want != "" && subtle.ConstantTimeCompare([]byte(given), []byte(want)) == 1
}
