package session

import (
	"context"
	"errors"
	"strings"
	"time"

	"maxrelay/session/chat"
)

// explain turns what ended a turn into the error that its owner is told, nil for a
// whole answer.
func explain(ctx context.Context, err error) *chat.Error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return &chat.Error{Code: chat.CodeCancelled, Message: "the request was given up before the answer was whole"}
	}
	if e, ok := errors.AsType[*chat.Error](err); ok {
		return e
	}
	switch {
	case errors.Is(err, errTooLong):
		return &chat.Error{Code: chat.CodeTurnTimeout, Message: "the answer took longer than a turn may take"}
	case errors.Is(err, errStalled):
		return &chat.Error{Code: chat.CodeUpstream, Message: "the model sent nothing for too long"}
	}
	return &chat.Error{Code: chat.CodeWorkerFailed, Message: "the process that was answering failed"}
}

// classify maps a failed result to a code. The upstream's status decides, where there
// is one; the CLI's own text is shown for a 400 only, as elsewhere it speaks to the
// operator (of logins, gateways, paths).
func classify(r result, class string, limit rateLimit) *chat.Error {
	status := 0
	if r.APIErrorStatus != nil {
		status = *r.APIErrorStatus
	}
	switch {
	case limit.Status == "rejected":
		return &chat.Error{Code: chat.CodeUsageLimit, RetryAfter: untilReset(limit),
			Message: "the account's usage limit is reached"}
	case r.TerminalReason == "prompt_too_long" || r.TerminalReason == "blocking_limit":
		return &chat.Error{Code: chat.CodeContextLength, Message: "the conversation is longer than the model's context window"}
	case status == 400:
		return &chat.Error{Code: chat.CodeInvalid, Message: upstreamMessage(r)}
	case status == 401 || status == 402 || status == 403 || class == "authentication_failed" || class == "billing_error":
		return &chat.Error{Code: chat.CodeAccount, Message: "the worker's account was refused by the upstream"}
	case status == 404:
		return &chat.Error{Code: chat.CodeModelNotFound, Message: "the upstream does not know this model, or the account may not use it"}
	case status == 413:
		return &chat.Error{Code: chat.CodeTooLarge, Message: "the upstream found the request too large"}
	case status == 429:
		return &chat.Error{Code: chat.CodeRateLimited, Message: "the upstream limits the rate of requests"}
	case status == 503 || status == 529:
		return &chat.Error{Code: chat.CodeOverloaded, Message: "the upstream is overloaded"}
	case status == 0 && !r.IsError:
		return &chat.Error{Code: chat.CodeUpstream, Message: "the model gave no answer"}
	}
	return &chat.Error{Code: chat.CodeUpstream, Message: "the upstream failed or the connection to it was lost"}
}

func untilReset(l rateLimit) time.Duration {
	if l.ResetsAt == 0 {
		return 0
	}
	return max(time.Until(time.Unix(l.ResetsAt, 0)), time.Second)
}

// upstreamMessage is the API's own text without the prefix that the CLI puts before it.
func upstreamMessage(r result) string {
	text, _ := r.Result.(string)
	text = strings.TrimPrefix(text, "API Error: ")
	text = strings.TrimSpace(strings.TrimPrefix(text, "400"))
	if text == "" {
		return "the upstream refused the request"
	}
	return text
}
