package queue

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"github.com/rs/zerolog"
)

const (
	membersBucket = "WCREDS"
	membersBytes  = 4 << 20
	maxMember     = 8 << 10

	registryWait  = 5 * time.Second
	registryPause = 500 * time.Millisecond

	// InviteLife is how long an invitation can be used.
	InviteLife = time.Hour

	joinGroup  = "registry"
	joinPrefix = "join:"

	changeSubject = "members" // node → all nodes
)

// Errors of a Registry.
var (
	ErrMemberExists  = errors.New("there is a worker of this name: revoke it first, or give the new one another name")
	ErrUnknownMember = errors.New("there is no such worker")
	ErrMemberRevoked = errors.New("the worker is revoked already")
	ErrUnreachable   = errors.New("other machines cannot reach this node's broker: have it listen at another address than its own machine's, or say where it is reached")
)

// Registry is the workers that may connect over the network: a bucket of the broker, and at each node's gate a copy of
// it. A change holds on this node when it returns and on the others within moments.
type Registry struct {
	b   *Broker
	nc  *nats.Conn
	kv  jetstream.KeyValue
	log zerolog.Logger

	calm zerolog.Logger // for what anybody can cause at will

	ctx    context.Context
	cancel context.CancelFunc
	watch  sync.WaitGroup
}

// OpenRegistry lets workers join an embedded broker, and returns when it knows those that have. It is closed with Close, before the broker.
func (b *Broker) OpenRegistry(ctx context.Context) (*Registry, error) {
	if b.srv == nil {
		return nil, errors.New("workers join the built-in broker only: who may use the server at nats.url is decided there")
	}
	nc, err := b.Connect("registry")
	if err != nil {
		return nil, err
	}
	r := &Registry{b: b, nc: nc, log: b.log, calm: calm(b.log)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	if err := r.open(ctx); err != nil {
		r.Close()
		return nil, fmt.Errorf("workers that may join: %w", err)
	}
	return r, nil
}

func (r *Registry) open(ctx context.Context) error {
	js, err := jetstream.New(r.nc)
	if err != nil {
		return err
	}
	r.kv, err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: membersBucket, Description: "workers that may connect over the network, no secrets",
		Storage: jetstream.FileStorage, Replicas: r.b.cfg.Replicas, MaxBytes: membersBytes, MaxValueSize: maxMember,
	})
	if err != nil {
		return err
	}
	if _, err := r.nc.QueueSubscribe("join.*.*", joinGroup, r.onJoin); err != nil {
		return err
	}
	if _, err := r.nc.Subscribe(changeSubject, r.onChange); err != nil {
		return err
	}
	if _, err := r.nc.QueueSubscribe(viaSubject("*", ">"), deskGroup, r.desk); err != nil {
		return err
	}
	r.watch.Go(r.follow)
	select {
	case <-r.b.gate.loaded: // before an owner hears a worker, of whose pools it would know nothing
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close leaves the workers that are connected where they are.
func (r *Registry) Close() {
	r.cancel()
	r.watch.Wait()
	r.nc.Close()
}

// Add invites a worker, and returns the invitation to be given to `maxrelay worker join`. It is shown this once: only
// the hash of its secret is kept.
func (r *Registry) Add(ctx context.Context, m Member) (Member, string, error) {
	secret := rand.Text()
	sum := sha256.Sum256([]byte(secret))
	m.Added = time.Now().UTC()
	m.Invite, m.Invited = sum[:], m.Added.Add(InviteLife)
	if !r.b.reachable() {
		return m, "", ErrUnreachable
	}
	revision, err := r.create(ctx, m)
	if err != nil {
		return m, "", err
	}
	r.tell(m, revision)
	return m, Invitation{URLs: r.addresses(), Anchor: r.b.anchor, Name: m.Name, Secret: secret}.String(), nil
}

// create replaces an entry only when nobody can use it: its invitation was not taken, or it has expired.
func (r *Registry) create(ctx context.Context, m Member) (revision uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, registryWait)
	defer cancel()
	revision, err = r.kv.Create(ctx, m.Name, encode(m))
	if !errors.Is(err, jetstream.ErrKeyExists) {
		return revision, err
	}
	old, revision, err := r.get(ctx, m.Name)
	if err != nil {
		return 0, err
	}
	if old.State(time.Now()) == MemberJoined {
		return 0, ErrMemberExists
	}
	return r.kv.Update(ctx, m.Name, encode(m), revision)
}

// tell puts a change into force here, and on the other nodes at once: one that follows the bucket may be some 15 s behind
// when the node that it follows it at has just gone (nats.go 1.55).
func (r *Registry) tell(m Member, revision uint64) {
	r.let(r.b.gate.put(m, revision))
	if err := r.nc.Publish(changeSubject, encode(change{m, revision})); err != nil {
		r.log.Warn().Err(err).Str("worker", m.Name).Msg("the other nodes were not told of a change of this worker, and see it by themselves")
	}
}

// change is what nodes tell each other of a member.
type change struct {
	Member   Member `json:"member"`
	Revision uint64 `json:"revision"`
}

func (r *Registry) onChange(m *nats.Msg) {
	var c change
	err := json.Unmarshal(m.Data, &c)
	if err == nil {
		err = c.Member.validate()
	}
	if err != nil {
		r.log.Warn().Err(err).Msg("a change of a worker that may join is not accepted")
		return
	}
	r.let(r.b.gate.put(c.Member, c.Revision))
}

func (r *Registry) get(ctx context.Context, name string) (Member, uint64, error) {
	if !isToken(name) {
		return Member{}, 0, ErrUnknownMember
	}
	e, err := r.kv.Get(ctx, name)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Member{}, 0, ErrUnknownMember
	}
	if err != nil {
		return Member{}, 0, err
	}
	m, err := parseMember(name, e.Value())
	return m, e.Revision(), err
}

// Revoke takes a worker's key or invitation from it and ends its connections. What it runs moves to others, as if it
// had died.
func (r *Registry) Revoke(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, registryWait)
	defer cancel()
	m, revision, err := r.get(ctx, name)
	switch {
	case err != nil:
		return err
	case !m.Revoked.IsZero():
		return ErrMemberRevoked
	}
	m.Key, m.Invite, m.Invited, m.Revoked = "", nil, time.Time{}, time.Now().UTC()
	if revision, err = r.kv.Update(ctx, name, encode(m), revision); err != nil {
		return err
	}
	r.tell(m, revision)
	return nil
}

// List returns the members by name.
func (r *Registry) List() []Member {
	g := r.b.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]Member, 0, len(g.members))
	for _, m := range g.members {
		all = append(all, m.Member)
	}
	slices.SortFunc(all, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Given tells which pools a worker may serve, by its id. Of one that has not joined nothing is known.
func (r *Registry) Given(id string) (pools []string, joined bool) {
	g := r.b.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	m, joined := g.members[labelOf(id)]
	return m.Pools, joined
}

// let ends the connections of clients. One that is gone already is none to worry about.
func (r *Registry) let(out []uint64) {
	for _, id := range out {
		_ = r.b.srv.DisconnectClientByID(id)
	}
}

// follow keeps the gate current until the registry is closed.
func (r *Registry) follow() {
	for r.ctx.Err() == nil {
		if err := r.followOnce(); err != nil && r.ctx.Err() == nil {
			r.log.Warn().Err(err).Msg("changes of the workers that may join are not seen, trying again")
		}
		select {
		case <-time.After(registryPause):
		case <-r.ctx.Done():
		}
	}
}

// followOnce begins with all members. Who is not among them was removed while nobody looked.
func (r *Registry) followOnce() error {
	w, err := r.kv.WatchAll(r.ctx)
	if err != nil {
		return err
	}
	defer func() { _ = w.Stop() }() // fails when it has ended by itself
	seen, whole := make(map[string]bool), false
	for e := range w.Updates() {
		switch {
		case e == nil:
			whole = true
			r.b.gate.load()
			for _, name := range r.b.gate.names() {
				if !seen[name] {
					r.let(r.b.gate.drop(name))
				}
			}
		default:
			seen[e.Key()] = true
			r.take(e)
		}
	}
	if !whole {
		return errors.New("the watch ended before it had begun")
	}
	return errors.New("the watch ended")
}

func (r *Registry) take(e jetstream.KeyValueEntry) {
	if e.Operation() != jetstream.KeyValuePut {
		r.let(r.b.gate.drop(e.Key()))
		return
	}
	m, err := parseMember(e.Key(), e.Value())
	if err != nil {
		r.log.Error().Err(err).Str("worker", e.Key()).Msg("an entry of the workers that may join is not accepted")
		r.let(r.b.gate.drop(e.Key()))
		return
	}
	r.let(r.b.gate.put(m, e.Revision()))
}

// onJoin takes the key of an invited worker. Only a connection with the secret of its invitation may ask, under its name.
func (r *Registry) onJoin(m *nats.Msg) {
	name, invite, _ := lastTwo(m.Subject)
	if !strings.HasPrefix(m.Reply, invitedInbox(name)+".") {
		return
	}
	member, err := r.join(name, invite, string(m.Data))
	reply := joined{Pools: member.Pools, URLs: r.addresses()}
	if err != nil {
		r.calm.Warn().Err(err).Str("worker", name).Msg("a worker did not join")
		reply = joined{Refused: err.Error()}
	} else {
		r.log.Info().Str("worker", name).Strs("pools", member.Pools).Msg("a worker has joined")
	}
	if err := m.Respond(encode(reply)); err != nil {
		r.log.Debug().Err(err).Msg("not answered")
	}
}

func (r *Registry) join(name, invite, key string) (Member, error) {
	ctx, cancel := context.WithTimeout(r.ctx, registryWait)
	defer cancel()
	m, revision, err := r.get(ctx, name)
	switch {
	case err != nil:
		return m, err
	case m.State(time.Now()) != MemberInvited, hex.EncodeToString(m.Invite) != invite:
		return m, errors.New("the invitation was used or is too old")
	case !nkeys.IsValidPublicUserKey(key):
		return m, errors.New("that is no key")
	case r.b.gate.hasKey(key): // whose owner it would put out
		return m, errors.New("that is the key of another worker")
	}
	m.Key, m.Joined, m.Invite, m.Invited = key, time.Now().UTC(), nil, time.Time{}
	if revision, err = r.kv.Update(ctx, name, encode(m), revision); err != nil {
		return m, err
	}
	r.tell(m, revision)
	return m, nil
}

// addresses are where workers reach this node, and those of the cluster that it knows.
func (r *Registry) addresses() []string {
	all := []string{r.b.advertised()}
	for _, url := range r.nc.DiscoveredServers() {
		_, hostPort, _ := strings.Cut(url, "://")
		if hostPort != "" && !slices.Contains(all, hostPort) {
			all = append(all, hostPort)
		}
	}
	return all
}
