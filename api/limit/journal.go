package limit

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// repeatable is how long the broker knows the id of a change, and so how long one may be
// sent again. It finds them in the stream when it starts, so they stay there as long.
const repeatable = 10 * time.Minute

// journal changes accounts, and follows who changes them.
type journal struct {
	home     place
	follower *follower
	ledger   *ledger
	js       jetstream.JetStream
	self     string
	wait     time.Duration
	log      zerolog.Logger
	ailing   ailing
}

func newJournal(nc *nats.Conn, js jetstream.JetStream, home place, self string, cfg Config, log zerolog.Logger) *journal {
	j := &journal{home: home, ledger: newLedger(self), js: js, self: self, wait: cfg.QuotaWait, log: log, ailing: ailing{log: log}}
	j.follower = newFollower(nc, js, home.config(cfg.Replicas), log)
	j.follower.apply, j.follower.anew = j.apply, j.ledger.clear
	return j
}

func (j *journal) apply(m *nats.Msg, meta *nats.MsgMetadata) {
	e, err := decodeEntry(m)
	if err != nil {
		j.log.Warn().Err(err).Uint64("seq", meta.Sequence.Stream).Msg("message on the stream of quotas is skipped")
		return
	}
	e.seq, e.time = meta.Sequence.Stream, meta.Timestamp
	j.ledger.apply(e)
}

// errRepeated says that the broker had the change already: this one did nothing.
var errRepeated = errors.New("the change was made before")

// write makes a change and returns the account's total after it. It does not end with
// the request's context: half a reservation helps nobody. After an error the change may
// have been made.
func (j *journal) write(ctx context.Context, e entry) (total int64, err error) {
	e.node = j.self
	ctx, cancel := j.patience(ctx)
	defer cancel()
	for {
		ack, err := j.publish(ctx, e)
		if err == nil {
			if !ack.Duplicate { // it may have had that before it began to ail
				j.ailing.kept(e.account, nil)
			}
			return j.told(e.account, ack)
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			err = fmt.Errorf("changing a quota: %w", err)
			j.ailing.kept(e.account, err)
			return 0, err
		}
	}
}

// told returns the total that came with an ack.
func (j *journal) told(a account, ack *jetstream.PubAck) (int64, error) {
	if ack.Duplicate { // and then the ack has no total
		return 0, errRepeated
	}
	total, err := strconv.ParseInt(ack.Value, 10, 64)
	if err != nil {
		return 0, errors.New("changing a quota: the broker told no total")
	}
	j.ledger.saw(a, ack.Sequence, total)
	return total, nil
}

const (
	retryPause = 50 * time.Millisecond

	// ailingWait is how long the broker is waited for while it did not answer the last
	// time: long enough to see that it is back, and no burden on every request.
	ailingWait = 300 * time.Millisecond
)

// patience bounds a wait for the broker.
func (j *journal) patience(ctx context.Context) (context.Context, context.CancelFunc) {
	wait := j.wait
	if j.ailing.is() {
		wait = min(wait, ailingWait)
	}
	return context.WithTimeout(context.WithoutCancel(ctx), wait)
}

// publish tries once, for half of the time there is: an ack may be lost.
func (j *journal) publish(ctx context.Context, e entry) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, j.wait/2)
	defer cancel()
	return j.js.PublishMsg(ctx, e.message(j.home), jetstream.WithMsgID(e.id()))
}

// read asks the broker for an account's total. What this node has followed may be a
// moment old.
func (j *journal) read(ctx context.Context, a account) (int64, error) {
	ctx, cancel := j.patience(ctx)
	defer cancel()
	total, err := j.readOnce(ctx, a)
	j.ailing.heard(err)
	return total, err
}

func (j *journal) readOnce(ctx context.Context, a account) (int64, error) {
	stream, err := j.js.Stream(ctx, j.home.stream)
	if err != nil {
		return 0, fmt.Errorf("reading a quota: %w", err)
	}
	m, err := stream.GetLastMsgForSubject(ctx, j.home.subject(a))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading a quota: %w", err)
	}
	return decodeTotal(m.Data)
}

// purge takes messages out of the stream that nobody needs.
func (j *journal) purge(ctx context.Context, all []surplus) error {
	if len(all) == 0 {
		return nil
	}
	stream, err := j.js.Stream(ctx, j.home.stream)
	if err != nil {
		return err
	}
	for _, s := range all {
		opts := []jetstream.StreamPurgeOpt{jetstream.WithPurgeSubject(j.home.subject(s.account))}
		if s.below > 0 {
			opts = append(opts, jetstream.WithPurgeSequence(s.below))
		}
		if err := stream.Purge(ctx, opts...); err != nil {
			return err
		}
	}
	return nil
}
