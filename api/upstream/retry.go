package upstream

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// errTimeout is the cause of an attempt that had no headers in time.
var errTimeout = errors.New("no answer in time")

// verdict is what becomes of an attempt.
type verdict int

const (
	answer verdict = iota // it is the client's
	again                 // the same upstream may do better
	next                  // only another one may
)

// judge decides by the error or the headers, so before the client was shown anything.
//
// A timeout is not repeated: that upstream may still work on the request, and what is
// too slow once is so twice. x-should-retry is Anthropic's and overrides the status.
func judge(resp *http.Response, err error) verdict {
	switch {
	case errors.Is(err, errTimeout):
		return next
	case err != nil:
		return again
	case resp.StatusCode < 400:
		return answer
	}
	switch resp.Header.Get("X-Should-Retry") {
	case "true":
		return again
	case "false":
		return answer
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, statusOverloaded:
		return again
	case http.StatusUnauthorized, http.StatusForbidden:
		return next
	}
	return answer
}

const (
	// maxBackoff bounds the pauses that nobody asked for.
	maxBackoff = 8 * time.Second

	// maxRetryAfter is the longest pause that is waited for here. Told to come back
	// later than that, the client decides, unless there is another upstream.
	maxRetryAfter = time.Minute
)

// backoff is the pause before retry number n, from 0: as told, else twice the one before
// it, with up to a quarter taken off so that many do not come back at once.
func backoff(h http.Header, first time.Duration, n int, now time.Time) time.Duration {
	if told, ok := retryAfter(h, now); ok {
		return told
	}
	wait := min(first<<min(n, 10), maxBackoff)
	return wait - rand.N(wait/4+1)
}

// retryAfter reads retry-after-ms, which Anthropic's SDKs prefer, and retry-after in
// seconds or as a date (RFC 9110, section 10.2.3).
func retryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	if wait, ok := inUnits(h.Get("Retry-After-Ms"), time.Millisecond); ok {
		return wait, true
	}
	text := h.Get("Retry-After")
	if wait, ok := inUnits(text, time.Second); ok {
		return wait, true
	}
	date, err := http.ParseTime(text)
	return max(date.Sub(now), 0), err == nil
}

func inUnits(text string, unit time.Duration) (time.Duration, bool) {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0) {
		return 0, false
	}
	return time.Duration(min(n*float64(unit), float64(1<<60))), true
}

// pause waits unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
