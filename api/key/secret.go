package key

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"regexp"
	"strings"
)

const (
	secretStart  = "sk-proxy-"
	secretBytes  = 32
	prefixLength = 12 // of a secret, shown to tell keys apart: 15 of its 256 bits
)

// digest is the SHA-256 of a secret, all that is kept of it. A managed secret is 256
// random bits, so no salt and no slow hash is needed: there is nothing to guess. Neither
// is a lookup in constant time: how long one takes tells of the hash of a guess, and
// nobody can choose guesses by their hashes.
type digest [sha256.Size]byte

// MarshalText writes hexadecimal digits.
func (d digest) MarshalText() ([]byte, error) {
	return hex.AppendEncode(nil, d[:]), nil
}

// UnmarshalText reads what MarshalText writes. Its error does not repeat the text.
func (d *digest) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(d)) {
		return errors.New("a digest has another length")
	}
	if _, err := hex.Decode(d[:], text); err != nil {
		return errors.New("a digest has other characters than hexadecimal digits")
	}
	return nil
}

func newSecret() (secret string, hash digest) {
	random := make([]byte, secretBytes)
	rand.Read(random) // never fails
	secret = secretStart + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(random))
	return secret, sha256.Sum256([]byte(secret))
}

// idStart keeps the ids of managed keys apart from those of the configuration's, k_….
const idStart = "key_"

var idForm = regexp.MustCompile(`^key_[a-z2-7]{16}$`)

func newID() string { return idStart + strings.ToLower(rand.Text()[:16]) }
