package main

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"
)

var (
	stormLasts = flag.Duration("chaos", time.Minute, "how long the fault suite has callers ask")
	stormEvery = flag.Duration("chaos-every", 0, "time between two faults of it; 0 for 2s, and 10s from five minutes on")
)

// A restart is noticed by nobody. Whatever fails, every request ends with its answer or an honest error: no answer is
// mixed, repeated, or cut without a word; each request is counted once; and nothing is
// left behind.
func TestEveryRequestEndsHonestlyWhateverFails(t *testing.T) {
	seed, every := *fleetSeed, *stormEvery
	if seed == 0 {
		seed = rand.Uint64()
	}
	if every == 0 {
		every = 2 * time.Second
		if *stormLasts >= 5*time.Minute {
			every = 10 * time.Second
		}
	}
	t.Logf("-seed=%d -chaos=%v -chaos-every=%v", seed, *stormLasts, every)
	s := openStorm(t, seed)
	before := s.quiet()
	s.mustRestartUnnoticed()
	s.blow(s.begun.Add(*stormLasts), every)
	s.mustBeQuietAgain(before)
	s.mustHaveEndedHonestly()
	s.mustHaveCounted()
	s.mustEndWithoutATrace()
	s.report()
}
