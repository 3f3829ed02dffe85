package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"maxrelay/api/failure"
	"maxrelay/queue"
	"maxrelay/session/chat"
)

// told returns what a client is told of an error of the queue; others are unchanged.
func told(err error) error {
	if full, ok := errors.AsType[queue.ErrQueueFull](err); ok {
		return &chat.Error{Code: chat.CodeQueueFull, Message: "too many requests wait for a worker already: try again later", RetryAfter: full.RetryAfter}
	}
	if rest, ok := errors.AsType[queue.ErrResting](err); ok {
		return toldOfRest(rest.RetryAfter)
	}
	for _, known := range queueErrors {
		if errors.Is(err, known.err) {
			return &chat.Error{Code: known.code, Message: known.message}
		}
	}
	return err
}

// toldOfRest: workers rest until their limits reset, or until somebody signs in.
func toldOfRest(left time.Duration) error {
	if left == 0 {
		return &chat.Error{Code: chat.CodeAccount, Message: "no worker is signed in: the operator of this server has to sign in its CLI"}
	}
	return &chat.Error{Code: chat.CodeUsageLimit, Message: "every account is at its usage limit: try again when the first of them resets", RetryAfter: left}
}

var queueErrors = []struct {
	err     error
	code    chat.Code
	message string
}{
	{queue.ErrNoWorker, chat.CodeNoWorker, "no worker is there to answer: try again later, or start one with maxrelay worker"},
	{queue.ErrNoBroker, chat.CodeNoWorker, "the message broker cannot be reached: try again later"},
	{queue.ErrDeadline, chat.CodeNoWorker, "no worker was free in time: try again later"},
	{queue.ErrStopping, chat.CodeNoWorker, "the server is stopping: try again"},
	{errStopping, chat.CodeNoWorker, "the server is stopping: try again"},
	{queue.ErrWorkerLost, chat.CodeWorkerFailed, "the worker that answered was lost: send the request again"},
	{queue.ErrSlowClient, chat.CodeCancelled, "the answer was not read fast enough"},
	{queue.ErrCancelled, chat.CodeCancelled, "the request was cancelled"},
	{context.Canceled, chat.CodeCancelled, "the request was cancelled"},
	{errAbandoned, chat.CodeCancelled, "the request was cancelled"},
}

// fail answers with an error, unless an answer has begun.
func (x *exchange) fail(err error) failure.Failure {
	f := x.failureOf(err)
	if x.status == 0 {
		x.refuse(f)
	}
	return f
}

// refuse writes an error as the whole answer.
func (x *exchange) refuse(f failure.Failure) {
	f.SetHeaders(x.Header())
	x.WriteHeader(f.Status)
	_, _ = x.Write(f.Body) // a client that left needs no error
}

// failStream writes an error as the last event of a stream.
func (x *exchange) failStream(err error) {
	_ = x.send(x.failureOf(err).Event) // nor does this one
}

// failureOf translates an error and notes its code.
func (x *exchange) failureOf(err error) failure.Failure {
	f := x.speaks.fail(told(err), x.label)
	x.code = f.Code
	return f
}

func (s *Server) notFound(_ *exchange, r *http.Request) error {
	if isManagement(r) {
		return &chat.Error{Code: chat.CodeNotFound, Message: "there is nothing at this path: management is POST /admin/login, /admin/api-keys, /admin/usage, /admin/workers, /admin/queue, /admin/sessions and /admin/audit"}
	}
	return &chat.Error{Code: chat.CodeNotFound, Message: "there is nothing at this path: see POST /v1/chat/completions, POST /v1/messages, GET /v1/models and GET /health"}
}

// noCount refuses to count tokens: only the Messages API counts as its models do, and a
// client would take the number of another tokenizer for one of theirs.
func noCount(*exchange, *http.Request) error {
	return &chat.Error{Code: chat.CodeNotFound, Message: "tokens are counted by Anthropic's API only, and this server has no key to it: the usage of an answer tells what its request took"}
}

func wrongMethod(routes *mux.Router, x *exchange, r *http.Request) error {
	allowed := methods(routes, r)
	x.Header().Set("Allow", strings.Join(allowed, ", "))
	return &chat.Error{Code: chat.CodeMethod, Message: "this path takes " + strings.Join(allowed, " or ") + " only"}
}

// allMethods are those that a route may have, or an upstream.
var allMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// methods returns those that the request's path has.
func methods(routes *mux.Router, r *http.Request) []string {
	return slices.DeleteFunc(slices.Clone(allMethods), func(method string) bool {
		probe := r.Clone(r.Context())
		probe.Method = method
		var m mux.RouteMatch
		return !routes.Match(probe, &m) || m.MatchErr != nil
	})
}
