package key

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	snapshotWait = 30 * time.Second // for all keys to arrive
	watchPause   = 500 * time.Millisecond
)

var (
	errReconnected  = errors.New("the broker was away")
	errWatchEnded   = errors.New("the watch ended")
	errSnapshotLate = errors.New("the broker did not send all keys in time")
)

// watch keeps the index current until ctx ends. Every reconnection begins a new watch,
// with all keys from the start: what the former one missed cannot be known. The index
// keeps what it has until a snapshot is whole.
func (s *Store) watch(ctx context.Context) {
	connected := s.nc.StatusChanged(nats.CONNECTED)
	defer s.nc.RemoveStatusListener(connected)
	snapshot := sync.OnceFunc(func() { close(s.ready) })
	for {
		err := s.follow(ctx, connected, snapshot)
		if ctx.Err() != nil {
			return
		}
		if s.behind.CompareAndSwap(false, true) && !errors.Is(err, errReconnected) {
			s.log.Warn().Err(err).Msg("changes of managed keys by other nodes are not seen, trying again")
		}
		if errors.Is(err, errReconnected) {
			continue
		}
		select {
		case <-time.After(watchPause):
		case <-connected:
		case <-ctx.Done():
			return
		}
	}
}

// follow is one watch.
func (s *Store) follow(ctx context.Context, connected <-chan nats.Status, snapshot func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(snapshotWait, func() { cancel(errSnapshotLate) })
	defer late.Stop()

	s.index.begin()
	w, err := s.kv.WatchAll(ctx)
	if err != nil {
		return err
	}
	defer stopWatch(w)
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-connected:
			return errReconnected
		case e, open := <-w.Updates():
			switch {
			case !open:
				return errWatchEnded
			case e != nil:
				s.take(e)
			default: // the end of the snapshot
				late.Stop()
				s.index.settle()
				s.behind.Store(false)
				snapshot()
			}
		}
	}
}

// stopWatch reads what is left, since the watcher waits for its reader.
func stopWatch(w jetstream.KeyWatcher) {
	_ = w.Stop() // fails if the watch has ended by itself
	for range w.Updates() {
	}
}

func (s *Store) take(e jetstream.KeyValueEntry) {
	if e.Operation() != jetstream.KeyValuePut {
		s.index.remove(e.Key(), e.Revision())
		return
	}
	r, err := decodeRecord(e.Key(), e.Value(), e.Revision())
	if err != nil {
		s.log.Error().Err(err).Str("key", e.Key()).Uint64("revision", e.Revision()).Msg("a managed key is not accepted")
		s.index.remove(e.Key(), e.Revision())
		return
	}
	s.index.put(r)
}
