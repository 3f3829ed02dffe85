package stats

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

func newReader(t *testing.T, nc *nats.Conn, from uint64) *Reader {
	r, err := NewReader(nc, from, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func record(t *testing.T, r *Recorder, from, to int) {
	for i := from; i < to; i++ {
		if err := r.Record(t.Context(), Event{ID: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
}

// ids reads until it has n events.
func (r *Reader) ids(t *testing.T, n int) (ids []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for len(ids) < n {
		b, err := r.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range b.Events {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

func numbers(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}

func TestReadersReadOnFromAnyPlace(t *testing.T) {
	_, nc := connect(t)
	recorder := open(t, nc, RecorderConfig{})
	record(t, recorder, 0, 100)
	r := newReader(t, nc, 41)
	if got := r.ids(t, 60); !slices.Equal(got, numbers(40, 100)) {
		t.Errorf("got %v", got)
	}
	record(t, recorder, 100, 110)
	if got := r.ids(t, 10); !slices.Equal(got, numbers(100, 110)) {
		t.Errorf("got %v", got)
	}
	if r.At() != 111 {
		t.Errorf("at %d", r.At())
	}
}

func TestABatchTellsItsPlaceAndWhatIsLeft(t *testing.T) {
	_, nc := connect(t)
	record(t, open(t, nc, RecorderConfig{}), 0, batchSize+5)
	r := newReader(t, nc, 1)
	for _, want := range []Batch{{Last: batchSize, Left: 5}, {Last: batchSize + 5}} {
		b, err := r.Next(t.Context())
		if err != nil || b.Last != want.Last || b.Left != want.Left || b.Events[len(b.Events)-1].Seq != want.Last {
			t.Errorf("%d events up to %d, %d left: %v", len(b.Events), b.Last, b.Left, err)
		}
	}
}

// What was sent to nobody shows as a gap, and is sent again.
func TestReadersNoticeWhatWasLostOnTheWay(t *testing.T) {
	_, nc := connect(t)
	recorder := open(t, nc, RecorderConfig{})
	record(t, recorder, 0, 3)
	r := newReader(t, nc, 1)
	r.ids(t, 3)
	record(t, recorder, 3, 6)
	lost, err := r.consumer.FetchNoWait(2)
	if err != nil {
		t.Fatal(err)
	}
	for range lost.Messages() {
	}
	if got := r.ids(t, 3); !slices.Equal(got, numbers(3, 6)) {
		t.Errorf("got %v", got)
	}
}

func TestReadersWhosePlaceTheBrokerForgotReadOn(t *testing.T) {
	_, nc := connect(t)
	recorder := open(t, nc, RecorderConfig{})
	record(t, recorder, 0, 3)
	r := newReader(t, nc, 1)
	r.ids(t, 3)
	if err := r.js.DeleteConsumer(t.Context(), usageStream, r.consumer.CachedInfo().Name); err != nil {
		t.Fatal(err)
	}
	record(t, recorder, 3, 6)
	if got := r.ids(t, 3); !slices.Equal(got, numbers(3, 6)) {
		t.Errorf("got %v", got)
	}
}

func TestReadersEndWithTheirContext(t *testing.T) {
	_, nc := connect(t)
	open(t, nc, RecorderConfig{})
	r := newReader(t, nc, 1)
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(gone) })
	if b, err := r.Next(ctx); !errors.Is(err, gone) || b.Last != 0 {
		t.Errorf("%v, error %v, want the context's cause", b, err)
	}
}

func TestAReaderFollowsOnceItHasReadFromTheBroker(t *testing.T) {
	_, nc := connect(t)
	open(t, nc, RecorderConfig{})
	r := newReader(t, nc, 1)
	if r.Follows() {
		t.Error("follows before it has asked")
	}
	if b, err := r.Next(t.Context()); err != nil || b.Last != 0 || !r.Follows() {
		t.Errorf("%+v, %v, follows %t an empty record", b, err, r.Follows())
	}
	nc.Close()
	if _, err := r.Next(t.Context()); err == nil || r.Follows() {
		t.Errorf("%v, follows %t without a connection", err, r.Follows())
	}
}
