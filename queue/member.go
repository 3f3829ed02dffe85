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

	// Invite is the SHA-256 of the one-time secret of its invitation, until it has joined.
	Invite  []byte    `json:"invite,omitempty"`
	Invited time.Time `json:"invited_until,omitzero"`
}

// maxMemberName leaves room in a subject's token for the suffix of a start.
const maxMemberName = 40

func (m *Member) validate() error {
	if !isToken(m.Name) || len(m.Name) > maxMemberName {
		return fmt.Errorf("a worker's name has 1 to %d letters, digits, - and _", maxMemberName)
	}
	if len(m.Pools) == 0 || len(m.Pools) > maxPools {
		return fmt.Errorf("a worker serves between 1 and %d pools", maxPools)
	}
	for _, pool := range m.Pools {
		if !isToken(pool) {
			return errors.New("a pool's name has letters, digits, - and _")
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

func (m Member) expired(now time.Time) bool { return passed(m.Expires, now) }

// invited tells whether the secret is that of its invitation.
func (m Member) invited(secret string, now time.Time) bool {
	sum := sha256.Sum256([]byte(secret))
	return m.Key == "" && len(m.Invite) > 0 && !passed(m.Invited, now) && !m.expired(now) &&
		subtle.ConstantTimeCompare(sum[:], m.Invite) == 1
}

// owns tells whether an id is one of this member's starts: its name, and six digits as newID makes them.
func (m Member) owns(id string) bool {
	const suffix = 1 + 2*idSuffix
	return len(id) == len(m.Name)+suffix && id[:len(m.Name)] == m.Name && id[len(m.Name)] == '-' && isToken(id)
}
