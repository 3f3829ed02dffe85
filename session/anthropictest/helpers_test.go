package anthropictest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"maxrelay/session/anthropictest"
)

// hang is how long a test waits for an event before it gives up.
const hang = 30 * time.Second

func start(t *testing.T, opts ...anthropictest.Option) *anthropictest.Server {
	t.Helper()
	s, err := anthropictest.Start(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return s
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	t.Cleanup(cancel)
	return ctx
}

// prompt is a valid request with some fields replaced; a nil value removes the field.
func prompt(replace map[string]any) string {
	body := map[string]any{
		"model": "claude-sonnet-5-5", "max_tokens": 1000, "stream": true,
		"messages": []any{map[string]any{"role": "user", "content": "hello"}},
	}
	for k, v := range replace {
		if body[k] = v; v == nil {
			delete(body, k)
		}
	}
	data, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return string(data)
}

func say(text string) string {
	return prompt(map[string]any{"messages": []any{map[string]any{"role": "user", "content": text}}})
}

func post(ctx context.Context, s *anthropictest.Server, body string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL()+"/v1/messages?beta=true", strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(r)
}

func mustPost(t *testing.T, s *anthropictest.Server, body string) *http.Response {
	t.Helper()
	res, err := post(within(t), s, body)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

type event struct {
	name string
	data map[string]any
}

func (e event) delta() map[string]any {
	d, _ := e.data["delta"].(map[string]any)
	return d
}

// events reads a stream until its end, or until n events were read if n > 0.
func events(body io.Reader, n int) ([]event, error) {
	var out []event
	var name string
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			name = v
		}
		v, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		e := event{name: name}
		if err := json.Unmarshal([]byte(v), &e.data); err != nil {
			return out, fmt.Errorf("event %s: %w", name, err)
		}
		if out = append(out, e); len(out) == n {
			return out, nil
		}
	}
	return out, lines.Err()
}

func mustEvents(t *testing.T, res *http.Response) []event {
	t.Helper()
	if res.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(res.Body)
		t.Fatalf("status %d: %s", res.StatusCode, body)
	}
	all, err := events(res.Body, 0)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func texts(all []event) string {
	var out strings.Builder
	for _, e := range all {
		if s, ok := e.delta()["text"].(string); ok {
			out.WriteString(s)
		}
	}
	return out.String()
}

func usageOf(t *testing.T, all []event) (input, creation, read float64) {
	t.Helper()
	u := all[0].data["message"].(map[string]any)["usage"].(map[string]any)
	return u["input_tokens"].(float64), u["cache_creation_input_tokens"].(float64), u["cache_read_input_tokens"].(float64)
}
