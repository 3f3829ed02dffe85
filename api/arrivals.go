package api

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// arrivals are the connections of a door whose first request has not come to its handler
// yet. A server that is told to shut down drops what it reads afterwards (net/http, Go
// 1.26), so whoever shuts it down waits for them before.
type arrivals struct {
	mu   sync.Mutex
	open map[net.Conn]bool
	left chan struct{} // has a token when one has left
}

func newArrivals() *arrivals {
	return &arrivals{open: make(map[net.Conn]bool), left: make(chan struct{}, 1)}
}

// watch makes the server tell of its connections.
func (a *arrivals) watch(server *http.Server) {
	type connection struct{}
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.open[c] = true
		return context.WithValue(ctx, connection{}, c)
	}
	server.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			a.leave(c)
		}
	}
	next := server.Handler
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connection{}).(net.Conn); ok { // a test's request has none
			a.leave(c)
		}
		next.ServeHTTP(w, r)
	})
}

func (a *arrivals) leave(c net.Conn) {
	a.mu.Lock()
	delete(a.open, c)
	a.mu.Unlock()
	select {
	case a.left <- struct{}{}:
	default: // somebody will look anyway
	}
}

func (a *arrivals) none() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.open) == 0
}

// arrivalWait bounds the wait for connections on which nothing may ever be sent, as
// browsers open them ahead.
const arrivalWait = 2 * time.Second

// settle waits until there are none. It has one caller at a time.
func (a *arrivals) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, arrivalWait)
	defer cancel()
	for !a.none() {
		select {
		case <-a.left:
		case <-ctx.Done():
			return
		}
	}
}
