package queue

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	beatEvery    = 2 * time.Second
	beatsMissed  = 8 * time.Second // a worker that was not heard for this long is gone
	lostGrace    = 2 * time.Second // a worker interrupts its turns when it is cut off for longer
	sweepEvery   = 250 * time.Millisecond
	greetingWait = time.Second
)

// WorkerInfo is a line of the roster.
type WorkerInfo struct {
	ID       string          `json:"id"`
	Name     string          `json:"name"`
	Pools    []string        `json:"pools"`
	Slots    int             `json:"slots"`
	Busy     int             `json:"busy"`
	Draining bool            `json:"draining"`
	Use      float64         `json:"use"` // of its account, 0 to 1
	Rests    []Rest          `json:"rests,omitempty"`
	Version  string          `json:"version,omitempty"`
	Info     json.RawMessage `json:"info,omitempty"` // what the worker tells of its CLI and account, opaque here
	Seen     time.Time       `json:"seen"`
}

// remote is a worker as this owner knows it. Guarded by Owner.mu.
type remote struct {
	presence
	rests   []Rest
	seen    time.Time // last message of any kind
	lost    time.Time // when its connection ended, zero while it has one
	greeted bool      // its consumers exist and it was told so
	asked   time.Time // last request for a hello

	running int // attempts of this owner's jobs
	sticky  int // tickets of this owner's jobs that only it may claim

	holdings map[string]*holding
	keys     int    // in all their chains
	updates  uint64 // last directory update that was applied
}

func (w *remote) serves(pool string) bool { return slices.Contains(w.Pools, pool) }

// free estimates its slots: what it said last, corrected by what this owner has sent it since.
func (w *remote) free() int { return w.Slots - max(w.Busy, w.running) - w.sticky }

func (w *remote) unused() float64 { return unused(w.free(), w.Slots, w.Use) }

// pool counts the workers that serve it. Guarded by Owner.mu.
type pool struct {
	workers    int
	emptySince time.Time
}

// onWorker takes what workers publish about themselves. It is one subscription, so that a worker's hello, its
// directory and its heartbeats are seen in the order they were sent.
func (o *Owner) onWorker(m *nats.Msg) {
	id, verb, ok := lastTwo(m.Subject)
	if !ok {
		return
	}
	switch verb {
	case verbBeat:
		o.onBeat(id, m.Data)
	case verbDirectory:
		o.onDirectory(id, m.Data)
	case verbBye:
		o.mu.Lock()
		defer o.mu.Unlock()
		if w := o.workers[id]; w != nil {
			o.dropLocked(w, "said bye")
			o.loseAllLocked(w, true, "said bye")
		}
	}
}

func (o *Owner) onBeat(id string, data []byte) {
	p, err := parsePresence(data)
	if token(p.Name) != labelOf(p.ID) {
		p.Name = p.ID // nobody goes by another's name
	}
	given, joined := o.cfg.Given(id)
	if joined {
		p.Name = labelOf(id)
		p.Pools = slices.DeleteFunc(p.Pools, func(pool string) bool { return !slices.Contains(given, pool) })
	}
	if err != nil || p.ID != id {
		o.log.Debug().Err(err).Str("worker", id).Msg("heartbeat dropped")
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	w := o.workers[id]
	if w == nil && joined && o.startsLocked(labelOf(id)) >= maxStarts {
		o.calm.Warn().Str("worker", id).Msg("a worker has more starts than it can have: not taken")
		return
	}
	if w == nil {
		w = &remote{holdings: make(map[string]*holding)}
		o.workers[id] = w
		o.log.Info().Str("worker", id).Int("slots", p.Slots).Strs("pools", p.Pools).Msg("worker is here")
	}
	now := time.Now()
	w.presence, w.rests, w.seen, w.lost = p, unpackRests(p.Rest, now), now, time.Time{}
	if p.Hello || !w.greeted {
		w.greeted = false
		o.kickConsumers()
	}
	if !p.Hello && p.Directory != w.updates {
		o.askHelloLocked(w)
	}
	o.recountLocked()
	o.fallBackFromLocked(w)
	o.giveUpLocked(w.Pools)
	o.rosterChangedLocked()
}

// maxStarts is how many starts of one joined worker an owner knows: the present one, and former ones that have yet to be
// missed. Each costs memory here, and the broker a consumer.
const maxStarts = 16

func (o *Owner) startsLocked(label string) (n int) {
	for id := range o.workers {
		if labelOf(id) == label {
			n++
		}
	}
	return n
}

// rosterChangedLocked wakes those who wait for the roster.
func (o *Owner) rosterChangedLocked() {
	close(o.beats)
	o.beats = make(chan struct{})
}

// askHelloLocked asks for a hello and a snapshot of the directory, at most once a second.
func (o *Owner) askHelloLocked(w *remote) {
	if now := time.Now(); now.Sub(w.asked) >= time.Second {
		w.asked = now
		o.sayLocked(downSubject(w.ID, verbHello), nil)
	}
}

// fallBackFromLocked lets jobs go that wait for a worker which will not claim them soon.
func (o *Owner) fallBackFromLocked(w *remote) {
	if w.sticky == 0 {
		return
	}
	full, now := w.Busy >= w.Slots, time.Now()
	for _, c := range o.calls {
		if c.phase != phaseSticky || c.home != w {
			continue
		}
		_, rests := w.restsFor(c.job.Model, now)
		if rests || w.Draining || !w.lost.IsZero() || full && c.job.NoWait {
			o.fallBackLocked(c)
		}
	}
}

// recountLocked keeps the pools' worker counts, and tells waiting calls when one of them became empty.
func (o *Owner) recountLocked() {
	count := make(map[string]int)
	for _, w := range o.workers {
		for _, name := range w.Pools {
			count[name]++
		}
	}
	for name := range count {
		if o.pools[name] == nil {
			o.pools[name] = &pool{}
			o.kickConsumers()
		}
	}
	for name, p := range o.pools {
		emptied := p.workers > 0 && count[name] == 0
		if p.workers = count[name]; emptied {
			p.emptySince = time.Now()
			o.rearmPoolLocked(name)
		}
	}
}

func (o *Owner) rearmPoolLocked(name string) {
	for _, c := range o.calls {
		if c.job.Pool == name {
			o.armLocked(c)
		}
	}
}

// onDisconnect is the fast way to learn of a worker's death. It may also be a short break, so only attempts that have
// produced nothing move at once; the others have until the end of lostGrace, and all of them when a node stopped and its
// workers are on their way to another.
func (o *Owner) onDisconnect(d Disconnect) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range o.workers {
		if w.Server == d.Server && w.Client == d.Client && w.lost.IsZero() {
			w.lost = time.Now()
			if !d.Evicted {
				o.fallBackFromLocked(w)
				o.loseAllLocked(w, false, "disconnected")
			}
		}
	}
}

// loseAllLocked gives up a worker's attempts, those that have produced content only when told so.
func (o *Owner) loseAllLocked(w *remote, content bool, why string) {
	for _, c := range o.calls {
		if c.phase == phaseRunning && c.worker.ID == w.ID && (content || !c.content) {
			o.loseLocked(c, why)
		}
	}
}

// dropLocked takes a worker off the roster, with its entries in the directory and its consumer. Its attempts have
// their own patience.
func (o *Owner) dropLocked(w *remote, why string) {
	o.log.Info().Str("worker", w.ID).Str("why", why).Msg("worker is gone")
	if w.lost.IsZero() {
		w.lost = time.Now()
	}
	delete(o.workers, w.ID)
	o.forgetLocked(w)
	o.fallBackFromLocked(w)
	o.recountLocked()
	o.giveUpLocked(w.Pools)
	o.kickConsumers()
	o.rosterChangedLocked()
}

// watch notices what nobody sends a message about.
func (o *Owner) watch() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-o.ctx.Done():
			return
		case d := <-o.disconnects:
			o.onDisconnect(d)
		case s, open := <-o.status:
			switch {
			case !open:
				return // the connection or the owner was closed
			case s == nats.CONNECTED:
				o.onConnected()
			default:
				o.onBroken()
			}
		case now := <-tick.C:
			o.sweep(now)
		}
	}
}

// onBroken begins the time in which nobody can be heard.
func (o *Owner) onBroken() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.cut.IsZero() {
		return
	}
	o.cut = time.Now()
	for _, c := range o.calls {
		o.armLocked(c)
	}
}

// noBrokerAtLocked is when waiting ends because the broker is out of reach, zero while it is not.
func (o *Owner) noBrokerAtLocked() time.Time {
	if o.cut.IsZero() {
		return time.Time{}
	}
	return o.cut.Add(breakLimit)
}

// CutOff tells whether the broker has been out of reach for longer than a break of the network that passes.
func (o *Owner) CutOff() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return passed(o.noBrokerAtLocked(), time.Now())
}

// onConnected follows a break: the broker may have restarted empty, and workers may have said hello to nobody.
func (o *Owner) onConnected() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.recheck, o.rejoined, o.cut = true, true, time.Time{}
	o.tending()
	for _, w := range o.workers {
		w.seen = time.Now() // it could not be heard
	}
	o.kickConsumers()
	o.sayLocked(downSubject(everyWorker, verbHello), nil)
}

func (o *Owner) sweep(now time.Time) {
	if !o.nc.IsConnected() {
		return // nobody can be heard; what runs has its own patience
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range o.workers {
		switch {
		case !w.lost.IsZero() && now.Sub(w.lost) >= lostGrace:
			o.dropLocked(w, "disconnected")
			o.loseAllLocked(w, true, "disconnected")
		case now.Sub(w.seen) >= beatsMissed:
			o.dropLocked(w, "not heard")
		}
	}
}

// greet asks the workers that are there for a hello, and waits a moment for the answers. Without any worker the broker
// says so at once.
func (o *Owner) greet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, greetingWait)
	defer cancel()
	inbox := o.nc.NewRespInbox()
	sub, err := o.nc.SubscribeSync(inbox)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := o.nc.PublishRequest(downSubject(everyWorker, verbHello), inbox, nil); err != nil {
		return err
	}
	o.awaitRoster(ctx, greeted(ctx, sub))
	return nil
}

// greeted collects the ids of those who answer, until there is quiet.
func greeted(ctx context.Context, sub *nats.Subscription) []string {
	var ids []string
	for {
		quiet, cancel := context.WithTimeout(ctx, greetingWait/5)
		m, err := sub.NextMsgWithContext(quiet)
		cancel()
		switch {
		case errors.Is(err, nats.ErrNoResponders):
			return nil
		case err != nil && (len(ids) > 0 || ctx.Err() != nil):
			return ids
		case err == nil:
			ids = append(ids, string(m.Data))
		}
	}
}

func (o *Owner) awaitRoster(ctx context.Context, ids []string) {
	for {
		o.mu.Lock()
		beats, missing := o.beats, 0
		for _, id := range ids {
			if o.workers[id] == nil {
				missing++
			}
		}
		o.mu.Unlock()
		if missing == 0 {
			return
		}
		select {
		case <-beats:
		case <-ctx.Done():
			return
		}
	}
}

// Workers returns the roster, by id.
func (o *Owner) Workers() []WorkerInfo {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make([]WorkerInfo, 0, len(o.workers))
	for _, w := range o.workers {
		all = append(all, WorkerInfo{
			ID: w.ID, Name: w.Name, Pools: w.Pools, Slots: w.Slots, Busy: w.Busy,
			Draining: w.Draining, Use: w.Use, Rests: w.rests, Version: w.Version, Info: w.Info, Seen: w.seen,
		})
	}
	slices.SortFunc(all, func(a, b WorkerInfo) int { return strings.Compare(a.ID, b.ID) })
	return all
}
