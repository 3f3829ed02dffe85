package queue

import (
	"slices"
	"time"
)

// HoldingID names a process of this worker in the directory.
type HoldingID string

// announcements is what the owners are to be told next. Guarded by Worker.mu; Worker.saying is held while it is
// published, so that updates leave in the order of their numbers.
type announcements struct {
	chains  map[HoldingID]*chain
	updates uint64    // number of the last directory update
	changed bool      // some chain is dirty
	hello   bool      // a hello and a snapshot are due
	beat    bool      // a heartbeat is due before its time
	missing bool      // that heartbeat is to say that consumers are missing
	saidSo  time.Time // when it last did
}

// chain is what one process holds.
type chain struct {
	owner   string // API key id
	keys    []Key
	busy    bool
	kept    int // how many of its keys the owners know
	dirty   bool
	dropped bool
}

// Hold says what a process holds: whose conversation, by the API key's id, its fingerprints, shortest first, and whether
// it is in a turn. Only an idle one attracts jobs. Owners are sent the difference to what they know.
func (w *Worker) Hold(ref HoldingID, owner string, keys []Key, busy bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.chains[ref]
	if c == nil {
		c = &chain{}
		w.chains[ref] = c
	} else if !c.dropped && c.busy == busy && c.owner == owner && slices.Equal(c.keys, keys) {
		return
	}
	c.kept = min(c.kept, commonPrefix(c.keys, keys))
	c.keys = slices.Clone(keys[:min(len(keys), maxChain)])
	c.owner, c.busy, c.dirty, c.dropped = owner, busy, true, false
	w.changed = true
	w.wakeAnnounce()
}

// Drop says that a process is gone.
func (w *Worker) Drop(ref HoldingID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if c := w.chains[ref]; c != nil && !c.dropped {
		c.keys, c.kept, c.dirty, c.dropped = nil, 0, true, true
		w.changed = true
		w.wakeAnnounce()
	}
}

func commonPrefix(a, b []Key) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// loadChangedLocked has a heartbeat sent at once when the change matters to owners.
func (w *Worker) loadChangedLocked(matters bool) {
	if matters {
		w.beat = true
		w.wakeAnnounce()
	}
}

func (w *Worker) sayHello() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hello = true
	w.wakeAnnounce()
}

// consumersMissing tells the owners that a pull was refused, at most once a second.
func (w *Worker) consumersMissing() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if now := time.Now(); now.Sub(w.saidSo) >= time.Second {
		w.saidSo = now
		w.missing, w.beat = true, true
		w.wakeAnnounce()
	}
}

func (w *Worker) wakeAnnounce() {
	select {
	case w.announceNow <- struct{}{}:
	default:
	}
}

// announce publishes heartbeats and changes of the directory.
func (w *Worker) announce() {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		w.publishAnnouncements()
		select {
		case <-w.ctx.Done():
			return
		case <-w.announceNow:
		case <-tick.C:
			w.mu.Lock()
			w.beat = true
			w.mu.Unlock()
		}
	}
}

// publishAnnouncements says what is due. The end of a task does so too: a client that has its answer may ask again at
// once, and its owner must know by then who holds the conversation.
func (w *Worker) publishAnnouncements() {
	if !w.nc.IsConnected() { // a hello follows the reconnect, and says it all
		return
	}
	w.saying.Lock()
	defer w.saying.Unlock()
	w.mu.Lock()
	p := w.presenceLocked()
	hello, beat := w.hello, w.beat
	p.Hello = hello || w.missing
	w.hello, w.beat, w.missing = false, false, false
	updates := w.updatesLocked(hello)
	p.Directory = w.updates
	w.mu.Unlock()

	if w.cfg.Info != nil && (hello || beat) {
		p.Info = w.cfg.Info()
	}
	if hello {
		w.say(verbBeat, p) // before the snapshot: owners drop updates of a worker they do not know
		w.greeting.Do(func() { close(w.announced) })
	}
	for _, u := range updates {
		w.say(verbDirectory, u)
	}
	if beat && !hello {
		w.say(verbBeat, p)
	}
}

// lastUpdate is the number of the last directory update that was sent.
func (w *Worker) lastUpdate() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.updates
}

func (w *Worker) say(verb string, message any) {
	if err := w.nc.Publish(upSubject(w.id, verb), encode(message)); err != nil {
		w.log.Debug().Err(err).Str("verb", verb).Msg("not announced")
	}
}

func (w *Worker) presenceLocked() presence {
	p := presence{
		V: wireVersion, ID: w.id, Name: w.cfg.Name, Version: w.cfg.Version, Pools: w.cfg.Pools,
		Slots: w.cfg.Slots, Busy: w.busy, Use: w.use, Rest: packRests(w.rests, time.Now()),
		Draining: w.leavesLocked(), Server: w.nc.ConnectedServerId(),
	}
	p.Client, _ = w.nc.GetClientID() // 0 while not connected
	return p
}

// bytesPerUpdate keeps an update below the broker's 1 MB: a chain of the greatest length takes 350 KB.
const bytesPerUpdate = 256 << 10

// updatesLocked makes directory updates of what has changed, or of everything.
func (w *Worker) updatesLocked(snapshot bool) []directoryUpdate {
	if !snapshot && !w.changed {
		return nil
	}
	w.changed = false
	var all []directoryUpdate
	size := 0
	next := func() {
		w.updates++
		all = append(all, directoryUpdate{V: wireVersion, Number: w.updates, Reset: snapshot && len(all) == 0})
		size = 0
	}
	next()
	for ref, c := range w.chains {
		change, ok := c.change(ref, snapshot)
		if c.dropped {
			delete(w.chains, ref)
		}
		if !ok {
			continue
		}
		if size += len(change.Add) + len(ref) + 64; size > bytesPerUpdate && len(all[len(all)-1].Changes) > 0 {
			next()
		}
		last := &all[len(all)-1]
		last.Changes = append(last.Changes, change)
	}
	return all
}

// change returns what the owners are to be told of a chain, and takes it as told.
func (c *chain) change(ref HoldingID, snapshot bool) (chainChange, bool) {
	if !c.dirty && !snapshot || c.dropped && snapshot {
		return chainChange{}, false
	}
	if snapshot {
		c.kept = 0
	}
	change := chainChange{Ref: string(ref), Owner: c.owner, Keep: c.kept, Add: packKeys(c.keys[c.kept:]), Busy: c.busy, Drop: c.dropped}
	c.kept, c.dirty = len(c.keys), false
	return change, true
}
