package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"maxrelay/api/limit"
	"maxrelay/api/upstream"
	"maxrelay/session/chat"
	"maxrelay/stats"
)

// ours are the paths that are never passed on, with all that is below them: what is not
// there is nowhere.
var ours = []string{healthRoute, metricsRoute, modelsRoute, "/v1/chat", "/api", "/admin", "/dashboard"}

func isOurs(path string) bool {
	return slices.ContainsFunc(ours, func(own string) bool { return below(own, path) })
}

// below reports whether a path is the root or one of those under it.
func below(root, path string) bool { return path == root || strings.HasPrefix(path, root+"/") }

// elsewhere is what a path that has no route stands for: something at an upstream, unless
// it is one of ours.
func (s *Server) elsewhere(x *exchange, r *http.Request) error {
	if !s.isForwarded(r.URL.Path) {
		return s.withKey(s.notFound)(x, r)
	}
	x.route = forwardRoute(r.URL.Path)
	return s.authenticated(s.forward)(x, r)
}

// isForwarded is asked about paths that have no route.
func (s *Server) isForwarded(path string) bool { return s.forwarder.Configured() && !isOurs(path) }

// forwardRoute keeps the paths of callers out of logs, records and metrics.
func forwardRoute(path string) string {
	if path == messagesRoute || path == countRoute {
		return path
	}
	return "/*"
}

// forward passes a request on to an upstream. The key is known, and now come the body,
// the key's list of models, and its limits, in this order.
func (s *Server) forward(x *exchange, r *http.Request) error {
	if err := s.forwarder.Check(x.Header(), r); err != nil {
		return err
	}
	defer s.letGo(x)
	body, err := s.readBody(x, r)
	if err != nil {
		return err
	}
	asked, err := upstream.Look(body)
	if err != nil {
		return err
	}
	if err := s.mayForward(x, r, asked); err != nil {
		return err
	}
	ticket, err := s.admit(r.Context(), x, limit.Ask{Free: !asked.UsesModel(r), Input: int64(asked.Input), MaxTokens: int64(asked.MaxTokens)})
	if err != nil {
		return err
	}
	p := &passage{server: s, x: x, r: r, size: len(body), ticket: ticket, asked: asked}
	return p.serve(body)
}

// mayForward refuses what the caller's key does not allow, and what would be used without
// being counted.
func (s *Server) mayForward(x *exchange, r *http.Request, asked upstream.Asked) error {
	if asked.Model != "" {
		return allowModel(x.identity, asked.Model)
	}
	if r.URL.Path == messagesRoute && r.Method == http.MethodPost {
		return chat.Invalid("model", "is required: the name of a model, in a JSON object")
	}
	bounded := s.limits.LimitsOf(x.identity).Tokens > 0 || len(x.identity.AllowedModels) > 0
	if bounded && !asked.Counted(r) {
		return forbidden("this request names no model, so what it uses cannot be counted, and the API key has a limit or a list of models")
	}
	return nil
}

// passage is a request that is passed on. It belongs to the goroutine of the request.
type passage struct {
	server *Server
	x      *exchange
	r      *http.Request
	size   int // of the body
	asked  upstream.Asked
	ticket *limit.Ticket
	result upstream.Result
	served bool // else a panic came between
	booked bool
}

// serve answers the request and books it, whatever happens. An answer that was cut is cut
// for the client too, when it is booked.
func (p *passage) serve(body []byte) (err error) {
	if note := p.server.cfg.Noted; note != nil && p.asked.UsesModel(p.r) {
		note(p.x.id, upstream.FirstMessage(body))
	}
	ctx := context.WithoutCancel(p.r.Context())
	defer func() { p.book(ctx, 0) }()
	p.result, err = p.server.forwarder.Serve(refunding{p.x, p}, p.r, body, p.asked, p.x.identity)
	p.served, p.x.code = true, string(p.result.Code.Told())
	switch {
	case errors.Is(err, upstream.ErrCut):
		panic(http.ErrAbortHandler)
	case err != nil:
		p.refuse(ctx, err)
	}
	return nil
}

// refuse tells the client why there is no answer, and what is left without the reservation.
func (p *passage) refuse(ctx context.Context, err error) {
	f := p.x.failureOf(err)
	p.result.Status = f.Status
	p.book(ctx, len(f.Body))
	p.server.stand(p.x)
	p.x.refuse(f)
}

// refunding is where an upstream's answer goes. An error costs nothing, so what was
// reserved is given back before its header tells what is left.
type refunding struct {
	*exchange
	p *passage
}

// WriteHeader comes once: informational answers are kept back.
func (w refunding) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		w.p.server.settle(context.WithoutCancel(w.p.r.Context()), w.exchange, w.p.ticket, 0)
		w.p.server.stand(w.exchange)
	}
	w.exchange.WriteHeader(status)
}

// book settles the ticket when so many bytes of the answer are unsent. What asks no model
// leaves no usage event.
func (p *passage) book(ctx context.Context, unsent int) {
	if p.booked {
		return
	}
	p.booked = true
	if !p.asked.UsesModel(p.r) {
		p.server.meters.failure(p.result.Code.Told())
		p.server.settle(ctx, p.x, p.ticket, 0)
		return
	}
	e := p.event()
	e.ResponseBytes += int64(unsent)
	p.server.book(ctx, p.x, p.ticket, e)
}

func (p *passage) event() stats.Event {
	x, result := p.x, p.result
	e := stats.Event{
		ID: x.id, Label: x.sentLabel(), Time: x.asked.UTC(), KeyID: x.identity.ID, Method: p.r.Method, Path: x.route,
		Model: p.asked.Model, Upstream: result.Answered, Stream: p.asked.Stream,
		Status: cmp.Or(result.Status, x.status, http.StatusInternalServerError), ErrorCode: string(result.Code.Told()),
		Attempts: result.Attempts, DurationMS: time.Since(x.start).Milliseconds(),
		Usage: result.Usage, Estimated: result.Estimated,
		RequestBytes: int64(p.size), ResponseBytes: x.sent,
	}
	if !result.First.IsZero() {
		e.FirstMS = max(1, result.First.Sub(x.start).Milliseconds())
	}
	if !p.served {
		e.ErrorCode = string(chat.CodeInternal)
	}
	return e
}
