package queue

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	relayAccount  = "RELAY"
	systemAccount = "SYS"
	systemUser    = "system"

	// accounts is in the server's own language, because an account that is made in code has JetStream off until the
	// server runs, and a node of a cluster looks into its store before.
	accounts = "accounts { " + relayAccount + " { jetstream: enabled }, " + systemAccount + " {} }, system_account: " + systemAccount
)

// gate admits clients of the embedded server. The token of the file opens the relay's account from anywhere the
// listener is reachable; the process's own secret opens it, and the system account, only from inside the process.
type gate struct {
	token, secret string
	relay, system *server.Account // the server's copies of the ones in its options
}

func (g *gate) open(srv *server.Server) (err error) {
	if g.relay, err = srv.LookupAccount(relayAccount); err != nil {
		return fmt.Errorf("account %s: %w", relayAccount, err)
	}
	if g.system, err = srv.LookupAccount(systemAccount); err != nil {
		return fmt.Errorf("account %s: %w", systemAccount, err)
	}
	return nil
}

func (g *gate) Check(c server.ClientAuthentication) bool {
	opts := c.GetOpts()
	given := opts.Token
	if given == "" {
		given = opts.Password
	}
	switch {
	case sameSecret(given, g.secret) && inProcess(c):
		account, name := g.relay, "process"
		if opts.Username == systemUser {
			account, name = g.system, systemUser
		}
		c.RegisterUser(&server.User{Account: account, Username: name})
		return true
	case sameSecret(given, g.token):
		c.RegisterUser(&server.User{Account: g.relay, Username: "token"})
		return true
	}
	return false
}

func inProcess(c server.ClientAuthentication) bool {
	addr := c.RemoteAddress()
	return addr != nil && addr.Network() == "pipe"
}

func sameSecret(given, want string) bool {
	return want != "" && subtle.ConstantTimeCompare([]byte(given), []byte(want)) == 1
}

// loadToken reads the listener's token, or makes one.
func loadToken(path string) (string, error) {
	token, err := readToken(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return token, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("creating the token's folder: %w", err)
	}
	token = rand.Text()
	if err := writePrivate(path, []byte(token+"\n")); err != nil {
		return "", fmt.Errorf("writing the broker token: %w", err)
	}
	return token, nil
}

func readToken(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("reading the broker token: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("broker token %s is open to others, mode %o", path, info.Mode().Perm())
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the broker token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < 16 {
		return "", fmt.Errorf("broker token %s is shorter than 16 characters", path)
	}
	return token, nil
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
