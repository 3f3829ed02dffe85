package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	jobsStream = "JOBS"

	// ackWait is how long a ticket stays with a worker that died between pulling and claiming it, the one moment in
	// which nobody else knows who has it.
	ackWait = 5 * time.Second

	pullGroup = "w"
)

// jobsConfig is the stream of tickets. It lives in memory: a ticket is worthless without its owner.
func jobsConfig(cfg OwnerConfig) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        jobsStream,
		Description: "tickets of jobs that wait for a worker",
		Subjects:    []string{"jobs.q.*.*", "jobs.w.*"},
		Retention:   jetstream.WorkQueuePolicy,
		Storage:     jetstream.MemoryStorage,
		Replicas:    cfg.Replicas,
		Discard:     jetstream.DiscardNew,
		// Bounds over all nodes. A delivered ticket counts until its first content, so there is as much room again for
		// jobs that are starting.
		DiscardNewPerSubject: true,
		MaxMsgsPerSubject:    int64(2 * cfg.MaxWaitingPerKey),
		MaxMsgs:              int64(2 * cfg.MaxWaiting),
		MaxBytes:             cfg.MaxBytes,
		MaxMsgSize:           4 << 10,
		MaxAge:               10 * time.Minute,
		Duplicates:           2 * time.Minute,
		AllowMsgTTL:          true,
	}
}

// MaxDeliver stays unlimited in both consumers: full workers hand tickets back, and a limit would lose the job. The
// ticket's own TTL ends it.
func poolConsumerConfig(pool string, cfg OwnerConfig) jetstream.ConsumerConfig {
	c := workerConsumerConfig("", cfg)
	c.Durable = poolConsumer(pool)
	c.FilterSubject = "jobs.q." + pool + ".*"
	c.MaxWaiting = 4096
	c.PriorityPolicy = jetstream.PriorityPolicyPrioritized
	c.PriorityGroups = []string{pullGroup}
	return c
}

func workerConsumerConfig(worker string, cfg OwnerConfig) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable:       workerConsumer(worker),
		FilterSubject: stickySubject(worker),
		AckPolicy:     jetstream.AckExplicitPolicy,
		AckWait:       ackWait,
		MaxDeliver:    -1,
		MaxAckPending: 2 * cfg.MaxWaiting,
		MaxWaiting:    16,
		Replicas:      0, // as many as the stream: a work queue's consumers must
	}
}

// ensureStream creates or updates JOBS and tells which incarnation of it there is: a broker that restarted has lost
// the tickets of the former one.
func (o *Owner) ensureStream(ctx context.Context) (created time.Time, err error) {
	stream, err := o.js.CreateOrUpdateStream(ctx, jobsConfig(o.cfg))
	if tooFewNodes(err) {
		stream, err = o.js.Stream(ctx, jobsStream)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("creating stream %s: %w", jobsStream, err)
	}
	return stream.CachedInfo().Created, nil
}

func (o *Owner) ensureConsumer(ctx context.Context, cfg jetstream.ConsumerConfig) error {
	if _, err := o.js.CreateOrUpdateConsumer(ctx, jobsStream, cfg); err != nil {
		return fmt.Errorf("creating consumer %s: %w", cfg.Durable, err)
	}
	return nil
}

// removeConsumer takes a worker's consumer away, and the tickets nobody will pull any more.
func (o *Owner) removeConsumer(ctx context.Context, worker string) error {
	err := o.js.DeleteConsumer(ctx, jobsStream, workerConsumer(worker))
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("deleting consumer %s: %w", workerConsumer(worker), err)
	}
	stream, err := o.js.Stream(ctx, jobsStream)
	if err != nil {
		return fmt.Errorf("purging tickets of %s: %w", worker, err)
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(stickySubject(worker))); err != nil {
		return fmt.Errorf("purging tickets of %s: %w", worker, err)
	}
	return nil
}
