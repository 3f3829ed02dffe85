package admin

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"maxrelay/api/key"
	"maxrelay/queue"
	"maxrelay/session/chat"
)

// failure is an error as a client is told it. Its words hold nothing of what the client
// sent.
type failure struct {
	status     int
	kind       string // the envelope's type; "": invalid_request_error
	code       string // "": null
	param      string // the field at fault; "": null
	message    string
	retryAfter time.Duration
}

func (f failure) Error() string { return f.message }

func unauthenticated(message string) error {
	return failure{status: http.StatusUnauthorized, code: "invalid_credentials", message: message}
}

func invalid(field, message string) error {
	return failure{status: http.StatusUnprocessableEntity, code: "invalid_request", param: field, message: message}
}

var unknownKey = failure{status: http.StatusNotFound, code: "not_found", message: "there is no key with this id"}

// failureOf translates an error. Of one that is not known the client learns nothing.
func failureOf(err error) (f failure, known bool) {
	if f, ok := errors.AsType[failure](err); ok {
		return f, true
	}
	if wrong, ok := errors.AsType[*key.FieldError](err); ok {
		return invalid(wrong.Field, wrong.Message).(failure), true
	}
	if told, ok := errors.AsType[*chat.Error](err); ok {
		return failureOfChat(told)
	}
	if wrong, ok := errors.AsType[*queue.MemberError](err); ok {
		return invalid(wrong.Field, wrong.Message).(failure), true
	}
	switch {
	case isMemberAnswer(err):
		return failureOfMember(err), true
	case errors.Is(err, key.ErrUnknown):
		return unknownKey, true
	case errors.Is(err, key.ErrConflict):
		return failure{status: http.StatusConflict, kind: "conflict_error", code: "conflict",
			message: "the key was changed by somebody else at the same time: look at it and try again"}, true
	case errors.Is(err, queue.ErrUnknownWorker):
		return failure{status: http.StatusNotFound, code: "not_found", message: "there is no worker with this id"}, true
	case errors.Is(err, errBroker):
		return failure{status: http.StatusServiceUnavailable, kind: "service_unavailable", code: "broker_unavailable",
			message: "the broker did not answer, so this may not have been done: look and try again", retryAfter: 5 * time.Second}, false
	}
	return failure{status: http.StatusInternalServerError, kind: "api_error", code: "internal_error",
		message: "the server made a mistake; its log has the request id"}, false
}

// failureOfChat translates what routes of others tell.
func failureOfChat(e *chat.Error) (f failure, known bool) {
	switch e.Code {
	case chat.CodeInvalid:
		return invalid(e.Param, e.Message).(failure), true
	case chat.CodeNotReady:
		return failure{status: http.StatusServiceUnavailable, kind: "service_unavailable", code: string(e.Code), message: e.Message, retryAfter: 2 * time.Second}, true
	}
	return failure{status: http.StatusInternalServerError, kind: "api_error", code: "internal_error", message: e.Message}, false
}

// fail writes an error as the answer. The log has what the client is not told.
func (a *Admin) fail(w http.ResponseWriter, err error) {
	f, known := failureOf(err)
	if !known {
		a.log.Error().Err(err).Str("request", requestID(w)).Msg("management request failed")
	}
	if f.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((f.retryAfter+time.Second-1)/time.Second)))
	}
	_ = writeJSON(w, f.status, f.envelope()) // it can be marshalled
}

func (f failure) envelope() any {
	type detail struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	d := detail{Message: f.message, Type: cmp.Or(f.kind, "invalid_request_error")}
	if f.param != "" {
		d.Param, d.Message = &f.param, f.param+" "+f.message
	}
	if f.code != "" {
		d.Code = &f.code
	}
	return map[string]detail{"error": d}
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that left needs no error
	return nil
}
