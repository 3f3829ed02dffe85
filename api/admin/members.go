package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/mux"

	"maxrelay/api/key"
	"maxrelay/queue"
)

// memberView is a worker that may join, or has.
type memberView struct {
	Name         string            `json:"name"`
	State        queue.MemberState `json:"state"`
	Pools        []string          `json:"pools"`
	AddedAt      time.Time         `json:"added_at"`
	InvitedUntil *time.Time        `json:"invited_until"`
	JoinedAt     *time.Time        `json:"joined_at"`
	ExpiresAt    *time.Time        `json:"expires_at"`
	RevokedAt    *time.Time        `json:"revoked_at"`
}

// invitedView is the one answer that has the invitation.
type invitedView struct {
	memberView
	Token string `json:"token"`
}

func (a *Admin) viewOfMember(m queue.Member) memberView {
	return memberView{Name: m.Name, State: m.State(a.cfg.Now()), Pools: list(m.Pools), AddedAt: m.Added,
		InvitedUntil: maybe(m.Invited), JoinedAt: maybe(m.Joined), ExpiresAt: maybe(m.Expires), RevokedAt: maybe(m.Revoked)}
}

func (a *Admin) memberViews() []memberView {
	views := []memberView{}
	if a.cfg.Members == nil {
		return views
	}
	for _, m := range a.cfg.Members.List() {
		views = append(views, a.viewOfMember(m))
	}
	return views
}

// memberDraft is a body that invites a worker.
type memberDraft struct {
	Name          string     `json:"name"`
	Pools         []string   `json:"pools"`
	ExpiresAt     *time.Time `json:"expires_at"`
	ExpiresInDays *int       `json:"expires_in_days"`
}

// parseMemberDraft refuses unknown fields: a misspelt pool would open the default one.
func parseMemberDraft(body []byte) (d memberDraft, err error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(&d)
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		return d, invalid(wrong.Field, "has another type")
	}
	if err != nil || decoder.More() {
		return d, failure{status: http.StatusUnprocessableEntity, code: "invalid_request",
			message: "the body is not a JSON object of name, pools, expires_at and expires_in_days"}
	}
	if d.Pools == nil {
		d.Pools = []string{key.DefaultPool}
	}
	return d, nil
}

func (d memberDraft) member(now time.Time) (queue.Member, error) {
	expires, err := d.expires(now)
	if err != nil {
		return queue.Member{}, err
	}
	return queue.NewMember(d.Name, d.Pools, expires)
}

// expires is zero for never.
func (d memberDraft) expires(now time.Time) (time.Time, error) {
	switch at, days := d.ExpiresAt, d.ExpiresInDays; {
	case at != nil && days != nil:
		return time.Time{}, invalid(expiresInDays, "and expires_at exclude each other")
	case at != nil && !at.After(now):
		return time.Time{}, invalid(expiresAt, "is in the past")
	case at != nil:
		return at.UTC(), nil
	case days != nil && (*days < 1 || *days > maxDays):
		return time.Time{}, invalid(expiresInDays, "must be a whole number between 1 and 36500")
	case days != nil:
		return now.UTC().AddDate(0, 0, *days).Truncate(time.Second), nil
	}
	return time.Time{}, nil
}

func (a *Admin) inviteWorker(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	if a.cfg.Members == nil {
		return errNobodyJoins
	}
	d, err := parseMemberDraft(body)
	if err != nil {
		return err
	}
	m, err := d.member(a.cfg.Now())
	if err != nil {
		return err
	}
	var token string
	err = a.noted(w, r, Event{Action: "invite", WorkerID: m.Name}, func(ctx context.Context) (err error) {
		m, token, err = a.cfg.Members.Add(ctx, m)
		return onMember(err)
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, invitedView{a.viewOfMember(m), token})
}

func (a *Admin) revokeWorker(w http.ResponseWriter, r *http.Request) error {
	if a.cfg.Members == nil {
		return errNobodyJoins
	}
	name := mux.Vars(r)["name"]
	if !slices.ContainsFunc(a.cfg.Members.List(), func(m queue.Member) bool { return m.Name == name }) {
		return queue.ErrUnknownMember
	}
	err := a.noted(w, r, Event{Action: "revoke", WorkerID: name}, func(ctx context.Context) error {
		return onMember(a.cfg.Members.Revoke(ctx, name))
	})
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, said{"the worker is revoked: its connections are closed, and what it ran moves to others"})
}

// errNobodyJoins is the answer where the broker is not ours.
var errNobodyJoins = errors.New("workers join the built-in broker only: who may use the server at nats.url is decided there")

// isMemberAnswer tells an answer of the registry from a failure of the broker.
func isMemberAnswer(err error) bool {
	answers := []error{queue.ErrMemberExists, queue.ErrUnknownMember, queue.ErrMemberRevoked, queue.ErrUnreachable, errNobodyJoins}
	return slices.ContainsFunc(answers, func(answer error) bool { return errors.Is(err, answer) })
}

func onMember(err error) error {
	if err == nil || isMemberAnswer(err) {
		return err
	}
	return fmt.Errorf("%w: %w", errBroker, err)
}

func failureOfMember(err error) failure {
	f := failure{status: http.StatusConflict, kind: "conflict_error", code: "conflict", message: err.Error()}
	switch {
	case errors.Is(err, queue.ErrUnknownMember):
		return failure{status: http.StatusNotFound, code: "not_found", message: "there is no such worker: none of this name has joined or may"}
	case errors.Is(err, queue.ErrMemberRevoked):
		return failure{status: http.StatusNotFound, code: "not_found", message: err.Error()}
	case errors.Is(err, queue.ErrUnreachable):
		f.message = "other machines cannot reach this node's broker: set nats.listen to an address that they reach, like 0.0.0.0:4222, and nats.advertise to what they call it"
	}
	return f
}
