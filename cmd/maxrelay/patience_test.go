package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

func TestWhatTheBrokerDoesNotAnswerIsAskedAgain(t *testing.T) {
	full := errors.New("no space left")
	tests := map[string]struct {
		answers []error // the last one stays
		want    error
		asked   int
	}{
		"no answer in time":          {[]error{context.DeadlineExceeded, nats.ErrTimeout, nil}, nil, 3},
		"nobody there":               {[]error{nats.ErrNoResponders, nil}, nil, 2},
		"no leader":                  {[]error{&jetstream.APIError{Code: http.StatusServiceUnavailable, ErrorCode: 10008}, nil}, nil, 2},
		"a refusal":                  {[]error{full, nil}, full, 1},
		"a broker without JetStream": {[]error{jetstream.ErrJetStreamNotEnabled, nil}, jetstream.ErrJetStreamNotEnabled, 1},
		"never":                      {[]error{nats.ErrTimeout}, nats.ErrTimeout, int(brokerPatience/askAgain) + 2},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, asked := newProgram(Config{}, zerolog.Nop()), 0
				err := p.patiently(t.Context(), func(context.Context) error {
					asked++
					if answer := tt.answers[min(asked, len(tt.answers))-1]; answer != nil {
						return fmt.Errorf("creating stream: %w", answer)
					}
					return nil
				})
				if !errors.Is(err, tt.want) || asked != tt.asked {
					t.Errorf("asked %d times, then %v; want %d times, then %v", asked, err, tt.asked, tt.want)
				}
			})
		})
	}
}

func TestAProgramThatIsStoppedWaitsForNoBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		begun := time.Now()
		err := newProgram(Config{}, zerolog.Nop()).patiently(ctx, func(context.Context) error {
			cancel()
			return nats.ErrTimeout
		})
		if !errors.Is(err, context.Canceled) || time.Since(begun) > 0 {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}
