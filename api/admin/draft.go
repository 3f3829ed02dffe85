package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"maxrelay/api/key"
)

// draft is a body that creates or changes a key: its fields as they came. null stands
// for the default, which is how an expiry or a list is taken away.
type draft map[string]json.RawMessage

// parseDraft refuses unknown fields: an allowed_ip that is ignored lets everybody in.
func parseDraft(body []byte) (draft, error) {
	var d draft
	if err := json.Unmarshal(body, &d); err != nil || d == nil || !utf8.Valid(body) {
		return nil, failure{status: http.StatusUnprocessableEntity, code: "invalid_request", message: "the body is not a JSON object"}
	}
	for _, name := range slices.Sorted(maps.Keys(d)) {
		known := name == expiresInDays || slices.ContainsFunc(settings, func(s setting) bool { return s.name == name })
		if !known {
			return nil, unknownField(name)
		}
	}
	return d, nil
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`)

// unknownField repeats only names that cannot be taken for anything else.
func unknownField(name string) error {
	if plainName.MatchString(name) {
		return invalid(name, "is no field of a key")
	}
	return failure{status: http.StatusUnprocessableEntity, code: "invalid_request", message: "the body has a field that keys do not have"}
}

// apply returns the settings with those of the draft in them.
func (d draft) apply(s key.Settings, tiers []string, now time.Time) (key.Settings, error) {
	for _, field := range settings {
		raw, given := d[field.name]
		if !given {
			continue
		}
		if err := field.read(&s, raw); err != nil {
			return s, invalid(field.name, err.Error())
		}
	}
	if err := d.applyDays(&s, now); err != nil {
		return s, err
	}
	if _, given := d["rate_limit_tier"]; given && !slices.Contains(tiers, s.Tier) {
		return s, invalid("rate_limit_tier", "must be one of "+strings.Join(tiers, ", "))
	}
	if !s.ExpiresAt.IsZero() && d.expires() && !s.ExpiresAt.After(now) {
		return s, invalid("expires_at", "is in the past")
	}
	s.ExpiresAt = s.ExpiresAt.UTC()
	return s, s.Validate()
}

const (
	expiresAt     = "expires_at"
	expiresInDays = "expires_in_days"
	maxDays       = 36_500
)

func (d draft) expires() bool {
	_, at := d[expiresAt]
	_, days := d[expiresInDays]
	return at || days
}

func (d draft) applyDays(s *key.Settings, now time.Time) error {
	raw := d[expiresInDays]
	if raw == nil || isNull(raw) {
		return nil
	}
	if at := d[expiresAt]; at != nil && !isNull(at) {
		return invalid(expiresInDays, "and expires_at exclude each other")
	}
	var days int
	if err := json.Unmarshal(raw, &days); err != nil || days < 1 || days > maxDays {
		return invalid(expiresInDays, "must be a whole number between 1 and 36500")
	}
	s.ExpiresAt = now.Add(time.Duration(days) * 24 * time.Hour).Truncate(time.Second)
	return nil
}

// setting is one field of a body that is kept as it came.
type setting struct {
	name   string
	read   func(*key.Settings, json.RawMessage) error
	differ func(a, b *key.Settings) bool
}

var settings = []setting{
	field("name", "a text", func(s *key.Settings) *string { return &s.Name }),
	field("description", "a text", func(s *key.Settings) *string { return &s.Description }),
	field("pool", "a text", func(s *key.Settings) *string { return &s.Pool }),
	field("token_limit", "a whole number", func(s *key.Settings) *int64 { return &s.TokenLimit }),
	field("rate_limit_tier", "a text", func(s *key.Settings) *string { return &s.Tier }),
	field(expiresAt, "a time like 2030-01-31T12:00:00Z", func(s *key.Settings) *time.Time { return &s.ExpiresAt }),
	field("allowed_ips", "a list of texts", func(s *key.Settings) *[]string { return &s.AllowedIPs }),
	field("allowed_origins", "a list of texts", func(s *key.Settings) *[]string { return &s.AllowedOrigins }),
	field("allowed_models", "a list of texts", func(s *key.Settings) *[]string { return &s.AllowedModels }),
	field("metadata", "an object", func(s *key.Settings) *json.RawMessage { return &s.Metadata }),
}

func field[T any](name, what string, in func(*key.Settings) *T) setting {
	read := func(s *key.Settings, raw json.RawMessage) error {
		if isNull(raw) {
			defaults := key.DefaultSettings()
			*in(s) = *in(&defaults)
			return nil
		}
		var v T
		if err := json.Unmarshal(raw, &v); err != nil {
			return errors.New("must be " + what) // the decoder's own words repeat the value
		}
		*in(s) = v
		return nil
	}
	differ := func(a, b *key.Settings) bool { return !reflect.DeepEqual(*in(a), *in(b)) }
	return setting{name, read, differ}
}

func isNull(raw json.RawMessage) bool { return bytes.Equal(raw, []byte("null")) }

// changed names the settings in which two differ.
func changed(before, after key.Settings) (names []string) {
	for _, s := range settings {
		if s.differ(&before, &after) {
			names = append(names, s.name)
		}
	}
	return names
}
