package stats

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

// RecorderConfig is the configuration of a Recorder. Zero fields take the defaults
// given here.
type RecorderConfig struct {
	Replicas    int           // copies of each event in a cluster, 1
	MaxAge      time.Duration // how long events are kept, 400 days
	MaxBytes    int64         // disk the events may take, then the oldest go; 0: no bound
	Outstanding int           // events waiting for the broker's ack, 256
	AckWait     time.Duration // how long one attempt waits for its ack, 2 s
}

func (c RecorderConfig) withDefaults() RecorderConfig {
	c.Replicas = cmp.Or(c.Replicas, 1)
	c.MaxAge = cmp.Or(c.MaxAge, 400*24*time.Hour)
	c.MaxBytes = cmp.Or(c.MaxBytes, -1)
	c.Outstanding = cmp.Or(c.Outstanding, 256)
	c.AckWait = cmp.Or(c.AckWait, 2*time.Second)
	return c
}

const (
	usageStream  = "USAGE"
	usageSubject = "usage.ev"

	// duplicateWindow is how long a second event with the id of a former one is
	// dropped by the broker.
	duplicateWindow = 10 * time.Minute

	retryPause = 100 * time.Millisecond
)

// Recorder writes usage events to the broker.
//
// Who records an event waits for its ack, because a request should not end before it is
// counted, but not for a broker that is away: then the event is kept here until it is
// back. At most Outstanding callers publish at once; further ones wait until one is done.
type Recorder struct {
	js    jetstream.JetStream
	cfg   RecorderConfig
	log   zerolog.Logger
	slots chan struct{} // one element per outstanding event
	late  late
}

// OpenRecorder creates the stream of usage events, or brings it up to this
// configuration. The connection stays the caller's.
func OpenRecorder(ctx context.Context, nc *nats.Conn, cfg RecorderConfig, log zerolog.Logger) (*Recorder, error) {
	cfg = cfg.withDefaults()
	if cfg.Outstanding < 1 || cfg.AckWait < 0 {
		return nil, errors.New("usage recorder: a bound is negative")
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("usage recorder: %w", err)
	}
	if _, err := js.CreateOrUpdateStream(ctx, streamConfig(cfg)); err != nil {
		return nil, fmt.Errorf("creating stream %s: %w", usageStream, err)
	}
	r := &Recorder{js: js, cfg: cfg, log: log, slots: make(chan struct{}, cfg.Outstanding)}
	r.late.ctx, r.late.stop = context.WithCancel(context.WithoutCancel(ctx))
	return r, nil
}

// streamConfig does not ask for compression: a node of a cluster that starts truncates its
// last block and compresses it in the background at the same time, then appends plain
// messages to it, and cannot read the block any more (nats-server 2.15.2).
func streamConfig(cfg RecorderConfig) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        usageStream,
		Description: "one event per model request",
		Subjects:    []string{usageSubject + ".*.*"},
		Retention:   jetstream.LimitsPolicy,
		Storage:     jetstream.FileStorage,
		Replicas:    cfg.Replicas,
		MaxAge:      cfg.MaxAge,
		MaxBytes:    cfg.MaxBytes,
		Duplicates:  duplicateWindow,
		AllowDirect: true,
		DenyDelete:  true, // single events; the limits still apply
	}
}

// Record keeps the event. It returns when the broker has it or, at the end of ctx, when
// it waits for the broker here. Lost acks are retried with the same message id, so the
// event is there once however often it was sent. It is lost, which the error says, when
// too many wait.
func (r *Recorder) Record(ctx context.Context, e Event) error {
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("recording usage of %s: %w", e.ID, err)
	}
	begun := time.Now()
	if err = r.recordNow(ctx, e, data); err == nil {
		return nil
	}
	if r.late.empty() {
		r.log.Warn().Err(err).Msg("usage events wait for the broker")
	}
	if !r.late.keep(lateEvent{e, data, begun}, r.deliver) {
		return fmt.Errorf("recording usage of %s: too many events wait for the broker: %w", e.ID, err)
	}
	return nil
}

func (r *Recorder) recordNow(ctx context.Context, e Event, data []byte) error {
	if r.Ailing() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, ailingWait)
		defer cancel()
	}
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return r.publish(ctx, subject(e.KeyID, e.Model), e.ID, data)
}

// ailingWait is how long an event is tried for while others wait for the broker: long
// enough to see that it is back, and no burden on every answer.
const ailingWait = 100 * time.Millisecond

// Ailing reports whether events wait for the broker.
func (r *Recorder) Ailing() bool { return !r.late.empty() }

func (r *Recorder) publish(ctx context.Context, subject, id string, data []byte) error {
	for {
		err := r.publishOnce(ctx, subject, id, data)
		if err == nil {
			return nil
		}
		r.log.Debug().Err(err).Str("request", id).Msg("usage event not acknowledged")
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

func (r *Recorder) publishOnce(ctx context.Context, subject, id string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.AckWait)
	defer cancel()
	_, err := r.js.Publish(ctx, subject, data, jetstream.WithMsgID(id), jetstream.WithExpectStream(usageStream))
	return err
}

func subject(keyID, model string) string {
	return usageSubject + "." + token(keyID) + "." + token(model)
}

// maxToken bounds a subject's tokens: subjects are kept in the broker's memory.
const maxToken = 128

// token makes any text one token of a subject: dots separate tokens, * and > are
// wildcards, white space ends a subject on the wire. Two texts may become one token;
// the event itself has them exactly.
func token(s string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == ':', r == '@':
			return r
		}
		return '_'
	}, s)
	return cmp.Or(clean[:min(len(clean), maxToken)], "_")
}
