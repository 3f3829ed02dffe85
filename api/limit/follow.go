package limit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// follower hands every message of a stream to apply, once and in order, also over broken
// connections and restarts of the broker. A gap in what the broker sends stops it until
// check, which goes on where it stopped.
type follower struct {
	nc     *nats.Conn
	js     jetstream.JetStream
	config jetstream.StreamConfig
	log    zerolog.Logger

	// Called with mu held.
	apply func(*nats.Msg, *nats.MsgMetadata)
	anew  func() // the stream is another one, whose messages are still to come

	mu      sync.Mutex
	sub     *nats.Subscription // nil while stopped
	starts  int                // so that what a former subscription still hands out is known
	created time.Time          // which incarnation of the stream this is
	head    uint64             // its last message at the last start
	applied uint64             // up to here all is applied
	next    uint64             // the consumer's number of the message to come
	moved   chan struct{}      // closed and replaced when applied grows

	checked uint64 // applied at the last check; of the goroutine that checks
}

// inactive is how long the broker keeps a consumer that nobody reads.
const inactive = time.Minute

// noPeers is the broker's answer where a stream cannot have its copies because nodes are
// missing (nats-server 2.15.2, JSClusterNoPeersErrF).
const noPeers jetstream.ErrorCode = 10005

func newFollower(nc *nats.Conn, js jetstream.JetStream, cfg jetstream.StreamConfig, log zerolog.Logger) *follower {
	return &follower{nc: nc, js: js, config: cfg, log: log.With().Str("stream", cfg.Name).Logger(), moved: make(chan struct{})}
}

// open makes the stream and returns when all that it holds is applied.
func (f *follower) open(ctx context.Context) error {
	stream, err := f.js.CreateOrUpdateStream(ctx, f.config)
	if refused, ok := errors.AsType[*jetstream.APIError](err); ok && refused.ErrorCode == noPeers {
		stream, err = f.js.Stream(ctx, f.config.Name) // the next node that starts spreads it
	}
	if err != nil {
		return fmt.Errorf("creating stream %s: %w", f.config.Name, err)
	}
	if err := f.start(ctx, stream.CachedInfo()); err != nil {
		return err
	}
	return f.reach(ctx, stream.CachedInfo().State.LastSeq)
}

// check makes sure that messages keep coming, and reports whether all were applied that
// the stream held when it began.
func (f *follower) check(ctx context.Context) (current bool, err error) {
	info, err := f.info(ctx)
	if err != nil {
		return false, err
	}
	f.mu.Lock()
	applied, lost := f.applied, f.sub == nil || !f.created.Equal(info.Created)
	f.mu.Unlock()
	stuck := applied < info.State.LastSeq && applied == f.checked
	f.checked = applied
	if lost || stuck {
		f.log.Debug().Uint64("applied", applied).Uint64("last", info.State.LastSeq).Msg("following the stream anew")
		return false, f.start(ctx, info)
	}
	return applied >= info.State.LastSeq, nil
}

// info makes the stream anew if it is gone: one in memory ends with its broker.
func (f *follower) info(ctx context.Context) (*jetstream.StreamInfo, error) {
	stream, err := f.js.Stream(ctx, f.config.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = f.js.CreateOrUpdateStream(ctx, f.config)
	}
	if err != nil {
		return nil, fmt.Errorf("looking at stream %s: %w", f.config.Name, err)
	}
	return stream.CachedInfo(), nil
}

// start lets the broker send what is not applied yet.
func (f *follower) start(ctx context.Context, info *jetstream.StreamInfo) error {
	inbox := f.nc.NewInbox()
	from, err := f.subscribe(inbox, info)
	if err != nil {
		return fmt.Errorf("following stream %s: %w", f.config.Name, err)
	}
	consumer, err := f.js.CreatePushConsumer(ctx, f.config.Name, jetstream.ConsumerConfig{
		DeliverSubject: inbox, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: inactive, MemoryStorage: true, Replicas: 1,
	})
	if err != nil {
		f.stop()
		return fmt.Errorf("following stream %s: %w", f.config.Name, err)
	}
	if c := consumer.CachedInfo(); c.NumPending == 0 && c.Delivered.Consumer == 0 {
		f.caughtUp()
	}
	return nil
}

// subscribe takes the place of a former subscription, and returns the message to go on with.
func (f *follower) subscribe(inbox string, info *jetstream.StreamInfo) (from uint64, err error) {
	f.stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.starts++
	start := f.starts
	sub, err := f.nc.Subscribe(inbox, func(m *nats.Msg) { f.receive(start, m) })
	if err != nil {
		return 0, err
	}
	// The library would drop silently; the broker's bound on a connection (64 MB) ends it, and check starts anew.
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return 0, err
	}
	if !f.created.Equal(info.Created) {
		f.created, f.applied = info.Created, 0
		f.anew()
	}
	f.sub, f.next, f.head = sub, 1, info.State.LastSeq
	return f.applied + 1, nil
}

func (f *follower) stop() {
	f.mu.Lock()
	sub := f.sub
	f.sub = nil
	f.mu.Unlock()
	if sub != nil {
		_ = sub.Unsubscribe() // fails on a closed connection only
	}
}

func (f *follower) receive(start int, m *nats.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		return // not from the stream
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sub == nil || f.starts != start {
		return
	}
	if meta.Sequence.Consumer != f.next {
		_ = f.sub.Unsubscribe()
		f.sub = nil
		return
	}
	f.next++
	f.apply(m, meta)
	f.advanceLocked(meta.Sequence.Stream)
	if meta.NumPending == 0 {
		f.advanceLocked(f.head)
	}
}

// caughtUp notes that the stream has no message which is not applied, although its
// numbers may be ahead: the last messages may be gone.
func (f *follower) caughtUp() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.advanceLocked(f.head)
}

func (f *follower) advanceLocked(seq uint64) {
	if seq > f.applied {
		f.applied = seq
		close(f.moved)
		f.moved = make(chan struct{})
	}
}

// reach waits until a message is applied.
func (f *follower) reach(ctx context.Context, seq uint64) error {
	for {
		f.mu.Lock()
		applied, moved := f.applied, f.moved
		f.mu.Unlock()
		if applied >= seq {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("reading stream %s: %w", f.config.Name, context.Cause(ctx))
		}
	}
}
