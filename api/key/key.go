// Package key tells who is calling: it maps the secret of a request to the identity that sessions, queues and counts go by.
package key

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
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
}

// Keys are the keys that are accepted. They do not change after New.
type Keys struct {
	required bool
	local    Identity
	byHash   map[[sha256.Size]byte]entry
}

// entry repeats its hash, because finding it in a map is not a comparison in constant
// time.
type entry struct {
	hash     [sha256.Size]byte
	identity Identity
}

// New returns the keys of a configuration: secrets in plain text, or sha256: and their
// hash in hexadecimal form. Only hashes are kept. With required unset, callers without
// a known key are Local. All belong to the pool.
func New(secrets []string, required bool, pool string) (*Keys, error) {
	k := &Keys{
		required: required,
		local:    Identity{ID: Local, Name: Local, Pool: pool},
		byHash:   make(map[[sha256.Size]byte]entry, len(secrets)),
	}
	for i, secret := range secrets {
		hash, err := hashOf(secret)
		if err != nil {
			return nil, fmt.Errorf("API key %d: %w", i+1, err)
		}
		id := "k_" + hex.EncodeToString(hash[:5])
		k.byHash[hash] = entry{hash, Identity{ID: id, Name: id, Pool: pool}}
	}
	return k, nil
}

func hashOf(secret string) (hash [sha256.Size]byte, err error) {
	digest, hashed := strings.CutPrefix(secret, "sha256:")
	if !hashed {
		if strings.TrimSpace(secret) == "" {
			return hash, errors.New("is empty")
		}
		return sha256.Sum256([]byte(secret)), nil
	}
	b, err := hex.DecodeString(digest)
	if err != nil || len(b) != len(hash) {
		return hash, fmt.Errorf("sha256: must be followed by %d hexadecimal digits", 2*len(hash))
	}
	return [sha256.Size]byte(b), nil
}

// Required reports whether a caller without a known key is refused.
func (k *Keys) Required() bool { return k.required }

// Identify returns who makes the request. Its error is a *chat.Error.
func (k *Keys) Identify(r *http.Request) (Identity, error) {
	secret := secretOf(r)
	hash := sha256.Sum256([]byte(secret))
	e, found := k.byHash[hash]
	switch {
	case found && subtle.ConstantTimeCompare(e.hash[:], hash[:]) == 1:
		return e.identity, nil
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
