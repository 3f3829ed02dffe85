package queue

import (
	"encoding/json"
	"testing"

	"github.com/nats-io/nats.go"
)

// rawWorker says exactly what a test wants said, also what a Worker never would.
type rawWorker struct {
	t  testing.TB
	o  *Owner
	nc *nats.Conn
	id string

	pools []string
}

func startRawWorker(t testing.TB, b *Broker, o *Owner, id string, slots int) *rawWorker {
	t.Helper()
	w := &rawWorker{t: t, o: o, nc: dialTCP(t, b, b.ClientURL(), id), id: id, pools: []string{"std"}}
	w.join(slots)
	return w
}

func startRawWorkerOf(t testing.TB, b *Broker, o *Owner, id, pool string) {
	t.Helper()
	w := &rawWorker{t: t, o: o, nc: dialTCP(t, b, b.ClientURL(), id), id: id, pools: []string{pool}}
	w.join(0)
}

// join says hello and waits until the owner knows.
func (w *rawWorker) join(slots int) {
	w.t.Helper()
	w.beat(presence{Slots: slots, Hello: true})
	awaitRoster(w.t, w.o, func(all []WorkerInfo) bool {
		for _, info := range all {
			if info.ID == w.id {
				return true
			}
		}
		return false
	})
}

func (w *rawWorker) beat(p presence) {
	w.t.Helper()
	eventually(w.t, "it is connected", w.nc.IsConnected)
	p.Server = w.nc.ConnectedServerId()
	p.Client, _ = w.nc.GetClientID()
	p.V, p.ID, p.Name, p.Pools = wireVersion, w.id, w.id, w.pools
	w.publish(upSubject(w.id, verbBeat), encode(p))
}

func (w *rawWorker) publish(subject string, data []byte) {
	w.t.Helper()
	if err := w.nc.Publish(subject, data); err != nil {
		w.t.Fatal(err)
	}
}

func (w *rawWorker) request(subject string, data []byte) []byte {
	w.t.Helper()
	m, err := w.nc.RequestWithContext(testContext(w.t), subject, data)
	if err != nil {
		w.t.Fatalf("%s: %v", subject, err)
	}
	return m.Data
}

func (w *rawWorker) claim(c *Call, nonce string) (grant, []byte) {
	w.t.Helper()
	return w.claimPlace(c, 1, nonce)
}

func (w *rawWorker) claimPlace(c *Call, place int, nonce string) (grant, []byte) {
	w.t.Helper()
	answer := w.request(claimSubject(w.o.node, c.job.Pool, w.id), encode(claim{Job: c.job.ID, Place: place, Nonce: nonce}))
	var g grant
	body, err := unpack(answer, &g)
	if err != nil {
		w.t.Fatal(err)
	}
	return g, body
}

func (w *rawWorker) mustClaim(c *Call) grant {
	w.t.Helper()
	g, _ := w.claim(c, "n")
	if g.Answer != answerGo {
		w.t.Fatalf("claim = %+v", g)
	}
	return g
}

// frame sends a data frame of one payload.
func (w *rawWorker) frame(c *Call, epoch, seq int, text string) {
	w.t.Helper()
	data := appendFrameHead(nil, frame{kind: frameData, content: true, epoch: epoch, seq: seq})
	w.publish(frameSubject(w.o.node, w.id, c.job.ID), appendPayload(data, []byte(text)))
}

func (w *rawWorker) lost(c *Call, epoch, seq int) {
	w.t.Helper()
	w.publish(frameSubject(w.o.node, w.id, c.job.ID), appendFrameHead(nil, frame{kind: frameLost, epoch: epoch, seq: seq}))
}

func (w *rawWorker) end(c *Call, epoch, frames int, e End) endReply {
	w.t.Helper()
	return w.endAfter(0, c, epoch, frames, e)
}

// endAfter sends an end that is to be taken after a directory update.
func (w *rawWorker) endAfter(update uint64, c *Call, epoch, frames int, e End) endReply {
	w.t.Helper()
	data := appendFrameHead(nil, frame{kind: frameEnd, epoch: epoch, seq: frames})
	data = append(data, pack(endHeader{OK: e.OK, Retry: e.Retry, RetryAfterMS: e.RetryAfter.Milliseconds(), Directory: update}, e.Data)...)
	var reply endReply
	if err := json.Unmarshal(w.request(frameSubject(w.o.node, w.id, c.job.ID), data), &reply); err != nil {
		w.t.Fatal(err)
	}
	return reply
}

func (w *rawWorker) alive(attempts ...attempt) aliveReply {
	w.t.Helper()
	var reply aliveReply
	answer := w.request(ownerSubject(w.o.node, verbAlive, w.id), encode(aliveRequest{Running: attempts}))
	if err := json.Unmarshal(answer, &reply); err != nil {
		w.t.Fatal(err)
	}
	return reply
}

// orders returns what owners tell this worker under a verb.
func (w *rawWorker) orders(verb string) <-chan order {
	w.t.Helper()
	ch := make(chan order, 100)
	_, err := w.nc.Subscribe(downSubject(w.id, verb), func(m *nats.Msg) {
		var o order
		if json.Unmarshal(m.Data, &o) == nil {
			ch <- o
		}
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.nc.Flush(); err != nil {
		w.t.Fatal(err)
	}
	return ch
}
