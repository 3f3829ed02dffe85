package limit

import (
	"net/http"
	"strconv"
	"time"

	"maxrelay/session/chat"
)

// Standing is how a key stands against its limits at one moment.
type Standing struct {
	Limits Limits

	RequestsLeft  int
	RequestsReset time.Duration // until the window is empty

	TokensLeft  int64
	TokensReset time.Duration // until midnight UTC; 0 for a lifetime's quota
}

// SetHeaders tells a client of the limits that its key has.
func (s Standing) SetHeaders(h http.Header) {
	if s.Limits.Rate.Requests > 0 {
		h.Set("X-Ratelimit-Limit-Requests", strconv.Itoa(s.Limits.Rate.Requests))
		h.Set("X-Ratelimit-Remaining-Requests", strconv.Itoa(s.RequestsLeft))
		h.Set("X-Ratelimit-Reset-Requests", seconds(s.RequestsReset))
	}
	if s.Limits.Tokens > 0 {
		h.Set("X-Ratelimit-Limit-Tokens", strconv.FormatInt(s.Limits.Tokens, 10))
		h.Set("X-Ratelimit-Remaining-Tokens", strconv.FormatInt(s.TokensLeft, 10))
	}
	if s.Limits.Tokens > 0 && s.Limits.Daily {
		h.Set("X-Ratelimit-Reset-Tokens", seconds(s.TokensReset))
	}
}

// seconds writes a duration as OpenAI does, like 6m0s, without fractions.
func seconds(d time.Duration) string {
	return max(0, (d + time.Second - 1).Truncate(time.Second)).String()
}

func untilMidnight(now time.Time) time.Duration {
	now = now.UTC()
	return time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, time.UTC).Sub(now)
}

// Refusal is the error of a request that is over a limit. It wraps a *chat.Error.
type Refusal struct {
	Standing
	reason *chat.Error
}

func (r *Refusal) Error() string { return r.reason.Error() }

func (r *Refusal) Unwrap() error { return r.reason }

func tooManyAtOnce(s Standing) error {
	return &Refusal{s, &chat.Error{
		Code: chat.CodeRateLimited, RetryAfter: time.Second,
		Message: "this key has as many requests running as it may: wait for one to end",
	}}
}

func tooManyRequests(s Standing, retryAfter time.Duration) error {
	return &Refusal{s, &chat.Error{
		Code: chat.CodeRateLimited, RetryAfter: max(retryAfter, time.Second),
		Message: "this key may make " + strconv.Itoa(s.Limits.Rate.Requests) + " requests in " + s.Limits.Rate.Period.String() + ": send this one again later",
	}}
}

func quotaUsedUp(s Standing) error {
	e := &chat.Error{Code: chat.CodeQuota, Message: "not enough is left of this key's tokens for this request: ask whoever gave you the key for more"}
	if s.Limits.Daily {
		e.Message = "not enough is left of this key's tokens of today for this request: there are new ones at midnight UTC"
		e.RetryAfter = s.TokensReset
	}
	return &Refusal{s, e}
}

// unavailable hides from the client what only the log's reader can use.
func unavailable() *chat.Error {
	return &chat.Error{Code: chat.CodeNoWorker, Message: "the broker cannot be reached: try again later"}
}
