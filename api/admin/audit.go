package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"maxrelay/api/key"
)

// Event is one action of an administrator. It names what was changed, never the values.
type Event struct {
	Time      time.Time `json:"time"`
	Action    string    `json:"action"` // login; create, update, enable, disable, delete, hard_delete, rotate of a key; drain, resume, invite, revoke of a worker
	Actor     string    `json:"actor"`
	Address   string    `json:"address"`
	KeyID     string    `json:"key_id,omitempty"`
	WorkerID  string    `json:"worker_id,omitempty"` // or the name of one that is invited or revoked
	Fields    []string  `json:"fields,omitempty"`
	RequestID string    `json:"request_id"`
	Failed    bool      `json:"failed,omitempty"` // the action announced by the event before with this request id
}

const (
	auditStream  = "AUDIT"
	auditSubject = "audit.admin"
	auditMaxAge  = 400 * 24 * time.Hour
	auditBytes   = 64 << 20 // some 200,000 events; then the oldest go
)

// errBroker marks failures that are the broker's, or of the way to it.
var errBroker = errors.New("the broker failed")

// onBroker marks an error of the store, unless it is an answer.
func onBroker(err error) error {
	if err == nil || errors.Is(err, key.ErrUnknown) || errors.Is(err, key.ErrConflict) {
		return err
	}
	return fmt.Errorf("%w: %w", errBroker, err)
}

// audit is the stream of events.
//
// An action is written down before it is done and not done if that fails, so nothing
// ever happens unseen. The price is that an event may tell of an action that then
// failed; a second one says so, unless the broker is gone by then.
type audit struct{ js jetstream.JetStream }

func openAudit(ctx context.Context, js jetstream.JetStream, replicas int) (*audit, error) {
	_, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: auditStream, Description: "what administrators did", Subjects: []string{auditSubject},
		Storage: jetstream.FileStorage, Replicas: replicas, MaxAge: auditMaxAge, MaxBytes: auditBytes,
		DenyDelete: true, // single events; the limits still apply
		DenyPurge:  true,
	})
	if err != nil {
		return nil, fmt.Errorf("creating stream %s: %w", auditStream, err)
	}
	return &audit{js: js}, nil
}

func (a *audit) write(ctx context.Context, e Event) error {
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if _, err := a.js.Publish(ctx, auditSubject, data, jetstream.WithExpectStream(auditStream)); err != nil {
		return fmt.Errorf("audit: %w: %w", errBroker, err)
	}
	return nil
}

// page returns limit events beginning with the newest but skip, the newest first. Events
// are never deleted singly, so their sequence numbers have no gaps.
func (a *audit) page(ctx context.Context, skip, limit int) (events []Event, total int, err error) {
	stream, err := a.js.Stream(ctx, auditStream)
	if err != nil {
		return nil, 0, fmt.Errorf("audit: %w: %w", errBroker, err)
	}
	state := stream.CachedInfo().State
	total = int(state.Msgs)
	n := min(limit, total-skip)
	if n <= 0 {
		return []Event{}, total, nil
	}
	last := state.LastSeq - uint64(skip)
	if events, err = read(ctx, stream, last-uint64(n)+1, n); err != nil {
		return nil, 0, fmt.Errorf("audit: %w: %w", errBroker, err)
	}
	return events, total, nil
}

// read returns n events from a sequence number on, the last first. Fewer, if the oldest
// went meanwhile.
func read(ctx context.Context, stream jetstream.Stream, from uint64, n int) ([]Event, error) {
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: 10 * time.Second,
	})
	if err != nil {
		return nil, err
	}
	defer stream.DeleteConsumer(context.WithoutCancel(ctx), consumer.CachedInfo().Name)
	batch, err := consumer.FetchNoWait(n)
	if err != nil {
		return nil, err
	}
	events := make([]Event, 0, n)
	for m := range batch.Messages() {
		var e Event
		if err := json.Unmarshal(m.Data(), &e); err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	slices.Reverse(events)
	return events, batch.Error()
}

// note completes an event with who asked from where, and writes it.
func (a *Admin) note(w http.ResponseWriter, r *http.Request, e Event) error {
	e.Time, e.Actor, e.RequestID = a.cfg.Now().UTC(), a.cfg.Username, requestID(w)
	e.Address = a.cfg.ClientAddr(r).String()
	ctx, cancel := writing(r)
	defer cancel()
	return a.audit.write(ctx, e)
}

// noted does what the event says, after it was written down.
func (a *Admin) noted(w http.ResponseWriter, r *http.Request, e Event, do func(context.Context) error) error {
	if err := a.note(w, r, e); err != nil {
		return err
	}
	ctx, cancel := writing(r)
	defer cancel()
	err := do(ctx)
	if err == nil {
		return nil
	}
	e.Failed = true
	if err := a.note(w, r, e); err != nil {
		a.log.Error().Err(err).Str("request", requestID(w)).Msg("that an action failed is not in the audit record")
	}
	return err
}

// writeWait bounds a write to the broker.
const writeWait = 5 * time.Second

// writing is the context of a write, which is not broken off when the client leaves: what
// was begun is finished.
func writing(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.Context()), writeWait)
}

func (a *Admin) listAudit(w http.ResponseWriter, r *http.Request) error {
	skip, limit, err := pageOf(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), writeWait)
	defer cancel()
	events, total, err := a.audit.page(ctx, skip, limit)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, page[Event]{events, total, skip, limit})
}
