package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	brokerPatience = time.Minute
	askAgain       = 250 * time.Millisecond
)

// patiently opens what the broker keeps. One whose cluster has just lost its leader, or
// that is busy with what a killed node left, answers late or not at all; what such a
// node is asked for then is asked for again. open leaves nothing behind when it fails.
func (p *program) patiently(ctx context.Context, open func(context.Context) error) error {
	late := time.Now().Add(brokerPatience)
	for {
		err := open(ctx)
		if err == nil || !brokerIsBusy(err) || time.Now().After(late) {
			return err
		}
		p.log.Warn().Err(err).Msg("the broker is not ready yet, asking again")
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// brokerIsBusy tells answers that may be better the next time from those that stay.
func brokerIsBusy(err error) bool {
	if refused, ok := errors.AsType[*jetstream.APIError](err); ok {
		return refused.Code == http.StatusServiceUnavailable && !errors.Is(err, jetstream.ErrJetStreamNotEnabled)
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders)
}
