package queue

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nkeys"
)

// Member is a worker that may connect over the network: invited, or joined with a key of its own.
type Member struct {
	Name    string    `json:"name"`
	Pools   []string  `json:"pools"` // whose jobs it may take
	Key     string    `json:"nkey,omitempty"`
	Added   time.Time `json:"added"`
	Joined  time.Time `json:"joined,omitzero"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
	Revoked time.Time `json:"revoked,omitzero"` // kept until the name is given again

	// Invite is the SHA-256 of the one-time secret of its invitation, until it has joined.
	Invite  []byte    `json:"invite,omitempty"`
	Invited time.Time `json:"invited_until,omitzero"`
}

// maxMemberName leaves room in a subject's token for the suffix of a start.
const maxMemberName = 40

// MemberError says what is wrong with a member to be.
type MemberError struct{ Field, Message string }

func (e *MemberError) Error() string { return "member: " + e.Field + " " + e.Message }

// NewMember is a worker that has yet to be invited. Its error is a *MemberError.
func NewMember(name string, pools []string, expires time.Time) (Member, error) {
	m := Member{Name: name, Pools: pools, Expires: expires}
	return m, m.validate()
}

func (m *Member) validate() error {
	if !isToken(m.Name) || len(m.Name) > maxMemberName {
		return &MemberError{"name", fmt.Sprintf("must have 1 to %d letters, digits, - and _", maxMemberName)}
	}
	if len(m.Pools) == 0 || len(m.Pools) > maxPools {
		return &MemberError{"pools", fmt.Sprintf("must be between 1 and %d", maxPools)}
	}
	for _, pool := range m.Pools {
		if !isToken(pool) {
			return &MemberError{"pools", "must have names of letters, digits, - and _"}
		}
	}
	if m.Key != "" && !nkeys.IsValidPublicUserKey(m.Key) {
		return errors.New("the worker's key is none")
	}
	return nil
}

func parseMember(name string, data []byte) (Member, error) {
	var m Member
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("member: %w", err)
	}
	if m.Name != name {
		return m, errors.New("member: it has another name than its entry")
	}
	return m, m.validate()
}

// MemberState is how a member stands.
type MemberState string

// The states of a member. One whose invitation was not used in time has expired, too.
const (
	MemberInvited MemberState = "invited"
	MemberJoined  MemberState = "joined"
	MemberExpired MemberState = "expired"
	MemberRevoked MemberState = "revoked"
)

// State is how the member stands at a time.
func (m Member) State(now time.Time) MemberState {
	switch {
	case !m.Revoked.IsZero():
		return MemberRevoked
	case m.expired(now), m.Key == "" && passed(m.Invited, now):
		return MemberExpired
	case m.Key == "":
		return MemberInvited
	}
	return MemberJoined
}

func (m Member) expired(now time.Time) bool { return passed(m.Expires, now) }

// invited tells whether the secret is that of its invitation.
func (m Member) invited(secret string, now time.Time) bool {
	sum := sha256.Sum256([]byte(secret))
	return m.State(now) == MemberInvited && subtle.ConstantTimeCompare(sum[:], m.Invite) == 1
}

// owns tells whether an id is one of this member's starts: its name, and six digits as newID makes them.
func (m Member) owns(id string) bool {
	const suffix = 1 + 2*idSuffix
	return len(id) == len(m.Name)+suffix && id[:len(m.Name)] == m.Name && id[len(m.Name)] == '-' && isToken(id)
}
