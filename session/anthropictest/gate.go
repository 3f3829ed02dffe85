package anthropictest

import "sync"

// Gate holds replies after a number of deltas until the test lets them go, so that no test has to sleep.
type Gate struct {
	after   int
	reached chan struct{}
	open    chan struct{}
	reach   func()
	release func()
}

// NewGate holds after that many deltas; BeforeHeaders holds the whole answer.
func NewGate(after int) *Gate {
	g := &Gate{after: after, reached: make(chan struct{}), open: make(chan struct{})}
	g.reach = sync.OnceFunc(func() { close(g.reached) })
	g.release = sync.OnceFunc(func() { close(g.open) })
	return g
}

// Reached is closed when the first reply stands at the gate, everything before it being sent.
func (g *Gate) Reached() <-chan struct{} { return g.reached }

// Release lets all replies pass, those to come too.
func (g *Gate) Release() { g.release() }
