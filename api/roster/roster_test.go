package roster

import (
	"encoding/json"
	"testing"
	"time"

	"maxrelay/queue"
)

func TestHowAWorkerIs(t *testing.T) {
	for name, tc := range map[string]struct {
		info     string
		draining bool
		rests    []queue.Rest
		state    State
		reason   string
	}{
		"signed in":  {`{"signed_in":true}`, false, nil, "ok", ""},
		"silent":     {``, false, nil, "ok", ""},
		"signed out": {`{"signed_in":false}`, false, []queue.Rest{{}}, "unavailable", "the CLI is not signed in"},
		"broken":     {`{"signed_in":true,"reason":"the CLI is too old"}`, false, nil, "unavailable", "the CLI is too old"},
		"nonsense":   {`{"signed_in":"yes"`, false, nil, "ok", ""},
		"draining":   {`{"signed_in":true}`, true, nil, "draining", ""},
		"used up": {`{"signed_in":true,"limits":[{"window":"five_hour","used":1,"resets_at":"2030-01-31T12:00:00Z","reached":true},{"window":"seven_day","used":0.5}]}`,
			false, []queue.Rest{{Until: time.Now().Add(time.Hour)}}, "resting", "the account's five_hour limit is reached until 2030-01-31 12:00:00 UTC"},
		"used up until a while ago": {`{"signed_in":true}`, false, []queue.Rest{{Until: time.Now().Add(-time.Second)}}, "ok", ""},
		"used up for some models":   {`{"signed_in":true}`, false, []queue.Rest{{Models: "opus", Until: time.Now().Add(time.Hour)}}, "ok", ""},
	} {
		w := Of(queue.WorkerInfo{Draining: tc.draining, Rests: tc.rests, Info: json.RawMessage(tc.info)})
		if state, reason := w.State(); state != tc.state || reason != tc.reason {
			t.Errorf("%s: %s %q, want %s %q", name, state, reason, tc.state, tc.reason)
		}
	}
}

func FuzzOf(f *testing.F) {
	f.Add([]byte(`{"signed_in":true,"limits":[{"window":"five_hour","used":1,"resets_at":"2030-01-31T12:00:00Z","reached":true}]}`))
	f.Fuzz(func(t *testing.T, info []byte) {
		w := Of(queue.WorkerInfo{Info: info, Rests: []queue.Rest{{}}})
		if state, reason := w.State(); state == OK || reason == "" {
			t.Errorf("a worker that rests is %s for %q", state, reason)
		}
	})
}
