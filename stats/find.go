package stats

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	findBatch = 500

	// findSkew is how much earlier an event may seem to be than it is, since another
	// server of a cluster may have given it its time.
	findSkew = time.Minute
)

// Find returns the event of a key's request, if one was recorded at since or later. It
// is for requests whose node cannot say any more what became of them.
func (r *Recorder) Find(ctx context.Context, keyID, request string, since time.Time) (e Event, found bool, err error) {
	from := since.Add(-findSkew)
	events, err := r.js.CreateConsumer(ctx, usageStream, jetstream.ConsumerConfig{
		FilterSubject: usageSubject + "." + token(keyID) + ".*",
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &from,
		AckPolicy: jetstream.AckNonePolicy, InactiveThreshold: time.Minute, MemoryStorage: true, Replicas: 1,
	})
	if err != nil {
		return Event{}, false, fmt.Errorf("looking for the usage of %s: %w", request, err)
	}
	defer func() { _ = r.js.DeleteConsumer(context.WithoutCancel(ctx), usageStream, events.CachedInfo().Name) }() // else the broker forgets it in a minute
	for read := uint64(0); ; {
		data, n, err := findIn(ctx, events, request, read)
		switch {
		case err != nil:
			return Event{}, false, fmt.Errorf("looking for the usage of %s: %w", request, err)
		case data != nil:
			err := json.Unmarshal(data, &e)
			return e, err == nil, err
		case n == 0:
			return Event{}, false, nil
		}
		read += n
	}
}

// findIn looks through the next events, of which read came before. A message that was
// lost on the way is an error: it may have been the one.
func findIn(ctx context.Context, events jetstream.Consumer, request string, read uint64) (data []byte, n uint64, err error) {
	batch, err := events.FetchNoWait(findBatch)
	if err != nil {
		return nil, 0, err
	}
	messages := batch.Messages()
	for {
		select {
		case <-ctx.Done():
			return nil, 0, context.Cause(ctx)
		case m, more := <-messages:
			if !more {
				return data, n, batch.Error()
			}
			n++
			if meta, err := m.Metadata(); err != nil || meta.Sequence.Consumer != read+n {
				return nil, 0, errors.Join(fmt.Errorf("message %d is missing", read+n), err)
			}
			if m.Headers().Get(nats.MsgIdHdr) == request {
				data = m.Data()
			}
		}
	}
}
