// Package anthropictest is a fake of Anthropic's Messages API that records what it is asked and answers as it is told.
package anthropictest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Server is a running fake. Its methods may be called from any goroutine.
type Server struct {
	url        string
	http       *http.Server
	log        *log
	cache      *cache
	directives bool

	ids      atomic.Int64
	salt     string         // makes identifiers differ between servers
	closing  chan struct{}  // closed by Close: replies that wait give up
	handlers sync.WaitGroup // replies in progress

	mu    sync.Mutex
	rules []func(Request) *Reply // in order of Script's calls; guarded by mu
}

// Option changes how a Server behaves; see the functions that return one.
type Option func(*Server)

// WithDirectives lets the last user text say how it is to be answered, see package directive. The directives are:
//
//	[[echo]]                     the digest of the conversation and the text's head
//	[[tokens 50 delay 15ms]]     50 deltas, 15 ms before each
//	[[think 5 delay 5ms]]        5 thinking deltas first
//	[[tool Bash {"a":1}]]        a tool call; may be given several times
//	[[huge 5000000]]             one delta of that many bytes
//	[[status 529]]               an API error
//	[[refuse]] [[max_tokens]]    these stop reasons
//	[[lost after 2]]             the connection ends after two deltas
//	[[hang]] [[hang after 3]]    silence before the headers, or after three deltas
func WithDirectives() Option { return func(s *Server) { s.directives = true } }

// Keep bounds the record to the last n requests; 0, the default, keeps all.
func Keep(n int) Option { return func(s *Server) { s.log.keep = n } }

// WithClock sets the clock by which cached prefixes expire and requests are stamped.
func WithClock(now func() time.Time) Option {
	return func(s *Server) { s.log.now, s.cache.now = now, now }
}

// MinCacheTokens is the length below which a prefix is not cached; the default is the model's own.
func MinCacheTokens(n int) Option {
	return func(s *Server) { s.cache.min = func(string) int { return n } }
}

// Start serves on a free port of 127.0.0.1 until Close.
func Start(opts ...Option) (*Server, error) {
	s := &Server{log: newLog(), cache: newCache(), salt: rand.Text()[:10], closing: make(chan struct{})}
	for _, o := range opts {
		o(s)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	s.url = "http://" + l.Addr().String()
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	s.handlers.Go(func() { _ = s.http.Serve(l) }) // ends with ErrServerClosed
	return s, nil
}

// URL is the base address, the value of ANTHROPIC_BASE_URL.
func (s *Server) URL() string { return s.url }

// Close cuts all connections and returns when no reply is running any more.
func (s *Server) Close() {
	s.mu.Lock()
	select {
	case <-s.closing:
	default:
		close(s.closing)
	}
	s.mu.Unlock()
	_ = s.http.Close()
	s.handlers.Wait()
}

// Script adds a rule. The first rule that returns a reply decides; nil leaves the request to the next rule, and after the last
// one to the directives, if enabled, or to a short friendly answer.
func (s *Server) Script(rule func(Request) *Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, rule)
}

// Answer scripts one reply per request, in order; further requests go to the next rule.
func (s *Server) Answer(replies ...Reply) {
	var next atomic.Int64
	s.Script(func(Request) *Reply {
		i := int(next.Add(1)) - 1
		if i >= len(replies) {
			return nil
		}
		return &replies[i]
	})
}

// Unscript forgets all rules.
func (s *Server) Unscript() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = nil
}

func (s *Server) choose(r Request) Reply {
	s.mu.Lock()
	rules := s.rules[:len(s.rules):len(s.rules)]
	s.mu.Unlock()
	for _, rule := range rules {
		if reply := rule(r); reply != nil {
			return *reply
		}
	}
	if s.directives {
		if reply, ok := directed(Conversation(r)); ok {
			return reply
		}
	}
	return Say("Hello", " from", " the", " fake", " Messages", " API.")
}

// Requests is everything recorded so far, oldest first.
func (s *Server) Requests() []Request { return s.log.all() }

// Wait returns the n-th request, counted from 1 since the start or the last Reset, as soon as its body has been read.
func (s *Server) Wait(ctx context.Context, n int) (Request, error) {
	return s.log.wait(ctx, n, func(Request) bool { return true })
}

// WaitDone returns the n-th request as soon as it was answered in full or given up by either side.
func (s *Server) WaitDone(ctx context.Context, n int) (Request, error) {
	return s.log.wait(ctx, n, func(r Request) bool { return !r.Finished.IsZero() })
}

// Reset forgets the recorded requests and starts to count anew. Requests in progress stay forgotten.
func (s *Server) Reset() { s.log.reset() }

var errForgotten = errors.New("request is no longer kept")
