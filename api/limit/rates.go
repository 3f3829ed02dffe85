package limit

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
)

const (
	rateStream  = "RATE"
	rateSubject = "rate."

	// rateBytes bounds the stream, some 300,000 requests. The oldest go first; only a
	// node that starts then does not know them.
	rateBytes = 64 << 20
)

// errFull says that a window has no room.
var errFull = errors.New("the window is full")

// rates are the sliding windows of all keys. One mutex guards them; requests that ask
// wait outside of it for their verdict.
type rates struct {
	follower *follower
	js       jetstream.JetStream
	self     string
	wait     time.Duration
	now      func() time.Time
	log      zerolog.Logger

	mu      sync.Mutex
	windows map[string]*window
	waiting map[string]chan bool // by message id: whether it found room; buffered
	asked   uint64
	alone   bool // the broker did not answer: this node counts for itself
}

// rateConfig is the stream of requests. A node that starts reads two periods: the older
// one only to judge the younger one as all others did.
func rateConfig(cfg Config) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:        rateStream,
		Description: "requests that count against a rate",
		Subjects:    []string{rateSubject + "*"},
		Storage:     jetstream.MemoryStorage,
		Replicas:    cfg.Replicas,
		MaxAge:      2 * cfg.Window,
		MaxBytes:    rateBytes,
		MaxMsgSize:  1 << 10,
		Duplicates:  2 * time.Minute,
	}
}

func newRates(nc *nats.Conn, js jetstream.JetStream, self string, cfg Config, log zerolog.Logger) *rates {
	r := &rates{
		js: js, self: self, wait: cfg.RateWait, now: cfg.Now, log: log,
		windows: make(map[string]*window), waiting: make(map[string]chan bool),
	}
	r.follower = newFollower(nc, js, rateConfig(cfg), log)
	r.follower.apply = r.apply
	r.follower.anew = func() {} // what was admitted stays admitted: the stream goes with its broker's memory
	return r
}

// take finds a place in the key's window, or fails with errFull.
func (r *rates) take(ctx context.Context, key string, rate Rate) error {
	if rate.Requests == 0 {
		return nil
	}
	id, verdict, err := r.ask(key, rate)
	if verdict == nil {
		return err
	}
	defer r.forget(id)
	wait, cancel := context.WithTimeout(ctx, r.wait)
	defer cancel()
	if err := r.publish(wait, key, id, rate); err == nil {
		select {
		case found := <-verdict:
			if !found {
				return errFull
			}
			return nil
		case <-wait.Done():
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return r.goAlone(key, rate)
}

// ask decides what can be decided here, and else returns where the verdict will come.
func (r *rates) ask(key string, rate Rate) (id string, verdict chan bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.viewLocked(key, rate).left == 0 {
		return "", nil, errFull
	}
	if r.alone {
		r.windowLocked(key).take(r.now(), rate)
		return "", nil, nil
	}
	r.asked++
	id = r.self + "." + strconv.FormatUint(r.asked, 10)
	verdict = make(chan bool, 1)
	r.waiting[id] = verdict
	return id, verdict, nil
}

func (r *rates) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, id)
}

func (r *rates) publish(ctx context.Context, key, id string, rate Rate) error {
	m := nats.NewMsg(rateSubject + key)
	m.Data = encodeRate(rate)
	_, err := r.js.PublishMsg(ctx, m, jetstream.WithMsgID(id), jetstream.WithExpectStream(rateStream))
	return err
}

// goAlone decides from what this node knows, until meet.
func (r *rates) goAlone(key string, rate Rate) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.alone {
		r.alone = true
		r.log.Warn().Msg("the broker does not answer: rates are kept by this node alone")
	}
	if !r.windowLocked(key).take(r.now(), rate) {
		return errFull
	}
	return nil
}

// meet ends counting alone.
func (r *rates) meet() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.alone {
		r.alone = false
		r.log.Info().Msg("the broker answers: rates are kept by all nodes together")
	}
}

func (r *rates) isAlone() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.alone
}

// apply judges a request in its place among all others. The broker's time decides, so
// that the nodes' clocks need not agree.
func (r *rates) apply(m *nats.Msg, meta *nats.MsgMetadata) {
	rate, err := decodeRate(m.Data)
	if err != nil {
		r.log.Warn().Err(err).Msg("message on the stream of rates is skipped")
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	found := r.windowLocked(strings.TrimPrefix(m.Subject, rateSubject)).take(meta.Timestamp, rate)
	id := m.Header.Get(nats.MsgIdHdr)
	if verdict := r.waiting[id]; verdict != nil {
		verdict <- found
		delete(r.waiting, id)
	}
}

func (r *rates) windowLocked(key string) *window {
	w := r.windows[key]
	if w == nil {
		w = &window{}
		r.windows[key] = w
	}
	return w
}

func (r *rates) view(key string, rate Rate) view {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.viewLocked(key, rate)
}

func (r *rates) viewLocked(key string, rate Rate) view {
	w := r.windows[key]
	if w == nil {
		w = &window{}
	}
	return w.at(r.now(), rate)
}

// prune forgets the keys that did not ask for as long as any period is.
func (r *rates) prune(longest time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.now().Add(-longest)
	for key, w := range r.windows {
		if w.first(before) == len(w.times) {
			delete(r.windows, key)
		}
	}
}

// encodeRate puts the rate into the request, so that nodes with different
// configurations judge it alike.
func encodeRate(r Rate) []byte {
	return fmt.Appendf(nil, "%d/%v", r.Requests, r.Period)
}

func decodeRate(data []byte) (Rate, error) {
	requests, period, found := strings.Cut(string(data), "/")
	if !found || len(data) > 64 {
		return Rate{}, fmt.Errorf("%d bytes are no rate", len(data))
	}
	n, err := strconv.Atoi(requests)
	if err != nil || n < 1 || n > maxRequests {
		return Rate{}, errors.New("a rate's number of requests is wrong")
	}
	p, err := time.ParseDuration(period)
	if err != nil || p <= 0 {
		return Rate{}, errors.New("a rate's period is wrong")
	}
	return Rate{n, p}, nil
}
