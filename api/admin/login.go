package admin

import (
	"net/http"
	"time"
)

// login trades a password for a token. A request without one is no attempt.
func (a *Admin) login(w http.ResponseWriter, r *http.Request) error {
	username, given, ok := r.BasicAuth()
	if !ok {
		w.Header().Set("WWW-Authenticate", `Basic realm="maxrelay", charset="UTF-8"`)
		return unauthenticated("send the administrator's name and password as HTTP Basic authentication")
	}
	from := a.cfg.ClientAddr(r)
	if wait := a.attempts.begin(from); wait > 0 {
		return failure{status: http.StatusTooManyRequests, kind: "rate_limit_error", code: "rate_limit_exceeded",
			message: "too many failed sign-ins from this address: wait a minute", retryAfter: wait}
	}
	if !a.password.matches(username, a.cfg.Username, given) {
		a.log.Warn().Stringer("address", from).Str("request", requestID(w)).Msg("sign-in to management failed")
		w.Header().Set("WWW-Authenticate", `Basic realm="maxrelay", charset="UTF-8"`)
		return unauthenticated("wrong name or password")
	}
	a.attempts.succeed(from)
	token, err := a.tokens.issue()
	if err != nil {
		return err
	}
	// A sign-in changes nothing, so it is not refused when it cannot be written down.
	if err := a.note(w, r, Event{Action: "login"}); err != nil {
		a.log.Error().Err(err).Str("request", requestID(w)).Msg("a sign-in is not in the audit record")
	}
	return writeJSON(w, http.StatusOK, map[string]any{
		"access_token": token, "token_type": "bearer", "expires_in": int(tokenTTL / time.Second),
	})
}
