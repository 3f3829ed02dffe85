package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"maxrelay/api/admin"
)

// manager is a signed-in administrator of a running node.
type manager struct {
	root  string // of the node's management
	http  *http.Client
	token string
}

const (
	manageTimeout = 30 * time.Second // of a request; longer than any the node has for the broker
	maxAnswer     = 16 << 20
)

// signIn takes the node's address and the administrator's password from the configuration.
// An address that is given is used instead.
func signIn(ctx context.Context, cfg Config, address string) (*manager, error) {
	m := &manager{http: &http.Client{Timeout: manageTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}} // a node has none, and the password is for it alone
	transport := &http.Transport{} // no proxy: it would see the password
	m.http.Transport = transport
	var err error
	if address != "" {
		m.root, err = checkRoot(address)
	} else {
		m.root, err = managementRoot(cfg)
		if err == nil && cfg.TLS.Cert != "" {
			transport.TLSClientConfig, err = pinned(cfg.TLS.Cert)
		}
	}
	if err != nil {
		return nil, err
	}
	password, err := managementPassword(cfg)
	if err != nil {
		return nil, err
	}
	return m, m.login(ctx, cfg.Admin.Username, password)
}

func checkRoot(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return "", errors.New("--url: is not the URL of a node like https://relay.example.org (and holds no password)")
	}
	return strings.TrimRight(address, "/"), nil
}

// managementRoot is where the configuration's node is reached from its own machine.
func managementRoot(cfg Config) (string, error) {
	host, port, err := net.SplitHostPort(cmp.Or(cfg.Admin.Address, net.JoinHostPort(cfg.Host, strconv.Itoa(cfg.Port))))
	if err != nil {
		return "", fmt.Errorf("admin.address: %w", err)
	}
	if port == "0" {
		return "", errors.New("the node picks its port itself: give its address with --url")
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.IsUnspecified() {
		host = "127.0.0.1"
		if addr.Is6() {
			host = "::1"
		}
	}
	scheme := "http"
	if cfg.TLS.Cert != "" {
		scheme = "https"
	}
	return scheme + "://" + net.JoinHostPort(host, port), nil
}

// pinned trusts the certificate in the file and no other. It is for a name that the node
// is not called by here.
func pinned(file string) (*tls.Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("tls.cert: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("tls.cert: %s holds no certificate", file)
	}
	return &tls.Config{
		InsecureSkipVerify: true, // of names and authorities; this is checked instead:
		VerifyConnection: func(s tls.ConnectionState) error {
			if !bytes.Equal(s.PeerCertificates[0].Raw, block.Bytes) {
				return fmt.Errorf("the node has another certificate than %s: reload it, or give its address with --url", file)
			}
			return nil
		},
	}, nil
}

func managementPassword(cfg Config) (string, error) {
	switch password := cfg.Admin.Password; {
	case strings.HasPrefix(password, hashedSecret):
		return "", errors.New("admin.password is a hash: put the password itself into MAXRELAY_ADMIN_PASSWORD for this command")
	case password != "":
		return password, nil
	}
	password, err := admin.ReadPassword(cfg.passwordFile())
	if err != nil {
		return "", fmt.Errorf("%w (use the node's configuration and folder, or MAXRELAY_ADMIN_PASSWORD)", err)
	}
	return password, nil
}

func (m *manager) login(ctx context.Context, username, password string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.root+"/admin/login", nil)
	if err != nil {
		return err
	}
	req.SetBasicAuth(username, password)
	raw, err := m.do(req)
	if err != nil {
		return fmt.Errorf("signing in at %s: %w", m.root, err)
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil || answer.Token == "" {
		return fmt.Errorf("%s does not answer like maxrelay", m.root)
	}
	m.token = answer.Token
	return nil
}

// ask sends a request below /admin and returns the answer, which is JSON. A nil body is none.
func (m *manager) ask(ctx context.Context, method, path string, body any) ([]byte, error) {
	var sent io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, m.root+"/admin"+path, sent)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+m.token)
	return m.do(req)
}

func (m *manager) do(req *http.Request) ([]byte, error) {
	resp, err := m.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return raw, nil
	}
	var failed struct{ Error struct{ Message string } }
	if err := json.Unmarshal(raw, &failed); err != nil || failed.Error.Message == "" {
		return nil, errors.New(resp.Status)
	}
	return nil, errors.New(failed.Error.Message)
}

func (m *manager) close() { m.http.CloseIdleConnections() }
