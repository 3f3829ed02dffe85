package stats

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"maxrelay/session/chat"
)

func TestTheEventOfARequestIsFound(t *testing.T) {
	_, nc := connect(t)
	r := open(t, nc, RecorderConfig{})
	begun := time.Now()
	record := func(e Event) {
		t.Helper()
		if err := r.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 * findBatch / 2 {
		record(Event{ID: fmt.Sprint("req_", i), KeyID: "k_1", Model: "m"})
	}
	want := Event{ID: "req_wanted", KeyID: "k_1", Model: "another", Usage: chat.Usage{OutputTokens: 7}}
	record(want)
	record(Event{ID: "req_last", KeyID: "k_1", Model: "m"})
	record(Event{ID: "req_foreign", KeyID: "k_2", Model: "m"})

	for name, tc := range map[string]struct {
		key, request string
		since        time.Time
		found        bool
	}{
		"behind many others":          {"k_1", "req_wanted", begun, true},
		"of another key":              {"k_1", "req_foreign", begun, false},
		"that was never recorded":     {"k_1", "req_none", begun, false},
		"of a key without any":        {"k_3", "req_wanted", begun, false},
		"recorded before it was made": {"k_1", "req_wanted", time.Now().Add(2 * findSkew), false},
	} {
		t.Run(name, func(t *testing.T) {
			e, found, err := r.Find(t.Context(), tc.key, tc.request, tc.since)
			if err != nil || found != tc.found || found && !reflect.DeepEqual(e, want) {
				t.Errorf("%+v %t %v, want %t", e, found, err, tc.found)
			}
		})
	}
}

func TestFindWithoutBrokerIsAnError(t *testing.T) {
	srv, nc := connect(t)
	r := open(t, nc, RecorderConfig{})
	srv.Shutdown()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, found, err := r.Find(ctx, "k_1", "req_1", time.Now()); err == nil || found {
		t.Errorf("found %t, %v", found, err)
	}
}
