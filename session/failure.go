package session

import (
	"context"
	"errors"
	"strings"

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

// notice is a message that the CLI made up in the model's place. Its words are for the
// CLI's own user.
type notice struct {
	class string // of the failure
	kind  string // a finer one, for some
	text  string
	limit rateLimit // of a usage limit
}

func noticeOf(l *line) notice {
	n := notice{class: l.Error, kind: l.APIError, limit: l.ErrorParams.RateLimit}
	for _, b := range blocksOf(l.Message.Content) {
		n.text += b.Text
	}
	return n
}

// classify says what a turn without an answer failed of. event is the latest that the
// CLI said of its account's limits.
func classify(r result, n notice, event rateLimit) *chat.Error {
	code := codeOf(r, n)
	if code == chat.CodeRateLimited || code == chat.CodeUsageLimit {
		code = limitCode(n, event)
	}
	e := &chat.Error{Code: code, Message: words[code]}
	switch {
	case code == chat.CodeUsageLimit:
		e.RetryAfter = reached(n, event).left()
	case code == chat.CodeInvalid && n.kind == "":
		e.Message = upstreamMessage(r, e.Message)
	case code == chat.CodeUpstream && r.status() == 0 && !r.IsError:
		e.Message = "the model gave no answer"
	}
	return e
}

// codeOf looks a failure up, from what tells it finest to what tells it coarsest.
func codeOf(r result, n notice) chat.Code {
	for _, found := range []chat.Code{kinds[n.kind], endings[r.TerminalReason], classes[n.class], statuses[r.status()]} {
		if found != "" {
			return found
		}
	}
	if told := toldBy(n.text); told != "" {
		return told
	}
	return chat.CodeUpstream
}

// status is the upstream's, also where an error event told it that came in a stream
// begun with status 200.
func (r result) status() int {
	if r.APIErrorStatus != nil {
		return *r.APIErrorStatus
	}
	return errorTypes[r.APIErrorType]
}

// The Claude Code 2.1.330 words that decide a failure's code. The account is to blame for
// whatever its operator has to set right.
var (
	kinds = map[string]chat.Code{
		"usage_limit_reached":           chat.CodeUsageLimit,
		"message_over_context_limit":    chat.CodeContextLength,
		"media_removed":                 chat.CodeInvalid,
		"pdf_too_large":                 chat.CodeInvalid,
		"pdf_password_protected":        chat.CodeInvalid,
		"dlp_request_denied":            chat.CodeInvalid,
		"api_key_auth_disabled":         chat.CodeAccount,
		"claude_code_version_too_old":   chat.CodeAccount,
		"gateway_session_expired":       chat.CodeAccount,
		"gateway_signin_required":       chat.CodeAccount,
		"invalid_credential_header":     chat.CodeAccount,
		"long_context_credits_required": chat.CodeAccount,
		"model_requires_usage_credits":  chat.CodeAccount,
		"oauth_refresh_store_refused":   chat.CodeAccount,
		"org_disabled_credential":       chat.CodeAccount,
		"provider_credentials":          chat.CodeAccount,
		"stored_login_refused":          chat.CodeAccount,
	}
	endings = map[string]chat.Code{
		"prompt_too_long": chat.CodeContextLength, // the upstream's verdict
		"blocking_limit":  chat.CodeContextLength, // the CLI's own, without a call
	}
	classes = map[string]chat.Code{
		"account_on_hold":        chat.CodeAccount,
		"authentication_failed":  chat.CodeAccount,
		"billing_error":          chat.CodeAccount,
		"cloud_credential_error": chat.CodeAccount,
		"oauth_org_not_allowed":  chat.CodeAccount,
		"verification_required":  chat.CodeAccount,
		"model_not_found":        chat.CodeModelNotFound,
		"overloaded":             chat.CodeOverloaded,
		"rate_limit":             chat.CodeRateLimited,
	}
)

// statuses maps what is left to the upstream's status; 500 and what is not here failed
// for reasons of the upstream's own.
var statuses = map[int]chat.Code{
	400: chat.CodeInvalid,
	401: chat.CodeAccount,
	402: chat.CodeAccount,
	403: chat.CodeAccount,
	404: chat.CodeModelNotFound,
	413: chat.CodeTooLarge,
	429: chat.CodeRateLimited,
	503: chat.CodeOverloaded,
	529: chat.CodeOverloaded,
}

// errorTypes has the status that the Messages API gives to each type of its errors.
var errorTypes = map[string]int{
	"invalid_request_error": 400,
	"authentication_error":  401,
	"billing_error":         402,
	"permission_error":      403,
	"not_found_error":       404,
	"request_too_large":     413,
	"rate_limit_error":      429,
	"api_error":             500,
	"timeout_error":         504,
	"overloaded_error":      529,
}

// words are what a client is told. They name no account, path or address of the worker's.
var words = map[chat.Code]string{
	chat.CodeInvalid:       "the upstream refused the request: a message, an image or a document is not as it must be",
	chat.CodeContextLength: "the conversation is longer than the model's context window",
	chat.CodeAccount:       "the worker's account was refused by the upstream",
	chat.CodeModelNotFound: "the upstream does not know this model, or the account may not use it",
	chat.CodeTooLarge:      "the upstream found the request too large",
	chat.CodeRateLimited:   "the upstream limits the rate of requests",
	chat.CodeUsageLimit:    "the account's usage limit is reached",
	chat.CodeOverloaded:    "the upstream is overloaded",
	chat.CodeUpstream:      "the upstream failed or the connection to it was lost",
}

// longestMessage bounds what is passed on of an upstream's text.
const longestMessage = 2000

// upstreamMessage is the API's own text without what the CLI puts before it, or other
// when the words are the CLI's.
func upstreamMessage(r result, other string) string {
	text, _ := r.Result.(string)
	text, own := strings.CutPrefix(text, "API Error: ")
	if r.APIErrorStatus != nil {
		text, own = strings.CutPrefix(text, "400 ")
	}
	if text = strings.TrimSpace(text); !own || text == "" {
		return other
	}
	if len(text) > longestMessage {
		text = strings.ToValidUTF8(text[:longestMessage], "") + "…"
	}
	return text
}
