// Package linktest is a stretch of network for tests: a TCP proxy whose weather the test makes.
//
// Bytes are never lost, as in TCP: they arrive, or wait, or the connection breaks.
package linktest

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// Weather is what a link is like. Its zero value is fair.
type Weather struct {
	Cut  bool // connections break, and new ones are refused
	Up   Pace // of bytes from the client
	Down Pace
}

// Pace is how bytes pass.
type Pace int

// The paces.
const (
	Free Pace = iota
	Slow      // SlowPause, then SlowChunk bytes
	Held      // not at all, until it changes; neither does the end of a connection
)

// What Slow is: 50 KB/s.
const (
	SlowChunk = 512
	SlowPause = 10 * time.Millisecond
)

// Link is a proxy in front of one address. It is closed with its test.
type Link struct {
	listen net.Listener
	ctx    context.Context
	end    context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	target  string
	weather Weather
	news    chan struct{} // closed and replaced at each change of the weather
	open    map[*passage]bool
	refused map[string]bool // addresses of clients whose connection led nowhere
}

// New opens a link to target; "" is a host where nobody listens.
func New(t testing.TB, target string) *Link {
	t.Helper()
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Link{listen: listen, target: target, news: make(chan struct{}), open: make(map[*passage]bool), refused: make(map[string]bool)}
	l.ctx, l.end = context.WithCancel(context.Background())
	l.work.Go(l.accept)
	t.Cleanup(l.close)
	return l
}

func (l *Link) close() {
	l.end()
	_ = l.listen.Close()
	l.breakAll()
	l.work.Wait()
}

// Addr is where clients connect.
func (l *Link) Addr() string { return l.listen.Addr().String() }

// LeadTo changes where new connections go.
func (l *Link) LeadTo(target string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.target = target
}

// Turn changes the weather.
func (l *Link) Turn(w Weather) {
	l.mu.Lock()
	l.weather = w
	close(l.news)
	l.news = make(chan struct{})
	l.mu.Unlock()
	if w.Cut {
		l.breakAll()
	}
}

func (l *Link) breakAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.open {
		p.cut()
	}
}

// Refused reports whether the client's connection was broken before it led anywhere, so
// that nobody has seen a byte of it. A proxy has to accept before it can refuse.
func (l *Link) Refused(client net.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused[client.String()]
}

func (l *Link) accept() {
	for {
		client, err := l.listen.Accept()
		if err != nil {
			return
		}
		l.work.Go(func() { l.serve(client.(*net.TCPConn)) })
	}
}

func (l *Link) serve(client *net.TCPConn) {
	p := &passage{link: l, client: client, server: l.dial()}
	p.ctx, p.end = context.WithCancel(l.ctx)
	if !l.enter(p) {
		p.cut()
		return
	}
	defer p.close()
	defer l.leave(p)
	var ways sync.WaitGroup
	ways.Go(func() { p.carry(p.server, client, func(w Weather) Pace { return w.Up }) })
	ways.Go(func() { p.carry(client, p.server, func(w Weather) Pace { return w.Down }) })
	ways.Wait()
}

// dial returns nil when nobody listens.
func (l *Link) dial() *net.TCPConn {
	l.mu.Lock()
	target := l.target
	l.mu.Unlock()
	var d net.Dialer
	server, err := d.DialContext(l.ctx, "tcp", target)
	if err != nil {
		return nil
	}
	return server.(*net.TCPConn)
}

// enter reports whether the passage may be used.
func (l *Link) enter(p *passage) bool {
	client := p.client.RemoteAddr().String()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.refused, client) // an earlier connection from there
	if p.server == nil || l.weather.Cut || l.ctx.Err() != nil {
		l.refused[client] = true
		return false
	}
	l.open[p] = true
	return true
}

func (l *Link) leave(p *passage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, p)
}
