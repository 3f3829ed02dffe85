package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"maxrelay/session/chat"
	"maxrelay/stats"
)

// mustHaveCountedEachRequestOnce compares the usage events with the requests that
// reached the API node, and with what their clients saw. A client that leaves may be
// gone before its request arrives, or the end of its request.
func (f *fleet) mustHaveCountedEachRequestOnce() {
	f.t.Helper()
	y := &f.tally
	events, arrived := f.events(), f.node.arrived()
	for id, line := range arrived {
		a, told := y.seen[id]
		e, counted := events[id]
		if cutOff := !told && line.Error == string(chat.CodeInvalid); counted == cutOff {
			f.t.Errorf("request %+v was counted: %v", line, counted)
		} else if counted && !agrees(e, a, told) {
			f.t.Errorf("%+v was recorded as %+v", a, e)
		}
	}
	for id := range events {
		if _, ok := arrived[id]; !ok {
			f.t.Errorf("event %s is of no request", id)
		}
	}
	for id := range y.seen {
		if _, ok := arrived[id]; !ok {
			f.t.Errorf("request %s was answered and never arrived", id)
		}
	}
	if never := y.requests - len(arrived); never < 0 || never > y.leavers {
		f.t.Errorf("%d requests arrived of %d", len(arrived), y.requests)
	}
	f.reportEvents(events)
}

// agrees reports whether an event can be of what its client saw. One that left saw the
// beginning, or nothing.
func agrees(e stats.Event, a answer, told bool) bool {
	fine := e.ErrorCode == "" || e.ErrorCode == string(chat.CodeCancelled)
	if !told {
		return fine
	}
	return e.Status == a.status && fine == (a.errCode == "")
}

// access is a line of the API node's access log.
type access struct{ Message, Request, Route, Key, Error string }

// arrived returns the requests that an API node has answered, by id.
func (p *proc) arrived() map[string]access {
	requests := make(map[string]access)
	for raw := range strings.Lines(p.text()) {
		var line access
		if json.Unmarshal([]byte(raw), &line) == nil && line.Message == "request" && line.Route == "/v1/chat/completions" {
			requests[line.Request] = line
		}
	}
	return requests
}

func (f *fleet) events() map[string]stats.Event { return usageEvents(f.t, f.broker) }

// usageEvents returns the usage events by id.
func usageEvents(t testing.TB, broker *nats.Conn) map[string]stats.Event {
	t.Helper()
	js, err := jetstream.New(broker)
	if err != nil {
		t.Fatal(err)
	}
	for late := time.Now().Add(guard); ; <-time.After(100 * time.Millisecond) {
		events, held, err := readUsage(t.Context(), js)
		if err != nil && time.Now().Before(late) {
			continue // a cluster that was just struck changes its leaders
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(events) != held {
			t.Errorf("%d usage events of %d requests", held, len(events))
		}
		return events
	}
}

// readUsage returns the events by request, and how many there are.
func readUsage(ctx context.Context, js jetstream.JetStream) (events map[string]stats.Event, held int, err error) {
	stream, err := js.Stream(ctx, "USAGE")
	if err != nil {
		return nil, 0, err
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, 0, err
	}
	held = int(stream.CachedInfo().State.Msgs)
	batch, err := consumer.Fetch(held, jetstream.FetchMaxWait(guard))
	if err != nil {
		return nil, 0, err
	}
	events, read := make(map[string]stats.Event), 0
	for m := range batch.Messages() {
		var e stats.Event
		if err := json.Unmarshal(m.Data(), &e); err != nil {
			return nil, 0, err
		}
		events[e.ID] = e
		read++
	}
	if err := batch.Error(); err != nil || read < held {
		return nil, 0, fmt.Errorf("%d of %d usage events were read: %v", read, held, err)
	}
	return events, held, nil
}

func (f *fleet) reportEvents(events map[string]stats.Event) {
	sessions, errors, moved, left := make(map[chat.Session]int), make(map[string]int), 0, 0
	for _, e := range events {
		sessions[e.Session]++
		if e.ErrorCode != "" {
			errors[e.ErrorCode]++
		}
		if e.Attempts > 1 {
			moved++
		}
		if e.Status != http.StatusOK && e.ErrorCode == string(chat.CodeCancelled) {
			left++
		}
	}
	f.t.Logf("%d usage events: sessions %v; errors %v, %d cancelled before the first byte; %d jobs moved", len(events), sessions, errors, left, moved)
}
