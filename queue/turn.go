package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	turnBucket = "TURN"
	turnKey    = "opening"

	turnTTL   = 30 * time.Second // after which the turn of a node that died is over
	turnTry   = 2 * time.Second  // for one answer
	turnPause = 100 * time.Millisecond
	turnSay   = 10 * time.Second // between two lines that say what is waited for
)

// Turn waits until no other API node creates its streams, and returns what ends this node's turn: of several nodes that
// create one stream at the same time none is answered (nats-server 2.15.2). Without replicas there is only one node, or
// a broker that has no cluster.
//
// What has fewer replicas than it should, because it was restored from a node on its own, has them afterwards.
func (b *Broker) Turn(ctx context.Context) (done func(), err error) {
	if b.cfg.Replicas == 1 {
		return func() {}, nil
	}
	nc, err := b.Connect("turn")
	if err != nil {
		return nil, err
	}
	kv, revision, err := b.takeTurn(ctx, nc)
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("waiting for this node's turn to open: %w", err)
	}
	return func() {
		defer nc.Close()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), turnTry)
		defer cancel()
		_ = kv.Delete(ctx, turnKey, jetstream.LastRevision(revision)) // else it ends by its TTL
	}, nil
}

func (b *Broker) takeTurn(ctx context.Context, nc *nats.Conn) (kv jetstream.KeyValue, revision uint64, err error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, 0, err
	}
	err = b.patiently(ctx, func(ctx context.Context) (err error) {
		if kv, err = b.turns(ctx, js); err == nil {
			revision, err = kv.Create(ctx, turnKey, nil)
		}
		return err
	})
	if err == nil {
		err = b.patiently(ctx, func(ctx context.Context) error { return b.spread(ctx, js) })
	}
	return kv, revision, err
}

// spread gives every stream its replicas. A stream with one has to wait for the node that has it.
func (b *Broker) spread(ctx context.Context, js jetstream.JetStream) error {
	names := js.StreamNames(ctx)
	for name := range names.Name() {
		stream, err := js.Stream(ctx, name)
		if err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
		cfg := stream.CachedInfo().Config
		if cfg.Replicas >= b.cfg.Replicas || cfg.PersistMode == jetstream.AsyncPersistMode {
			continue // what is written later has one copy for good (nats-server 2.15.2): who made it carries it over
		}
		cfg.Replicas = b.cfg.Replicas
		if _, err := js.UpdateStream(ctx, cfg); tooFewNodes(err) {
			continue // the one that is missing spreads it when it starts
		} else if err != nil {
			return fmt.Errorf("spreading stream %s: %w", name, err)
		}
		b.log.Info().Str("stream", name).Int("replicas", cfg.Replicas).Msg("a stream is spread over the cluster")
	}
	return names.Err()
}

// turns returns the bucket. It is the first thing a new cluster keeps, and shows whether it can keep anything.
func (b *Broker) turns(ctx context.Context, js jetstream.JetStream) (jetstream.KeyValue, error) {
	kv, err := js.KeyValue(ctx, turnBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		kv, err = js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: turnBucket, Description: "which API node is opening", Storage: jetstream.MemoryStorage,
			TTL: turnTTL, MaxBytes: 1 << 20, Replicas: b.cfg.Replicas,
		})
	}
	return kv, err
}

// patiently tries until it works or ctx ends, and says now and then what it waits for. The pauses differ, so that nodes
// which met do not meet again.
func (b *Broker) patiently(ctx context.Context, try func(context.Context) error) error {
	say := time.NewTicker(turnSay)
	defer say.Stop()
	for {
		once, cancel := context.WithTimeout(ctx, turnTry)
		err := try(once)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-say.C:
			b.log.Warn().AnErr("why", err).Int("other_nodes", b.peers()).Int("replicas", b.cfg.Replicas).Msg("waiting for the cluster")
		case <-time.After(turnPause + rand.N(turnPause)):
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}
