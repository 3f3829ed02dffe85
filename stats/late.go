package stats

import (
	"context"
	"slices"
	"sync"
	"time"
)

// maxLate bounds the events that wait for the broker to come back; one takes 1 KB or
// less.
const maxLate = 1 << 15

// late are the events that the broker did not take while their requests waited. A
// goroutine, which lives while there are any, tries until it does.
type late struct {
	ctx  context.Context // of the tries
	stop context.CancelFunc
	work sync.WaitGroup

	mu     sync.Mutex
	events []lateEvent
}

type lateEvent struct {
	Event
	data  []byte
	tried time.Time // for the first time
}

// keep reports whether there was room. The first event begins the delivery.
func (l *late) keep(e lateEvent, deliver func(lateEvent)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.events) >= maxLate || l.ctx.Err() != nil {
		return false
	}
	if l.events = append(l.events, e); len(l.events) == 1 {
		l.work.Go(func() { deliver(e) })
	}
	return true
}

// next drops the oldest event and returns the one behind it.
func (l *late) next() (e lateEvent, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.events = slices.Delete(l.events, 0, 1); len(l.events) == 0 {
		return lateEvent{}, false
	}
	return l.events[0], true
}

func (l *late) empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.events) == 0
}

// deliver publishes late events in the order they came, until there are none or the
// recorder closes.
func (r *Recorder) deliver(e lateEvent) {
	for more := true; more; e, more = r.late.next() {
		if !r.insist(e) {
			return
		}
	}
	r.log.Info().Msg("usage events are recorded again")
}

// insist reports whether the broker has the event; it has not when the recorder closes.
func (r *Recorder) insist(e lateEvent) bool {
	for {
		err := r.repeat(e)
		if err == nil {
			return true
		}
		r.log.Debug().Err(err).Str("request", e.ID).Msg("usage event still waits for the broker")
		select {
		case <-time.After(retryPause):
		case <-r.late.ctx.Done():
			return false
		}
	}
}

// repeat publishes an event again. The broker may have had it for so long that it does
// not know its id any more, when only the ack was lost; then it is looked up before.
func (r *Recorder) repeat(e lateEvent) error {
	if time.Since(e.tried) > duplicateWindow/2 {
		ctx, cancel := context.WithTimeout(r.late.ctx, r.cfg.AckWait)
		defer cancel()
		if _, found, err := r.Find(ctx, e.KeyID, e.ID, e.tried); found || err != nil {
			return err
		}
	}
	return r.publishOnce(r.late.ctx, subject(e.KeyID, e.Model), e.ID, e.data)
}

// Close waits until the broker has the late events, or ctx ends. Then they are lost,
// and the log has them. Events are to be recorded before it.
func (r *Recorder) Close(ctx context.Context) {
	over := make(chan struct{})
	go func() {
		r.late.work.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-ctx.Done():
	}
	r.late.stop()
	<-over
	r.late.mu.Lock()
	defer r.late.mu.Unlock()
	for _, e := range r.late.events {
		r.log.Error().Interface("event", e.Event).Msg("usage event is lost")
	}
}
