package stats

import "maxrelay/session/chat"

// meanings are what the error codes of events mean, for people who read a list of
// requests. What the upstream or a caller said is never kept.
var meanings = map[chat.Code]string{
	chat.CodeInvalid:         "the request was not valid",
	chat.CodeContextLength:   "the conversation was longer than the model's context",
	chat.CodeModelNotFound:   "there is no such model",
	chat.CodeTooLarge:        "the request was too large",
	chat.CodeRateLimited:     "too many requests in a short time",
	chat.CodeQuota:           "the key's tokens were used up",
	chat.CodeUsageLimit:      "the account's usage limit was reached",
	chat.CodeOverloaded:      "the model's servers were overloaded",
	chat.CodeAccount:         "the operator's account was refused",
	chat.CodeInvalidOutput:   "the answer did not have the format that was asked for",
	chat.CodeWorkerFailed:    "the worker or the model's servers failed",
	chat.CodeQueueFull:       "too many requests were waiting",
	chat.CodeNoWorker:        "no worker was free in time",
	chat.CodeTurnTimeout:     "the answer took too long",
	chat.CodeCancelled:       "the client left before the end of the answer",
	chat.CodeUnauthenticated: "the API key was refused",
	chat.CodeForbidden:       "the key was not allowed to do this",
	chat.CodeNotFound:        "there was nothing at the path",
	chat.CodeMethod:          "the path does not take the method",
	chat.CodeInternal:        "the server made a mistake",
	chat.CodeKeyReused:       "the Idempotency-Key was used for another request",
	chat.CodeNotReady:        "the usage numbers were being gathered",
	chat.CodeKeyElsewhere:    "another node had the answer to the Idempotency-Key",
}

// Explain says what an event's error code means, "" where there is none.
func Explain(code string) string {
	if code == "" {
		return ""
	}
	if said, ok := meanings[chat.Code(code).Told()]; ok {
		return said
	}
	return "the request failed" // a code of another version
}
