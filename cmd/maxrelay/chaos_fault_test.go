package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// fault is something that fails, and is healed.
type fault struct {
	kind  *kindOfFault
	at    time.Duration // planned, from the first caller on
	lasts time.Duration // how long until it is healed, at least
	pick  uint64        // of whatever there is to choose from

	station  *station
	from, to time.Time // written before the storm is over, under its mutex
}

const (
	shortestFault = 500 * time.Millisecond
	longestFault  = 5 * time.Second
)

// planFaults is a list that the seed alone decides. Kinds come like cards of a deck,
// so that in a long storm each has come as often as any other.
func planFaults(seed uint64, lasts, every time.Duration) (plan []*fault) {
	rng := rand.New(rand.NewPCG(seed, 0))
	var deck []*kindOfFault
	for at := every; at < lasts-longestFault; at += every {
		if len(deck) == 0 {
			for i := range kindsOfFault {
				deck = append(deck, &kindsOfFault[i])
			}
			rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		x := &fault{kind: deck[0], at: at, pick: rng.Uint64(), lasts: shortestFault + time.Duration(rng.Int64N(int64(longestFault-shortestFault)))}
		deck = deck[1:]
		plan = append(plan, x)
	}
	return plan
}

// strikeAll executes the plan; a fault whose victim is still in another one waits for it.
func (s *storm) strikeAll(ctx context.Context, begun time.Time, plan []*fault) {
	for _, x := range plan {
		select {
		case <-time.After(time.Until(begun.Add(x.at))):
			s.work.Go(func() { s.strike(ctx, x) })
		case <-ctx.Done():
			return
		}
	}
}

func (s *storm) strike(ctx context.Context, x *fault) {
	all := s.workers
	if x.kind.atNode {
		all = s.nodes
	}
	x.station = all[x.pick%uint64(len(all))]
	x.station.busy.Lock()
	defer x.station.busy.Unlock()
	if x.kind.away && x.kind.atNode {
		s.away.Lock()
		defer s.away.Unlock()
	}
	if ctx.Err() != nil { // waited too long
		return
	}
	s.mu.Lock()
	x.from = time.Now()
	s.faults = append(s.faults, x)
	s.mu.Unlock()
	err := x.kind.do(x)
	s.mu.Lock()
	x.to = time.Now()
	s.mu.Unlock()
	s.t.Logf("%v to %v: %s %s", s.since(x.from), s.since(x.to), x.station.name, x.kind.name)
	if err != nil {
		s.t.Errorf("%s %s: %v", x.station.name, x.kind.name, err)
	}
}

// aftermath is how long a fault may show after it was healed: that a link was silent is
// found out by the next ping, 5 s apart, and that a worker was lost by 8 s of silence.
const aftermath = 10 * time.Second

// explains reports whether the fault is a reason why this request failed.
func (x *fault) explains(e *ending) bool {
	if x.from.After(e.over) || x.to.Add(aftermath).Before(e.asked) {
		return false
	}
	switch e.how {
	case broken:
		return x.kind.breaks && x.station == e.node
	case told: // a job does not move any more
		return x.station.name == e.worker() || x.kind.atNode && x.kind.away
	default:
		return !x.kind.local
	}
}

func (s *storm) explained(e *ending) bool {
	return slices.ContainsFunc(s.faults, func(x *fault) bool { return x.explains(e) })
}
