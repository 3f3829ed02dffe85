package key

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Record is a managed key as the broker keeps it. Those that a Store returns share their
// slices with it: replace them, do not write into them.
type Record struct {
	ID string `json:"id"`
	Settings
	Prefix    string    `json:"prefix"` // how the secret begins
	Active    bool      `json:"is_active"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	DeletedAt time.Time `json:"deleted_at,omitzero"`

	Hash   digest   `json:"hash"`
	Former []former `json:"former,omitempty"` // newest first

	revision uint64   // of the broker's entry
	networks Networks // AllowedIPs
}

// former is a secret that was replaced.
type former struct {
	Hash  digest    `json:"hash"`
	Until time.Time `json:"until"`
}

// maxFormer is how many replaced secrets a key keeps. More rotations within one grace
// time end the oldest's early.
const maxFormer = 8

// Mint returns a new key, which works once a Store has it, and its secret, which is
// nowhere else.
func Mint(s Settings, now time.Time) (Record, string) {
	secret, hash := newSecret()
	now = stamp(now)
	return Record{ID: newID(), Settings: s, Prefix: secret[:prefixLength], Active: true,
		CreatedAt: now, UpdatedAt: now, Hash: hash}, secret
}

// Rotate gives the key a new secret and returns it. The one it had works until the grace
// is over; so do those before it, unless their own ends sooner.
func (r *Record) Rotate(now time.Time, grace time.Duration) string {
	secret, hash := newSecret()
	until := stamp(now.Add(grace))
	ending := []former{{r.Hash, until}}
	for _, f := range r.Former {
		if f.Until.After(until) {
			f.Until = until
		}
		ending = append(ending, f)
	}
	ending = slices.DeleteFunc(ending, func(f former) bool { return !f.Until.After(now) })
	r.Former = ending[:min(len(ending), maxFormer)]
	r.Hash, r.Prefix, r.UpdatedAt = hash, secret[:prefixLength], stamp(now)
	return secret
}

// Deleted reports whether the key was deleted and kept for the books.
func (r Record) Deleted() bool { return !r.DeletedAt.IsZero() }

// Expired reports whether the key's time is over.
func (r Record) Expired(now time.Time) bool { return !r.ExpiresAt.IsZero() && !now.Before(r.ExpiresAt) }

// stamp keeps what JSON shows short.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func (r Record) identity() Identity {
	return Identity{ID: r.ID, Name: r.Name, Pool: r.Pool, Managed: true, Tier: r.Tier, TokenLimit: r.TokenLimit, AllowedModels: r.AllowedModels}
}

// admit says why a request with a secret of this key is refused, if it is. Whether the
// key works at all comes first, so that only its owner learns of its lists.
func (r Record) admit(hash digest, now time.Time, from netip.Addr, origin string) error {
	switch {
	case r.Deleted():
		return unauthenticated("the API key was deleted")
	case !r.Active:
		return unauthenticated("the API key is disabled")
	case r.Expired(now):
		return unauthenticated("the API key expired on " + r.ExpiresAt.Format(time.DateTime) + " UTC")
	case !r.accepts(hash, now):
		return unauthenticated("the API key was replaced by a new one")
	case !r.networks.Admit(from):
		return forbidden("the API key may not be used from this address")
	case len(r.AllowedOrigins) > 0 && !slices.Contains(r.AllowedOrigins, strings.ToLower(origin)):
		return forbidden("the API key may only be used by web pages of certain origins")
	}
	return nil
}

func (r Record) accepts(hash digest, now time.Time) bool {
	return hash == r.Hash || slices.ContainsFunc(r.Former, func(f former) bool { return f.Hash == hash && now.Before(f.Until) })
}

// hashes are those of all secrets that are told apart from unknown ones.
func (r Record) hashes() []digest {
	all := []digest{r.Hash}
	for _, f := range r.Former {
		all = append(all, f.Hash)
	}
	return all
}

// maxRecord is above what Settings.Validate lets through.
const maxRecord = 256 << 10

// decodeRecord refuses what it does not understand completely: a list of addresses that
// cannot be read must not let everybody in.
func decodeRecord(id string, data []byte, revision uint64) (Record, error) {
	r := Record{}
	if err := json.Unmarshal(data, &r); err != nil {
		return Record{}, errors.New("the record is not readable") // the decoder's own words may repeat a value
	}
	if r.ID != id || r.Hash == (digest{}) {
		return Record{}, errors.New("the record is not this key's")
	}
	if err := r.compile(); err != nil {
		return Record{}, fmt.Errorf("allowed_ips: %w", err)
	}
	r.revision = revision
	return r, nil
}

func (r *Record) compile() (err error) {
	r.networks, err = ParseNetworks(r.AllowedIPs)
	return err
}
