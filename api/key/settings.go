package key

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Settings are what an administrator decides about a managed key.
type Settings struct {
	Name           string          `json:"name"`
	Description    string          `json:"description,omitempty"`
	Pool           string          `json:"pool"` // whose workers serve the key
	TokenLimit     int64           `json:"token_limit"`
	Tier           string          `json:"rate_limit_tier"`
	ExpiresAt      time.Time       `json:"expires_at,omitzero"`
	AllowedIPs     []string        `json:"allowed_ips,omitempty"`
	AllowedOrigins []string        `json:"allowed_origins,omitempty"`
	AllowedModels  []string        `json:"allowed_models,omitempty"`
	Metadata       json.RawMessage `json:"metadata,omitempty"` // an object
}

// DefaultSettings are those of a key of which nothing but its name is said.
func DefaultSettings() Settings {
	return Settings{Pool: DefaultPool, TokenLimit: 1_000_000, Tier: "basic"}
}

// DefaultPool is what keys belong to, and workers serve, where nothing else is said.
const DefaultPool = "default"

// FieldError says which setting is wrong, and why. It does not repeat its value.
type FieldError struct {
	Field   string // its name in JSON
	Message string // completes a sentence that begins with the name
}

func (e *FieldError) Error() string { return e.Field + " " + e.Message }

// Bounds of settings, which also bound a record: see maxRecord.
const (
	maxName        = 100
	maxDescription = 1000
	maxEntries     = 100 // of a list
	maxEntry       = 256 // bytes
	maxMetadata    = 4 << 10
	maxTokenLimit  = 1 << 53 // the largest number that every JSON reader has exactly
)

// Validate returns a *FieldError for the first setting that is wrong.
func (s Settings) Validate() error {
	for _, check := range []struct {
		field string
		err   error
	}{
		{"name", checkName(s.Name)},
		{"description", checkText(s.Description, maxDescription)},
		{"pool", checkPool(s.Pool)},
		{"token_limit", checkTokenLimit(s.TokenLimit)},
		{"allowed_ips", checkNetworks(s.AllowedIPs)},
		{"allowed_origins", checkEach(s.AllowedOrigins, isOrigin, "an origin like https://chat.example.org")},
		{"allowed_models", checkEach(s.AllowedModels, isModel, "a model's name")},
		{"metadata", checkMetadata(s.Metadata)},
	} {
		if check.err != nil {
			return &FieldError{check.field, check.err.Error()}
		}
	}
	return nil
}

func checkName(name string) error {
	if strings.TrimSpace(name) == "" {
		return errors.New("must not be empty")
	}
	return checkText(name, maxName)
}

func checkText(text string, longest int) error {
	switch {
	case utf8.RuneCountInString(text) > longest:
		return fmt.Errorf("is longer than %d characters", longest)
	case strings.ContainsFunc(text, unicode.IsControl):
		return errors.New("holds control characters")
	}
	return nil
}

// poolName is what can stand in a subject of the broker's.
var poolName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func checkPool(name string) error {
	if !poolName.MatchString(name) {
		return errors.New("must be made of letters, digits, - and _, 64 at most")
	}
	return nil
}

func checkTokenLimit(limit int64) error {
	if limit < 1 || limit > maxTokenLimit {
		return fmt.Errorf("must be between 1 and %d", int64(maxTokenLimit))
	}
	return nil
}

func checkNetworks(texts []string) error {
	if len(texts) > maxEntries {
		return fmt.Errorf("has more than %d entries", maxEntries)
	}
	_, err := ParseNetworks(texts)
	return err
}

func checkEach(texts []string, good func(string) bool, what string) error {
	if len(texts) > maxEntries {
		return fmt.Errorf("has more than %d entries", maxEntries)
	}
	for i, text := range texts {
		if len(text) > maxEntry || !good(text) {
			return fmt.Errorf("entry %d is not %s", i+1, what)
		}
	}
	return nil
}

// isOrigin takes what browsers send as Origin: scheme, host and port in lower case (RFC
// 6454, section 6.2).
func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme != "" && u.Host != "" && text == u.Scheme+"://"+u.Host && text == strings.ToLower(text)
}

func isModel(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
}

func checkMetadata(object json.RawMessage) error {
	switch {
	case len(object) == 0:
		return nil
	case len(object) > maxMetadata:
		return fmt.Errorf("is longer than %d bytes", maxMetadata)
	case !json.Valid(object) || bytes.TrimSpace(object)[0] != '{':
		return errors.New("must be an object")
	}
	return nil
}
