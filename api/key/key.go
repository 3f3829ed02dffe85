// Package key tells who is calling: it maps the secret of a request to the identity that sessions, queues and counts go by.
package key

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"maxrelay/session/chat"
)

// Local is the built-in identity of callers without a known key, where none is needed.
const Local = "local"

// Identity is a caller. Its ID is made of letters, digits and _, so that it can be part
// of a broker subject, and tells nothing about the secret.
type Identity struct {
	ID   string
	Name string // for people
	Pool string // whose workers serve it

	Managed bool // the rest is a managed key's, zero otherwise

	Tier          string   // of its request rate
	TokenLimit    int64    // tokens of its whole life
	AllowedModels []string // as clients name them; none: every model
}

// MayUse reports whether the caller may ask for a model, by the name it asks with.
func (i Identity) MayUse(model string) bool {
	return len(i.AllowedModels) == 0 || slices.Contains(i.AllowedModels, model)
}

// Keys are the keys that are accepted: those of the configuration, which do not change
// after New, and those of a Store, which do.
type Keys struct {
	required bool
	local    Identity
	byHash   map[digest]entry
	managed  *Store // nil: none
}

// entry repeats its hash, because finding it in a map is not a comparison in constant
// time.
type entry struct {
	hash     digest
	identity Identity
}

// New returns the keys of a configuration: secrets in plain text, or sha256: and their
// hash in hexadecimal form. Only hashes are kept. With required unset, callers without
// a known key are Local. All belong to the pool; AddPool adds those of others.
func New(secrets []string, required bool, pool string) (*Keys, error) {
	k := &Keys{
		required: required,
		local:    Identity{ID: Local, Name: Local, Pool: pool},
		byHash:   make(map[digest]entry, len(secrets)),
	}
	return k, k.AddPool(pool, secrets)
}

// AddPool adds keys of a pool. It is for the time before the keys are used.
func (k *Keys) AddPool(pool string, secrets []string) error {
	for i, secret := range secrets {
		hash, err := hashOf(secret)
		if err != nil {
			return fmt.Errorf("API key %d: %w", i+1, err)
		}
		if e, known := k.byHash[hash]; known && e.identity.Pool != pool {
			return fmt.Errorf("API key %d: is in pool %s too", i+1, e.identity.Pool)
		}
		id := "k_" + hex.EncodeToString(hash[:5])
		k.byHash[hash] = entry{hash, Identity{ID: id, Name: id, Pool: pool}}
	}
	return nil
}

// With returns these keys and those of the store, which stays the caller's to close.
func (k *Keys) With(managed *Store) *Keys {
	both := *k
	both.managed = managed
	return &both
}

func hashOf(secret string) (hash digest, err error) {
	hexadecimal, hashed := strings.CutPrefix(secret, "sha256:")
	if !hashed {
		if strings.TrimSpace(secret) == "" {
			return hash, errors.New("is empty")
		}
		return sha256.Sum256([]byte(secret)), nil
	}
	if err := hash.UnmarshalText([]byte(hexadecimal)); err != nil {
		return hash, fmt.Errorf("sha256: must be followed by %d hexadecimal digits", 2*len(hash))
	}
	return hash, nil
}

// Behind reports whether what is known of the managed keys may be old.
func (k *Keys) Behind() bool { return k.managed != nil && k.managed.Behind() }

// Required reports whether a caller without a known key is refused.
func (k *Keys) Required() bool { return k.required }

// Callers are the identities that can be used now: the static keys', the managed ones'
// and, where no key is required, Local.
func (k *Keys) Callers() []Identity {
	var all []Identity
	if !k.required {
		all = append(all, k.local)
	}
	for _, e := range k.byHash {
		all = append(all, e.identity)
	}
	if k.managed != nil {
		all = append(all, k.managed.working()...)
	}
	return all
}

// Identify returns who makes the request, which came from the address. Its error is a
// *chat.Error. A managed key that may not be used is refused even where no key is
// required: who sends it is somebody, not anybody.
func (k *Keys) Identify(r *http.Request, from netip.Addr) (Identity, error) {
	secret := secretOf(r)
	hash := digest(sha256.Sum256([]byte(secret)))
	if e, found := k.byHash[hash]; found && subtle.ConstantTimeCompare(e.hash[:], hash[:]) == 1 {
		return e.identity, nil
	}
	if k.managed != nil {
		if identity, found, err := k.managed.identify(hash, from, r.Header.Get("Origin")); found {
			return identity, err
		}
	}
	switch {
	case !k.required:
		return k.local, nil
	case secret == "":
		return Identity{}, unauthenticated("no API key: send it as Authorization: Bearer KEY or as X-API-Key")
	}
	return Identity{}, unauthenticated("the API key is not known here, or no longer")
}

// secretOf prefers Authorization, which OpenAI's clients send.
func secretOf(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "bearer") && strings.TrimSpace(token) != "" {
		return strings.TrimSpace(token)
	}
	return strings.TrimSpace(r.Header.Get("X-API-Key"))
}

func unauthenticated(message string) error {
	return &chat.Error{Code: chat.CodeUnauthenticated, Message: message}
}

func forbidden(message string) error {
	return &chat.Error{Code: chat.CodeForbidden, Message: message}
}
