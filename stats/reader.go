package stats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// Recorded is an event at its place in the record.
type Recorded struct {
	Event
	Seq uint64
}

// Extent is what the record holds. It is a new record when Created changes.
type Extent struct {
	Created     time.Time
	First, Last uint64 // First is beyond Last when there are no events
}

// Batch is some events in the record's order.
type Batch struct {
	Events []Recorded
	Last   uint64 // up to here all was read, what could not be understood included; 0: nothing was
	Left   uint64 // messages behind Last, as the broker told with it
}

// Reader reads the record in order, each message once, also over broken connections and
// restarts of the broker. It belongs to one goroutine.
type Reader struct {
	js   jetstream.JetStream
	log  zerolog.Logger
	next uint64 // the message to read next

	consumer jetstream.Consumer // nil until it is needed, and after a gap
	told     uint64             // the consumer's number of its last message
	behind   bool               // there is more than the last batch
	read     time.Time          // when it was returned
}

const (
	batchSize = 2000

	// idleWait is how long Next waits for an event.
	idleWait = time.Second

	// gather is how long a Reader that keeps up lets events gather: who applies them pays
	// for each batch. The first one after a pause does not wait.
	gather = 50 * time.Millisecond

	// forgetReader is how long the broker keeps a Reader's place without hearing of it.
	forgetReader = time.Minute
)

// NewReader returns a reader that begins with the message from. It needs no end: the
// broker forgets it.
func NewReader(nc *nats.Conn, from uint64, log zerolog.Logger) (*Reader, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("usage reader: %w", err)
	}
	return &Reader{js: js, log: log, next: max(from, 1)}, nil
}

// Extent asks the broker what there is.
func (r *Reader) Extent(ctx context.Context) (Extent, error) {
	stream, err := r.js.Stream(ctx, usageStream)
	if err != nil {
		return Extent{}, fmt.Errorf("looking at stream %s: %w", usageStream, err)
	}
	info := stream.CachedInfo()
	return Extent{Created: info.Created, First: info.State.FirstSeq, Last: info.State.LastSeq}, nil
}

// Next returns the next events, none after some time without any.
func (r *Reader) Next(ctx context.Context) (Batch, error) {
	at := r.next
	b, err := r.nextBatch(ctx)
	if err != nil {
		b, r.next, r.consumer = Batch{}, at, nil // and again from there
	}
	if err != nil && !errors.Is(err, errGap) && !errors.Is(err, nats.ErrNoResponders) {
		return Batch{}, fmt.Errorf("reading stream %s: %w", usageStream, err)
	}
	r.behind, r.read = b.Left > 0, time.Now()
	return b, nil
}

// Reopen lets the broker send anew what was not read. It is for a Reader that is behind
// and gets nothing.
func (r *Reader) Reopen() { r.consumer = nil }

// Follows reports whether the last Next read from the broker, be it that there was nothing.
func (r *Reader) Follows() bool { return r.consumer != nil }

// At is the message that comes next.
func (r *Reader) At() uint64 { return r.next }

func (r *Reader) nextBatch(ctx context.Context) (Batch, error) {
	if !r.behind {
		if err := pause(ctx, gather-time.Since(r.read)); err != nil {
			return Batch{}, err
		}
	}
	if err := r.open(ctx); err != nil {
		return Batch{}, err
	}
	var b Batch
	waiting, err := r.consumer.FetchNoWait(batchSize)
	if err != nil {
		return Batch{}, err
	}
	if err := r.take(ctx, waiting, &b); err != nil || b.Last > 0 {
		return b, err
	}
	return b, r.wait(ctx, &b)
}

// wait adds the next message, if there is one in time.
func (r *Reader) wait(ctx context.Context, b *Batch) error {
	waiting, cancel := context.WithTimeout(ctx, idleWait)
	defer cancel()
	first, err := r.consumer.Fetch(1, jetstream.FetchContext(waiting))
	if err != nil {
		return err
	}
	if err := r.take(waiting, first, b); waiting.Err() == nil || ctx.Err() != nil {
		return err
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *Reader) open(ctx context.Context) (err error) {
	if r.consumer != nil {
		return nil
	}
	r.told = 0
	r.consumer, err = r.js.CreateConsumer(ctx, usageStream, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.next, AckPolicy: jetstream.AckNonePolicy,
		InactiveThreshold: forgetReader, MemoryStorage: true, Replicas: 1,
	})
	return err
}

// take adds messages to the batch. Without acknowledgements the broker does not know
// what was lost on the way; a gap in its numbers tells.
func (r *Reader) take(ctx context.Context, from jetstream.MessageBatch, b *Batch) error {
	messages := from.Messages()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case m, ok := <-messages:
			if !ok {
				return from.Error()
			}
			meta, err := m.Metadata()
			if err != nil {
				return err
			}
			if r.told++; meta.Sequence.Consumer != r.told {
				return errGap
			}
			r.add(b, m.Data(), meta)
		}
	}
}

// errGap is no failure: the Reader asks anew for what it did not get.
var errGap = errors.New("messages were lost on the way")

func (r *Reader) add(b *Batch, data []byte, meta *jetstream.MsgMetadata) {
	e := Recorded{Seq: meta.Sequence.Stream}
	if err := json.Unmarshal(data, &e.Event); err != nil {
		r.log.Warn().Uint64("seq", e.Seq).Msg("a message of the usage record is no event and does not count")
	} else {
		b.Events = append(b.Events, e)
	}
	r.next, b.Last, b.Left = e.Seq+1, e.Seq, meta.NumPending
}
