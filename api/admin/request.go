package admin

import (
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"
)

// page is a part of a list.
type page[T any] struct {
	Items []T `json:"items"`
	Total int `json:"total"`
	Skip  int `json:"skip"`
	Limit int `json:"limit"`
}

const (
	defaultLimit = 100
	maxLimit     = 1000
	maxBody      = 64 << 10
)

// pageOf reads skip and limit. A larger limit than the largest is that one.
func pageOf(r *http.Request) (skip, limit int, err error) {
	if skip, err = number(r, "skip", 0, 0); err != nil {
		return 0, 0, err
	}
	limit, err = number(r, "limit", defaultLimit, 1)
	return skip, min(limit, maxLimit), err
}

func number(r *http.Request, name string, absent, least int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least {
		return 0, invalid(name, "must be a whole number, at least "+strconv.Itoa(least))
	}
	return n, nil
}

func flag(r *http.Request, name string) (bool, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return false, nil
	}
	set, err := strconv.ParseBool(text)
	if err != nil {
		return false, invalid(name, "must be true or false")
	}
	return set, nil
}

const (
	defaultGrace = 24 * time.Hour
	maxGrace     = 90 * 24 * time.Hour
)

// graceOf reads how long a replaced secret still works.
func graceOf(r *http.Request) (time.Duration, error) {
	text := r.URL.Query().Get("grace")
	if text == "" {
		return defaultGrace, nil
	}
	grace, err := time.ParseDuration(text)
	if err != nil || grace < 0 || grace > maxGrace {
		return 0, invalid("grace", "must be a duration like 24h, at most "+strconv.Itoa(int(maxGrace/time.Hour))+"h; 0 ends the old secret at once")
	}
	return grace, nil
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return nil, failure{status: http.StatusRequestEntityTooLarge, code: "request_too_large", message: "the body is larger than 64 KB"}
	}
	if err != nil {
		return nil, failure{status: http.StatusBadRequest, code: "invalid_request", message: "the body did not arrive"}
	}
	return body, nil
}

const requestHeader = "X-Request-Id"

// requestID is the one that the answer carries. It is made here if nobody did before.
func requestID(w http.ResponseWriter) string {
	id := w.Header().Get(requestHeader)
	if id == "" {
		id = "req_" + rand.Text()
		w.Header().Set(requestHeader, id)
	}
	return id
}
