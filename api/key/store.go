package key

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// StoreConfig is the configuration of a Store. Zero fields take the defaults given here.
type StoreConfig struct {
	Replicas int              // copies of each key in a cluster, 1
	MaxBytes int64            // disk the keys may take, then none can be added or changed, 64 MB
	Now      func() time.Time // time.Now
}

func (c StoreConfig) withDefaults() StoreConfig {
	c.Replicas = cmp.Or(c.Replicas, 1)
	c.MaxBytes = cmp.Or(c.MaxBytes, 64<<20)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Errors of a Store.
var (
	ErrUnknown  = errors.New("no such key")
	ErrConflict = errors.New("the key was changed by somebody else meanwhile")
)

const (
	bucket = "KEYS"

	// markerTTL is how long the broker remembers that a key was removed. Nodes that were
	// away for longer learn it from the next snapshot.
	markerTTL = time.Hour
)

// Store is the managed keys: a bucket of the broker with one entry a key, so that every
// change is one atomic write, and a copy of it in memory, so that a request is judged
// without a round trip. A write is in this node's copy when it returns; a watch brings
// it to the others. While the broker is away keys work as they were last known.
type Store struct {
	cfg   StoreConfig
	log   zerolog.Logger
	nc    *nats.Conn
	kv    jetstream.KeyValue
	index *index

	behind  atomic.Bool
	ready   chan struct{} // closed after the first snapshot
	watcher sync.WaitGroup
	cancel  context.CancelFunc
}

// OpenStore creates the bucket, or brings it up to this configuration, and returns when
// all keys are known. The connection stays the caller's.
func OpenStore(ctx context.Context, nc *nats.Conn, cfg StoreConfig, log zerolog.Logger) (*Store, error) {
	s := &Store{cfg: cfg.withDefaults(), log: log, nc: nc, index: newIndex(), ready: make(chan struct{})}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("managed keys: %w", err)
	}
	s.kv, err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: bucket, Description: "managed API keys, no secrets",
		History: 1, Storage: jetstream.FileStorage, Replicas: s.cfg.Replicas,
		MaxBytes: s.cfg.MaxBytes, MaxValueSize: maxRecord, LimitMarkerTTL: markerTTL,
	})
	if err != nil {
		return nil, fmt.Errorf("creating bucket %s: %w", bucket, err)
	}
	watching, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.watcher.Go(func() { s.watch(watching) })
	select {
	case <-s.ready:
		return s, nil
	case <-ctx.Done():
		s.Close()
		return nil, fmt.Errorf("reading the managed keys: %w", context.Cause(ctx))
	}
}

// Close ends the watch. Keys can still be looked up.
func (s *Store) Close() {
	s.cancel()
	s.watcher.Wait()
}

// Behind reports whether changes made by other nodes may be missing, because the broker
// cannot be watched now.
func (s *Store) Behind() bool { return s.behind.Load() || !s.nc.IsConnected() }

func (s *Store) identify(hash digest, from netip.Addr, origin string) (id Identity, found bool, err error) {
	r, found := s.index.find(hash)
	if !found {
		return Identity{}, false, nil
	}
	if err := r.admit(hash, s.cfg.Now(), from, origin); err != nil {
		return Identity{}, true, err
	}
	return r.identity(), true, nil
}

// Get returns a key as this node knows it.
func (s *Store) Get(id string) (Record, bool) { return s.index.get(id) }

// List returns all keys, deleted ones included, the newest first.
func (s *Store) List() []Record { return s.index.list() }

// working are the callers whose keys can be used now.
func (s *Store) working() (all []Identity) {
	now := s.cfg.Now()
	for _, r := range s.index.list() {
		if r.Active && !r.Deleted() && !r.Expired(now) {
			all = append(all, r.identity())
		}
	}
	return all
}

// Load returns a key as the broker has it, for a change. Its error is ErrUnknown if it
// has none.
func (s *Store) Load(ctx context.Context, id string) (Record, error) {
	if !idForm.MatchString(id) {
		return Record{}, ErrUnknown
	}
	e, err := s.kv.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Record{}, ErrUnknown
	}
	if err != nil {
		return Record{}, fmt.Errorf("reading key %s: %w", id, err)
	}
	r, err := decodeRecord(id, e.Value(), e.Revision())
	if err != nil {
		return Record{}, fmt.Errorf("reading key %s: %w", id, err)
	}
	return r, nil
}

// Add keeps a new key.
func (s *Store) Add(ctx context.Context, r Record) error {
	return s.write(r, func(data []byte) (uint64, error) { return s.kv.Create(ctx, r.ID, data) })
}

// Replace keeps a changed key that came from Load. It fails with ErrConflict if it was
// changed since.
func (s *Store) Replace(ctx context.Context, r Record) error {
	return s.write(r, func(data []byte) (uint64, error) { return s.kv.Update(ctx, r.ID, data, r.revision) })
}

func (s *Store) write(r Record, put func([]byte) (uint64, error)) error {
	if err := r.compile(); err != nil {
		return fmt.Errorf("writing key %s: allowed_ips: %w", r.ID, err)
	}
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("writing key %s: %w", r.ID, err)
	}
	if r.revision, err = put(data); err != nil {
		return s.writeError(r.ID, err)
	}
	s.index.put(r)
	return nil
}

// Remove forgets a key that came from Load, its name and history included.
func (s *Store) Remove(ctx context.Context, r Record) error {
	if err := s.kv.Purge(ctx, r.ID, jetstream.LastRevision(r.revision), jetstream.PurgeTTL(markerTTL)); err != nil {
		return s.writeError(r.ID, err)
	}
	s.index.remove(r.ID, r.revision+1) // nothing was written between, and nothing will be
	return nil
}

// wrongRevision is what a broker answers to a write over a newer entry: one code of a
// single server and one of a cluster's (nats-server 2.15.2).
var wrongRevision = []jetstream.ErrorCode{10071, 10164}

func (s *Store) writeError(id string, err error) error {
	if e, ok := errors.AsType[*jetstream.APIError](err); ok {
		for _, code := range wrongRevision {
			if e.ErrorCode == code {
				return ErrConflict
			}
		}
	}
	if errors.Is(err, jetstream.ErrKeyExists) {
		return ErrConflict
	}
	return fmt.Errorf("writing key %s: %w", id, err)
}
