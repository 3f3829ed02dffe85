package queue

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// loadSecret reads a secret of this machine, or keeps the one that is offered.
func loadSecret(path, offered string) (string, error) {
	secret, err := readToken(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return secret, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("creating the folder of secrets: %w", err)
	}
	if err := writePrivate(path, []byte(offered+"\n")); err != nil {
		return "", fmt.Errorf("writing %s: %w", path, err)
	}
	return offered, nil
}

func readToken(path string) (string, error) {
	text, err := readPrivate(path)
	if err != nil {
		return "", fmt.Errorf("reading the broker token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < 16 {
		return "", fmt.Errorf("broker token %s is shorter than 16 characters", path)
	}
	return token, nil
}

// readPrivate refuses a file that others could have read or written.
func readPrivate(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s is open to others, mode %o", path, info.Mode().Perm())
	}
	return os.ReadFile(path)
}

// writePrivate makes a file that only this user can read. It goes through a temporary one, because somebody may be
// waiting to read the real one.
func writePrivate(path string, data []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}
