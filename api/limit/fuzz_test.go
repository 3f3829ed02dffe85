package limit

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func FuzzDecodeRate(f *testing.F) {
	for _, seed := range []string{"100/1m0s", "1/1ns", "/", "0/1s", "-1/-1s", "100/", "1/1s/1s", "99999999999999999999/1s"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeRate(data)
		if err != nil {
			return
		}
		if r.Requests < 1 || r.Requests > maxRequests || r.Period <= 0 {
			t.Errorf("%q is %+v", data, r)
		}
		if again, err := decodeRate(encodeRate(r)); err != nil || again != r {
			t.Errorf("%+v came back as %+v, %v", r, again, err)
		}
		var w window
		w.take(time.Now(), r)
	})
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add("quota.k_1.life", "req_1.0", "+100", "n.1", []byte(`{"val":"100"}`))
	f.Add("quota.k_1.20260101", "req_1.end", "-5", "n.1", []byte(`{"val":"-100"}`))
	f.Add("quotas.k_1.life", "req_1.1", "-5", "n.1", []byte(`{"val":"-100"}`))
	f.Add("quota..", ".", "", "", []byte(`{}`))
	f.Add("quota.a.b.c", "a.b.c", "1e3", "n", []byte(`[]`))
	f.Fuzz(func(t *testing.T, subject, id, change, node string, data []byte) {
		m := nats.NewMsg(subject)
		m.Header.Set(nats.MsgIdHdr, id)
		m.Header.Set(headerIncrement, change)
		m.Header.Set(headerNode, node)
		m.Data = data
		e, err := decodeEntry(m)
		if err != nil {
			return
		}
		if ofOne.subject(e.account) != subject && ofSeveral.subject(e.account) != subject || e.id() != id || e.node != node {
			t.Errorf("%q %q of %q is %+v", subject, id, node, e)
		}
		newLedger("n.1").apply(e)
	})
}
