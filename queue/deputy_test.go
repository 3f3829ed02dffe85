package queue

import (
	"crypto/sha256"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Whoever answers a joined worker has more rights than it has. So none may answer where the worker says: an empty answer
// at this subject would delete the stream.
func TestNoAnswerGoesWhereAWorkerSays(t *testing.T) {
	t.Parallel()
	b, r := startOpenBroker(t)
	o := startOwner(t, b, OwnerConfig{Given: r.Given})
	_, err := o.js.CreateStream(testContext(t), jetstream.StreamConfig{Name: "VICTIM", Subjects: []string{"victim"}})
	if err != nil {
		t.Fatal(err)
	}
	const order = "$JS.API.STREAM.DELETE.VICTIM"
	id := NewWorkerID("me")
	w := &rawWorker{t: t, o: o, nc: dialMember(t, join(t, r, "me", "std"), id), id: id, pools: []string{"std"}}
	w.join(4)
	eventually(t, "its consumers", func() bool { return welcomed(o) == 1 })
	call := submit(t, o, job("work"))
	pull := viaSubject(id, pullSubject(poolConsumer("std")))
	ticket := w.ask(pull, `{"batch":1,"expires":5000000000,"group":"w"}`)
	if ticket.Reply == "" {
		t.Fatalf("no ticket came: %v", ticket.Header)
	}
	g, _ := w.claim(call, "n")

	says := frameSubject(o.node, id, call.job.ID)
	end := string(append(appendFrameHead(nil, frame{kind: frameEnd, epoch: g.Epoch, seq: 1}), pack(endHeader{OK: true}, nil)...)) // a frame is missing: it may come again
	for _, ask := range []struct{ what, subject, data string }{
		{"a pull of which there is none", pull, `{"batch":1,"no_wait":true,"group":"w"}`},
		{"a pull that is none", pull, `{"batch":-1`},
		{"an acknowledgement", viaSubject(id, ticket.Reply), ackTicket},
		{"a claim", claimSubject(o.node, "std", id), "{}"},
		{"a piece of a body", ownerSubject(o.node, verbBody, id), "{}"},
		{"a sign of life", ownerSubject(o.node, verbAlive, id), "{}"},
		{"the end of a job", says, end},
		{"a heartbeat", upSubject(id, verbBeat), "{}"},
		{"an answer to an owner", viaSubject(id, inboxPrefix(OwnerName)+".x"), ""},
	} {
		if err := w.nc.PublishRequest(ask.subject, order, []byte(ask.data)); err != nil {
			t.Fatal(err)
		}
	}
	// What comes behind them on the same ways is answered after them.
	w.ask(pull, `{"batch":1,"no_wait":true,"group":"w"}`)
	w.request(ownerSubject(o.node, verbBody, id), []byte("{}"))
	w.request(ownerSubject(o.node, verbAlive, id), []byte("{}"))
	w.request(claimSubject(o.node, "std", id), encode(claim{Job: "none"}))
	w.request(says, []byte(end))
	if err := w.nc.LastError(); err != nil {
		t.Errorf("refused by the broker, so nothing was shown: %v", err)
	}
	if _, err := o.js.Stream(testContext(t), "VICTIM"); err != nil {
		t.Errorf("the stream is gone: %v", err)
	}
}

// ask is a request to the broker, of which any word is an answer.
func (w *rawWorker) ask(subject, data string) *nats.Msg {
	w.t.Helper()
	inbox := w.nc.NewRespInbox()
	sub, err := w.nc.SubscribeSync(inbox)
	if err == nil {
		err = w.nc.PublishRequest(subject, inbox, []byte(data))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := sub.NextMsgWithContext(testContext(w.t))
	if err != nil {
		w.t.Fatalf("%s: %v", subject, err)
	}
	return m
}

func TestAnInvitedWorkerIsAnsweredItself(t *testing.T) {
	t.Parallel()
	b, r := startOpenBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	stream, err := o.js.CreateStream(testContext(t), jetstream.StreamConfig{Name: "VICTIM", Subjects: []string{"victim"}})
	if err != nil {
		t.Fatal(err)
	}
	i := invite(t, r, "me", "std")
	nc, err := nats.Connect(tlsURLs(i.URLs), nats.UserInfo(joinPrefix+i.Name, i.Secret), nats.Secure(i.Anchor.Client()), nats.CustomInboxPrefix(invitedInbox("me")))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	sum := sha256.Sum256([]byte(i.Secret))
	if err := nc.PublishRequest(joinSubject("me", sum[:]), "victim", []byte("no key")); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.RequestWithContext(testContext(t), joinSubject("me", sum[:]), []byte("no key")); err != nil { // behind it
		t.Fatal(err)
	}
	if info, err := stream.Info(testContext(t)); err != nil || info.State.Msgs != 0 {
		t.Errorf("the stream has %+v, %v", info, err)
	}
}

// A worker that says it served pools which it was not given would draw their jobs' tickets, and make consumers of any
// name.
func TestAWorkerIsKnownByThePoolsItWasGiven(t *testing.T) {
	t.Parallel()
	b, r := startOpenBroker(t)
	o := startOwner(t, b, OwnerConfig{Given: r.Given})
	id := NewWorkerID("me")
	w := &rawWorker{t: t, o: o, nc: dialMember(t, join(t, r, "me", "std"), id), id: id, pools: []string{"rich", "std", "any"}}
	w.join(4)
	if got := o.Workers()[0].Pools; len(got) != 1 || got[0] != "std" {
		t.Errorf("it serves %v", got)
	}
	w.pools = []string{"rich"}
	w.beat(presence{Slots: 4, Hello: true})
	eventually(t, "it serves nothing", func() bool { return len(o.Workers()[0].Pools) == 0 })
}

// A message's headers can ask the server to publish what becomes of it, wherever they say.
func TestNoTraceGoesWhereAWorkerSays(t *testing.T) {
	t.Parallel()
	b, r := startOpenBroker(t)
	o := startOwner(t, b, OwnerConfig{Given: r.Given})
	stream, err := o.js.CreateStream(testContext(t), jetstream.StreamConfig{Name: "VICTIM", Subjects: []string{"victim"}})
	if err != nil {
		t.Fatal(err)
	}
	id := NewWorkerID("me")
	nc := dialMember(t, join(t, r, "me", "std"), id)
	eventually(t, "it is connected", nc.IsConnected)
	for _, header := range []nats.Header{
		{"Nats-Trace-Dest": {"victim"}}, {"Nats-Trace-Dest": {"victim"}, "Nats-Trace-Only": {"true"}},
		{"traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}},
	} {
		for _, subject := range []string{upSubject(id, verbBeat), viaSubject(id, pullSubject("q_std")), claimSubject(o.node, "std", id)} {
			if err := nc.PublishMsg(&nats.Msg{Subject: subject, Reply: nc.NewRespInbox(), Header: header, Data: []byte("{}")}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := nc.RequestWithContext(testContext(t), claimSubject(o.node, "std", id), encode(claim{Job: "none"})); err != nil { // behind them
		t.Fatal(err)
	}
	traced := func() int {
		info, err := stream.Info(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		return int(info.State.Msgs)
	}
	if n := traced(); n != 0 {
		t.Errorf("the stream has %d traces", n)
	}
	if err := o.nc.PublishMsg(&nats.Msg{Subject: "nobody", Header: nats.Header{"Nats-Trace-Dest": {"victim"}}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the trace of somebody with the right to it", func() bool { return traced() > 0 })
	if n := traced(); n != 1 {
		t.Errorf("the stream has %d traces, of which one is right", n)
	}
}
