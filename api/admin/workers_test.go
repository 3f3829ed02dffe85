package admin_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"maxrelay/api/admin"
	"maxrelay/queue"
)

// fleet is a node with a queue, and one worker that plays what a test wants.
type fleet struct {
	*node
	owner  *queue.Owner
	worker *queue.Worker
}

const told = `{"cli_version":"2.1.330","models":["opus","sonnet"],"signed_in":true,"account":"subscription",
	"limits":[{"window":"five_hour","used":0.42,"resets_at":"2030-01-31T12:00:00Z"}],"sessions":{"busy":0,"idle":3,"spares":1}}`

func newFleet(t *testing.T, handle queue.Handler) *fleet {
	t.Helper()
	srv := startBroker(t)
	f := &fleet{}
	var err error
	f.worker, err = queue.NewWorker(t.Context(), connect(t, srv), queue.WorkerConfig{
		Name: "box 1", Version: "1.2", Pools: []string{"default", "team"}, Slots: 2, Info: func() json.RawMessage { return json.RawMessage(told) },
	}, handle, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.worker.Close)
	f.worker.SetAccount(0.42, nil)
	f.owner = openOwner(t, srv)
	f.node = openNode(t, srv, func(cfg *admin.Config) { cfg.Owner = f.owner })
	eventually(t, "the worker to be known", func() bool { return len(f.owner.Workers()) == 1 })
	return f
}

func openOwner(t *testing.T, srv *server.Server) *queue.Owner {
	t.Helper()
	owner, err := queue.NewOwner(t.Context(), connect(t, srv), nil, queue.OwnerConfig{}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		owner.Close(over)
	})
	return owner
}

func connect(t *testing.T, srv *server.Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func (f *fleet) one() object {
	f.t.Helper()
	all := f.must(http.MethodGet, "/admin/workers", "")["workers"].([]any)
	if len(all) != 1 {
		f.t.Fatalf("%d workers: %v", len(all), all)
	}
	return all[0].(object)
}

func answerOK(_ context.Context, task *queue.Task) { task.End(queue.End{OK: true}) }

func TestAWorkerIsShownWithAllThatIsKnown(t *testing.T) {
	f := newFleet(t, answerOK)
	got := f.one()
	want := object{"id": f.worker.ID(), "name": "box 1", "state": "ok", "pools": []any{"default", "team"}, "slots": 2.0, "busy": 0.0,
		"sessions": object{"busy": 0.0, "idle": 3.0, "spares": 1.0}, "queue": object{"waiting": 0.0, "sticky": 0.0}, "version": "1.2", "cli_version": "2.1.330", "models": []any{"opus", "sonnet"},
		"account":      object{"kind": "subscription", "used": 0.42, "limits": []any{object{"window": "five_hour", "used": 0.42, "resets_at": "2030-01-31T12:00:00Z"}}},
		"last_seen_at": got["last_seen_at"]}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
	f.worker.SetAccount(1, []queue.Rest{{Until: time.Now().Add(time.Hour)}})
	eventually(t, "its rest to be known", func() bool { return f.one()["state"] == "resting" && f.one()["reason"] != "" })
}

func TestAWorkerIsDrainedAndResumed(t *testing.T) {
	f := newFleet(t, answerOK)
	path := "/admin/workers/" + f.worker.ID()
	f.must(http.MethodPost, path+"/drain", "")
	eventually(t, "it to drain", func() bool { return f.one()["state"] == "draining" })
	f.must(http.MethodPost, path+"/resume", "")
	eventually(t, "it to resume", func() bool { return f.one()["state"] == "ok" })

	f.worker.Close()
	eventually(t, "it to be gone", func() bool { return len(f.owner.Workers()) == 0 })
	for _, action := range []string{"/drain", "/resume"} {
		if status, answer := f.ask(http.MethodPost, path+action, ""); status != http.StatusNotFound {
			t.Errorf("%s of a worker that is gone: %d, %v", action, status, answer)
		}
	}
	events := f.audit()
	if len(events) != 3 || events[0]["action"] != "resume" || events[1]["action"] != "drain" || events[1]["worker_id"] != f.worker.ID() {
		t.Errorf("written down: %v", events)
	}
}

func TestWorkersAreForAdministrators(t *testing.T) {
	f := newFleet(t, answerOK)
	f.token = ""
	for _, r := range [][2]string{{http.MethodGet, "/admin/workers"}, {http.MethodGet, "/admin/queue"}, {http.MethodGet, "/admin/sessions"}, {http.MethodPost, "/admin/workers/" + f.worker.ID() + "/drain"}, {http.MethodPost, "/admin/workers/" + f.worker.ID() + "/resume"}} {
		if status, answer := f.ask(r[0], r[1], ""); status != http.StatusUnauthorized {
			t.Errorf("%s %s: %d, %v", r[0], r[1], status, answer)
		}
	}
	if f.owner.Workers()[0].Draining {
		t.Error("it drains")
	}
}

func TestTheQueueSaysWhyARequestWaits(t *testing.T) {
	release := make(chan struct{})
	f := newFleet(t, func(_ context.Context, task *queue.Task) {
		<-release
		task.End(queue.End{OK: true})
	})
	for i := range 4 {
		call, err := f.owner.Submit(t.Context(), queue.Job{ID: rand.Text(), Request: "req_" + string(rune('a'+i)), KeyID: "k_1", Pool: "team", Model: "opus"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(call.Close)
	}
	t.Cleanup(func() { close(release) })
	var got object
	eventually(t, "both slots to be taken", func() bool {
		got = f.must(http.MethodGet, "/admin/queue", "")
		return len(got["running"].([]any)) == 2 && f.one()["busy"] == 2.0
	})
	if q := f.one()["queue"]; !reflect.DeepEqual(q, object{"waiting": 2.0, "sticky": 0.0}) {
		t.Errorf("queue of the worker: %v", q)
	}
	got = f.must(http.MethodGet, "/admin/queue", "")
	waiting := got["waiting"].([]any)
	if len(waiting) != 2 {
		t.Fatalf("waiting: %v", waiting)
	}
	first, second := waiting[0].(object), waiting[1].(object)
	if first["reason"] != "all 2 slots of pool team are taken" || first["position"] != 1.0 || second["position"] != 2.0 {
		t.Errorf("waiting: %v", waiting)
	}
	for _, field := range []string{"node", "request_id", "key_id", "pool", "model", "waited_ms", "given_up_in_ms", "attempts", "estimate_ms"} {
		if _, there := first[field]; !there {
			t.Errorf("no %s in %v", field, first)
		}
	}
	if r := got["running"].([]any)[0].(object); r["worker_id"] != f.worker.ID() || r["key_id"] != "k_1" {
		t.Errorf("running: %v", r)
	}
	if k := got["keys"].([]any)[0].(object); k["waiting"] != 2.0 || k["running"] != 2.0 || k["key_id"] != "k_1" {
		t.Errorf("keys: %v", k)
	}
}

func TestSessionsAreListedByPages(t *testing.T) {
	f := newFleet(t, answerOK)
	f.worker.Hold("1", "k_1", []queue.Key{{1}, {2}}, false)
	f.worker.Hold("2", "k_2", []queue.Key{{3}}, true)
	eventually(t, "the directory to know", func() bool { return f.must(http.MethodGet, "/admin/sessions", "")["total"] == 2.0 })
	got := f.must(http.MethodGet, "/admin/sessions?skip=1&limit=5", "")
	want := object{"items": []any{object{"worker_id": f.worker.ID(), "process": "2", "key_id": "k_2", "state": "busy", "messages": 1.0}}, "total": 2.0, "skip": 1.0, "limit": 5.0}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
