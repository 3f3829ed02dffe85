package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// MarkTTL is how long a mark stands.
const MarkTTL = 10 * time.Minute

const (
	marksBucket = "MARKS"
	marksBytes  = 16 << 20 // some 100,000 marks; older ones do not give way, see Mark

	// hereWait is how long another node may take to say that it lives. One that is silent counts as alive: a second
	// answer to one question is worse than a late one.
	hereWait = time.Second
)

// Errors of Mark.
var (
	ErrMarked    = errors.New("another node holds the mark")
	ErrMarksFull = errors.New("no room for another mark")
)

// Mark notes for all API nodes that this one keeps what name stands for, until MarkTTL is over or it is unmarked. It
// fails with ErrMarked while another living node does, and with ErrMarksFull when there are too many. name must be a
// token: letters, digits, - and _.
func (o *Owner) Mark(ctx context.Context, name string) error {
	if !isToken(name) {
		return fmt.Errorf("mark: a name of %d bytes is not a token", len(name))
	}
	for { // each round lost a race against another node; ctx bounds them
		taken, err := o.tryMark(ctx, name)
		if taken || err != nil {
			return err
		}
	}
}

// Unmark takes the mark back, if this node holds it. A failure only leaves the mark standing until its TTL.
func (o *Owner) Unmark(ctx context.Context, name string) {
	kv, err := o.marks(ctx)
	if err != nil {
		return
	}
	entry, err := kv.Get(ctx, name)
	if err != nil || string(entry.Value()) != o.node {
		return
	}
	if err := kv.Purge(ctx, name, jetstream.LastRevision(entry.Revision())); err != nil {
		o.log.Debug().Err(err).Msg("a mark stays until it expires")
	}
}

func (o *Owner) tryMark(ctx context.Context, name string) (taken bool, err error) {
	kv, err := o.marks(ctx)
	if err != nil {
		return false, err
	}
	_, err = kv.Create(ctx, name, []byte(o.node))
	if err == nil {
		return true, nil
	}
	if full, ok := errors.AsType[*jetstream.APIError](err); ok && full.ErrorCode == storeFull {
		return false, ErrMarksFull
	}
	if !errors.Is(err, jetstream.ErrKeyExists) {
		return false, fmt.Errorf("mark: %w", err)
	}
	entry, err := kv.Get(ctx, name)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return false, nil // gone meanwhile
	}
	if err != nil {
		return false, fmt.Errorf("mark: %w", err)
	}
	switch holder := string(entry.Value()); {
	case holder == o.node:
		return true, nil
	case o.lives(ctx, holder):
		return false, ErrMarked
	}
	_, err = kv.Update(ctx, name, []byte(o.node), entry.Revision())
	return err == nil, nil // else another node was faster to inherit it
}

// storeFull is what the broker answers when DiscardNew keeps a stream from growing.
const storeFull jetstream.ErrorCode = 10077

// marks returns the bucket. It lives in memory like the answers that its marks stand for, so it is made anew whenever
// it is not there.
func (o *Owner) marks(ctx context.Context) (jetstream.KeyValue, error) {
	kv, err := o.js.KeyValue(ctx, marksBucket)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return o.ensureMarks(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("mark: %w", err)
	}
	return kv, nil
}

func (o *Owner) ensureMarks(ctx context.Context) (jetstream.KeyValue, error) {
	kv, err := o.js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket: marksBucket, Description: "which API node keeps the answer to a repeated request",
		TTL: MarkTTL, Storage: jetstream.MemoryStorage, MaxBytes: marksBytes, MaxValueSize: 2 * maxToken, Replicas: o.cfg.Replicas,
	})
	if tooFewNodes(err) {
		kv, err = o.js.KeyValue(ctx, marksBucket)
	}
	if err != nil {
		return nil, fmt.Errorf("mark: %w", err)
	}
	return kv, nil
}

// lives asks a node whether it is there.
func (o *Owner) lives(ctx context.Context, node string) bool {
	if !isToken(node) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, hereWait)
	defer cancel()
	_, err := o.nc.RequestWithContext(ctx, ownerSubject(node, verbHere, o.node), nil)
	return !errors.Is(err, nats.ErrNoResponders)
}

func (o *Owner) onHere(m *nats.Msg) { o.respond(m, nil) }
