package chat

import (
	"encoding/json"
	"fmt"
)

// EncodeRequest returns a job's body.
func EncodeRequest(r *Request) ([]byte, error) { return encode(r) }

// DecodeRequest reads a job's body.
func DecodeRequest(body []byte) (*Request, error) { return decode[Request](body, "request") }

// EncodeEvent returns a frame's payload.
func EncodeEvent(e Event) ([]byte, error) { return encode(e) }

// DecodeEvent reads a frame's payload.
func DecodeEvent(payload []byte) (Event, error) {
	e, err := decode[Event](payload, "event")
	if err == nil {
		err = e.check()
	}
	if err != nil {
		return Event{}, err
	}
	return *e, nil
}

// EncodeOutcome returns the data of a turn's end.
func EncodeOutcome(o Outcome) ([]byte, error) { return encode(o) }

// DecodeOutcome reads the data of a turn's end.
func DecodeOutcome(data []byte) (Outcome, error) {
	o, err := decode[Outcome](data, "outcome")
	if err == nil {
		err = o.check()
	}
	if err != nil {
		return Outcome{}, err
	}
	return *o, nil
}

// decode leaves the offending bytes out of its error: they may be prompt text.
func decode[T any](b []byte, what string) (*T, error) {
	v := new(T)
	if err := json.Unmarshal(b, v); err != nil {
		return nil, fmt.Errorf("%s of %d bytes does not decode: %T", what, len(b), err)
	}
	return v, nil
}
