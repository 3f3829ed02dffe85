package upstream

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Config is the configuration of a Forwarder. Zero fields take the defaults given here.
type Config struct {
	Upstreams []Upstream            // tried in this order; none: every request is answered with 404
	Estimate  func(text string) int // tokens of a text, for answers without counts; bytes ÷ 4
	Backoff   time.Duration         // pause before the first retry, doubled for each one after it, 500 ms
}

// Upstream is one Messages API.
type Upstream struct {
	Name       string        // for logs and records
	URL        string        // its root; a trailing /v1 is tolerated
	APIKey     string        // sent as x-api-key; none
	Timeout    time.Duration // longest wait for the headers of an answer, 10 min
	MaxRetries int           // attempts after the first one, 0
}

func (c Config) withDefaults() Config {
	if c.Estimate == nil {
		c.Estimate = func(text string) int { return (len(text) + 3) / 4 }
	}
	c.Backoff = cmp.Or(c.Backoff, 500*time.Millisecond)
	return c
}

// Check tells what is wrong with it, without repeating its URL or key.
func (u Upstream) Check() error {
	_, err := newTarget(u)
	return err
}

// target is an Upstream that was checked.
type target struct {
	name    string
	root    url.URL
	key     string
	timeout time.Duration
	retries int
}

// newTarget's errors hold no part of the URL or the key: both may hold a secret.
func newTarget(u Upstream) (target, error) {
	root, err := parseRoot(u.URL)
	switch {
	case err != nil:
		return target{}, err
	case strings.ContainsFunc(u.APIKey, func(r rune) bool { return r <= ' ' || r > '~' }):
		return target{}, errors.New("the API key cannot be sent in a header")
	case u.Timeout < 0 || u.MaxRetries < 0:
		return target{}, errors.New("a limit is negative")
	}
	return target{
		name: cmp.Or(u.Name, root.Host), root: root, key: u.APIKey,
		timeout: cmp.Or(u.Timeout, 10*time.Minute), retries: u.MaxRetries,
	}, nil
}

// parseRoot takes the /v1 off that every path of the API begins with.
func parseRoot(text string) (url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return url.URL{}, errors.New("the URL is not a root like https://api.anthropic.com")
	}
	path := strings.TrimSuffix(strings.TrimRight(u.EscapedPath(), "/"), "/v1")
	if path, err = strings.TrimRight(path, "/"), checkPath(path+"/"); err != nil {
		return url.URL{}, fmt.Errorf("the URL's path: %w", err)
	}
	plain, _ := url.PathUnescape(path) // it came from a URL
	return url.URL{Scheme: u.Scheme, Host: u.Host, Path: plain, RawPath: path}, nil
}
