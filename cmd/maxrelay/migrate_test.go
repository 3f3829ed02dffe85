package main

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What a node on its own has kept goes along when it becomes three: as docs/operations.md
// tells, with what `nats account backup` and `restore` ask of the broker.
func TestFromOneNodeToThree(t *testing.T) {
	t.Parallel()
	one := newSite(t)
	alone := one.start("alone", servesHTTP, scriptedCLI, "serve")
	talk := &talk{t: t, url: alone.url}
	talk.say("one")
	talk.say("two")
	alone.stop()

	broker := one.start("broker", brokerReady, scriptedCLI, "broker")
	kept := backUp(t, one.js())
	broker.stop()

	three := newCluster(t)
	brokers := three.startAll(brokerReady, "broker")
	restore(t, three.nodes[0].js(), kept)
	for _, p := range brokers {
		p.stop()
	}

	served := 2
	for i, node := range three.startAll(servesHTTP, "serve") {
		talk.url = node.url
		talk.say(fmt.Sprint("and at node ", i))
		served++
	}
	js := three.nodes[0].js()
	for name := range kept {
		if name == "QUOTA" {
			name = "QUOTAS" // made anew: QUOTA cannot be spread
		}
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		info := stream.CachedInfo()
		if info.Cluster == nil || len(info.Cluster.Replicas) != 2 {
			t.Errorf("%s is kept by %+v", name, info.Cluster)
		}
		if name == "USAGE" && info.State.Msgs != uint64(served) {
			t.Errorf("%d usage events, want %d", info.State.Msgs, served)
		}
	}
}

const brokerReady = "broker is ready"

// backup is what the broker gives of a stream.
type backup struct {
	Config json.RawMessage `json:"config"`
	State  json.RawMessage `json:"state"`
	chunks [][]byte
}

// backUp takes every stream, by name.
func backUp(t *testing.T, js jetstream.JetStream) map[string]backup {
	t.Helper()
	all := make(map[string]backup)
	names := js.StreamNames(t.Context())
	for name := range names.Name() {
		nc := js.Conn()
		sub, err := nc.SubscribeSync(nc.NewRespInbox())
		if err != nil {
			t.Fatal(err)
		}
		var b backup
		ask(t, nc, "$JS.API.STREAM.SNAPSHOT."+name, map[string]string{"deliver_subject": sub.Subject}, &b)
		for {
			m, err := sub.NextMsgWithContext(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(m.Data) == 0 {
				break // the end
			}
			b.chunks = append(b.chunks, m.Data)
			if m.Reply != "" {
				_ = m.Respond(nil)
			}
		}
		all[name] = b
	}
	if err := names.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

func restore(t *testing.T, js jetstream.JetStream, all map[string]backup) {
	t.Helper()
	for name, b := range all {
		var to struct {
			Subject string `json:"deliver_subject"`
		}
		ask(t, js.Conn(), "$JS.API.STREAM.RESTORE."+name, b, &to)
		for _, chunk := range append(b.chunks, nil) {
			// The node that takes it may not have told the others yet where.
			eventually(t, "a piece of "+name+" to be taken", func() bool {
				_, err := js.Conn().RequestWithContext(t.Context(), to.Subject, chunk)
				return err == nil
			})
		}
	}
}

// ask makes a request of the broker's management.
func ask(t *testing.T, nc *nats.Conn, subject string, request, answer any) {
	t.Helper()
	data, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	m, err := nc.RequestWithContext(t.Context(), subject, data)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	var refusal struct{ Error *jetstream.APIError }
	if err := json.Unmarshal(m.Data, &refusal); err != nil || refusal.Error != nil {
		t.Fatalf("%s: %s", subject, m.Data)
	}
	if err := json.Unmarshal(m.Data, answer); err != nil {
		t.Fatal(err)
	}
}
