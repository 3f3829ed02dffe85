package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// password is the SHA-256 of the administrator's. The hash is a fast one: who could read
// it can read the configuration, and guesses at the door are counted.
type password [sha256.Size]byte

const hashed = "sha256:"

func parsePassword(text string) (p password, err error) {
	digits, isHash := strings.CutPrefix(text, hashed)
	if !isHash {
		if text == "" {
			return p, errors.New("the administrator's password is empty")
		}
		return sha256.Sum256([]byte(text)), nil
	}
	b, err := hex.DecodeString(digits)
	if err != nil || len(b) != len(p) {
		return p, fmt.Errorf("the administrator's password needs %d hexadecimal digits after %s", hex.EncodedLen(len(p)), hashed)
	}
	return password(b), nil
}

// matches takes as long for a wrong name as for a wrong password.
func (p password) matches(username, wantUsername, given string) bool {
	name, want, hash := sha256.Sum256([]byte(username)), sha256.Sum256([]byte(wantUsername)), sha256.Sum256([]byte(given))
	return subtle.ConstantTimeCompare(name[:], want[:])&subtle.ConstantTimeCompare(p[:], hash[:]) == 1
}

// LoadPassword returns the password in a file of mode 0600, which it makes with a random
// one if it is not there.
func LoadPassword(path string) (text string, made bool, err error) {
	text, err = ReadPassword(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return text, false, err
	}
	text = rand.Text()
	err = writePassword(path, text)
	if errors.Is(err, fs.ErrExist) { // another program was faster
		text, err = ReadPassword(path)
		return text, false, err
	}
	if err != nil {
		return "", false, fmt.Errorf("writing the administrator's password: %w", err)
	}
	return text, true, nil
}

// ReadPassword returns the password in a file that is readable by its owner only.
func ReadPassword(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("the administrator's password: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("the administrator's password in %s is open to others, mode %o", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the administrator's password: %w", err)
	}
	if password := strings.TrimRight(string(text), "\r\n"); password != "" {
		return password, nil
	}
	return "", fmt.Errorf("the administrator's password in %s is empty", path)
}

// writePassword goes through a temporary file, so that nobody reads half a password, and
// fails if the file is there.
func writePassword(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".password-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.WriteString(text + "\n")
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Link(temp.Name(), path)
}
