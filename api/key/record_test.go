package key

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestSettingsAreChecked(t *testing.T) {
	long := strings.Repeat("x", 5000)
	for _, tc := range []struct {
		name   string
		change func(*Settings)
		field  string // at fault, "" for none
	}{
		{"the least", func(*Settings) {}, ""},
		{"everything", func(s *Settings) {
			s.Description, s.TokenLimit, s.AllowedIPs = "d", 1<<53, []string{"::1", "10.0.0.0/8"}
			s.AllowedOrigins, s.AllowedModels, s.Metadata = []string{"https://a.example:8443", "http://localhost"}, []string{"claude-opus-4"}, json.RawMessage(` {"a":1}`)
		}, ""},
		{"no name", func(s *Settings) { s.Name = " " }, "name"},
		{"a long name", func(s *Settings) { s.Name = long[:101] }, "name"},
		{"a name with a line break", func(s *Settings) { s.Name = "a\nb" }, "name"},
		{"a long description", func(s *Settings) { s.Description = long }, "description"},
		{"no tokens", func(s *Settings) { s.TokenLimit = 0 }, "token_limit"},
		{"too many tokens", func(s *Settings) { s.TokenLimit = 1<<53 + 1 }, "token_limit"},
		{"a bad address", func(s *Settings) { s.AllowedIPs = []string{"hunter2"} }, "allowed_ips"},
		{"many addresses", func(s *Settings) { s.AllowedIPs = make([]string, 101) }, "allowed_ips"},
		{"a page for an origin", func(s *Settings) { s.AllowedOrigins = []string{"https://hunter2.example/"} }, "allowed_origins"},
		{"every origin", func(s *Settings) { s.AllowedOrigins = []string{"*"} }, "allowed_origins"},
		{"an origin in capitals", func(s *Settings) { s.AllowedOrigins = []string{"https://A.example"} }, "allowed_origins"},
		{"an origin with a login", func(s *Settings) { s.AllowedOrigins = []string{"https://hunter2@a.example"} }, "allowed_origins"},
		{"an empty model", func(s *Settings) { s.AllowedModels = []string{""} }, "allowed_models"},
		{"a long model", func(s *Settings) { s.AllowedModels = []string{long} }, "allowed_models"},
		{"metadata that is no object", func(s *Settings) { s.Metadata = json.RawMessage(`["hunter2"]`) }, "metadata"},
		{"long metadata", func(s *Settings) { s.Metadata = json.RawMessage(`{"a":"` + long + `"}`) }, "metadata"},
	} {
		s := DefaultSettings()
		s.Name = "n"
		tc.change(&s)
		err := s.Validate()
		e, _ := errors.AsType[*FieldError](err)
		switch {
		case tc.field == "" && err != nil:
			t.Errorf("%s: %v", tc.name, err)
		case tc.field != "" && (e == nil || e.Field != tc.field || strings.Contains(err.Error(), "hunter2")):
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func TestTheLargestRecordFits(t *testing.T) {
	many := func(text string) []string { return strings.Fields(strings.Repeat(text+" ", maxEntries)) }
	s := Settings{Name: strings.Repeat("💬", maxName), Description: strings.Repeat("💬", maxDescription), Pool: strings.Repeat("p", 64), TokenLimit: maxTokenLimit,
		AllowedIPs:     many("2001:0db8:ffff:ffff:ffff:ffff:ffff:ffff/128"),
		AllowedOrigins: many("https://" + strings.Repeat("a", 240)), AllowedModels: many(strings.Repeat("<", maxEntry)),
		Metadata: json.RawMessage(`{"a":"` + strings.Repeat("<", maxMetadata-10) + `"}`)}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	r, _ := Mint(s, time.Now())
	for range maxFormer {
		r.Rotate(time.Now(), time.Hour)
	}
	data, err := json.Marshal(r)
	if err != nil || len(data) > maxRecord {
		t.Errorf("%d bytes, %v", len(data), err)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	s := DefaultSettings()
	s.Name, s.AllowedIPs, s.Metadata = "n", []string{"::1"}, json.RawMessage(`{"a":1}`)
	r, _ := Mint(s, time.Now())
	r.Rotate(time.Now(), time.Hour)
	data, _ := json.Marshal(r)
	f.Add(data)
	f.Add([]byte(`{"id":"key_a","hash":"00"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var named struct{ ID string }
		_ = json.Unmarshal(data, &named)
		a, err := decodeRecord(named.ID, data, 1)
		if err != nil {
			return
		}
		again, err := json.Marshal(a)
		if err != nil {
			t.Fatalf("read, but not written: %v", err)
		}
		b, err := decodeRecord(a.ID, again, 1)
		if err != nil {
			t.Fatalf("written, but not read: %v", err)
		}
		twice, _ := json.Marshal(b)
		if !bytes.Equal(again, twice) || !reflect.DeepEqual(a.networks, b.networks) {
			t.Errorf("%s became %s", again, twice)
		}
	})
}
