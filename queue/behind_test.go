package queue

import "testing"

// A client that has its whole answer may ask again at once. By then the owner must know
// where the conversation is held, whatever order its goroutines ran in.
func TestAnEndIsTakenAfterTheDirectoryUpdateBeforeIt(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	o := startOwner(t, b, OwnerConfig{})
	w := startRawWorker(t, b, o, "w1", 0)
	c := submit(t, o, job(""))
	w.mustClaim(c)
	if r := w.endAfter(1, c, 1, 0, End{OK: true}); r.Answer != endSoon {
		t.Errorf("before the update: %q, want %q", r.Answer, endSoon)
	}
	key := Key{1}
	w.publish(upSubject(w.id, verbDirectory), encode(directoryUpdate{V: wireVersion, Number: 1, Reset: true,
		Changes: []chainChange{{Ref: "p", Add: key[:]}}}))
	eventually(t, "the end is taken", func() bool { return w.endAfter(1, c, 1, 0, End{OK: true}).Answer == endOK })
	if r := read(t, c); r.err != nil || !r.end.OK {
		t.Errorf("got %+v", r)
	}
}
