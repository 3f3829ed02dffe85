package queue

import (
	"bytes"
	"testing"
)

func FuzzFrame(f *testing.F) {
	f.Add(appendPayload(appendFrameHead(nil, frame{kind: frameData, content: true, epoch: 1, seq: 1}), []byte("x")))
	f.Add(append(appendFrameHead(nil, frame{kind: frameEnd, epoch: 3, seq: 200}), pack(endHeader{OK: true}, []byte("usage"))...))
	f.Add(appendFrameHead(nil, frame{kind: frameLost, epoch: 1, seq: 7}))
	f.Fuzz(func(t *testing.T, data []byte) {
		fr, err := parseFrame(data)
		if err != nil {
			return
		}
		if fr.epoch < 0 || fr.seq < 0 {
			t.Fatalf("negative counter in %+v", fr)
		}
		again, err := parseFrame(append(appendFrameHead(nil, fr), fr.rest...))
		if err != nil || again.kind != fr.kind || again.epoch != fr.epoch || again.seq != fr.seq || !bytes.Equal(again.rest, fr.rest) {
			t.Fatalf("%+v became %+v, %v", fr, again, err)
		}
		payloads, err := fr.payloads()
		total := 0
		for _, p := range payloads {
			total += len(p)
		}
		if err == nil && total > len(fr.rest) {
			t.Fatalf("%d bytes out of %d", total, len(fr.rest))
		}
		var head endHeader
		if body, err := unpack(fr.rest, &head); err == nil && len(body) > len(fr.rest) {
			t.Fatal("the envelope grew")
		}
	})
}

func FuzzEnvelope(f *testing.F) {
	f.Add(pack(grant{Answer: answerGo, Epoch: 1}, []byte("body")))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f, '{', '}'})
	f.Fuzz(func(t *testing.T, data []byte) {
		var g grant
		body, err := unpack(data, &g)
		if err != nil {
			return
		}
		var again grant
		body2, err := unpack(pack(g, body), &again)
		if err != nil || !bytes.Equal(body, body2) || again.Epoch != g.Epoch || again.Answer != g.Answer {
			t.Fatalf("%+v became %+v, %v", g, again, err)
		}
	})
}

func FuzzTicket(f *testing.F) {
	f.Add(encode(ticket{V: wireVersion, Job: "j", Place: 1, Node: "n", Key: "k", Pool: "p"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if q, err := parseTicket(data); err == nil && (!isToken(q.Node) || !isToken(q.Job)) {
			t.Fatalf("a ticket that would make another subject: %+v", q)
		}
	})
}

func FuzzPresence(f *testing.F) {
	f.Add(encode(presence{V: wireVersion, ID: "w-1", Pools: []string{"std"}, Slots: 4}))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := parsePresence(data); err == nil && (!isToken(p.ID) || p.Slots < 0) {
			t.Fatalf("accepted %+v", p)
		}
	})
}

// FuzzDirectory applies updates to an owner's directory and checks that index and holdings agree.
func FuzzDirectory(f *testing.F) {
	key := Key{1}
	f.Add(
		encode(directoryUpdate{V: wireVersion, Number: 1, Reset: true, Changes: []chainChange{{Ref: "p", Add: key[:]}}}),
		encode(directoryUpdate{V: wireVersion, Number: 2, Changes: []chainChange{{Ref: "p", Keep: 9, Add: append(key[:], key[:]...), Busy: true}, {Ref: "q", Drop: true}}}),
	)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		o := &Owner{workers: make(map[string]*remote), holders: make(map[Key]map[*holding]int), closed: true}
		w := &remote{holdings: make(map[string]*holding)}
		o.workers["w"] = w
		o.onDirectory("w", first)
		o.onDirectory("w", second)
		indexed, held := 0, 0
		for _, by := range o.holders {
			for _, times := range by {
				indexed += times
			}
		}
		for _, h := range w.holdings {
			held += len(h.chain)
		}
		if indexed != held || len(w.holdings) > maxHoldings {
			t.Fatalf("%d keys indexed, %d held", indexed, held)
		}
		if o.forgetLocked(w); len(o.holders) != 0 {
			t.Fatalf("left in the index: %v", o.holders)
		}
	})
}

func FuzzDisconnect(f *testing.F) {
	f.Add([]byte(`{"server":{"id":"N"},"client":{"id":5},"reason":"Client Closed"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if d, ok := parseDisconnect(data); ok && d.Client == 0 {
			t.Fatal("a disconnect of nobody")
		}
	})
}

func FuzzSubjects(f *testing.F) {
	f.Add("my host.local", "up.w-1.beat")
	f.Fuzz(func(t *testing.T, label, subject string) {
		if id := newID(label); !isToken(id) {
			t.Fatalf("%q is not a token", id)
		}
		if before, last, ok := lastTwo(subject); ok && len(before)+len(last) >= len(subject) {
			t.Fatalf("%q, %q out of %q", before, last, subject)
		}
		cleanURL(label)
	})
}
