package openai

import (
	"encoding/json"
	"testing"
	"time"
)

func TestModelLists(t *testing.T) {
	at := time.Unix(1700000000, 5)
	for name, tc := range map[string]struct {
		list any
		want string
	}{
		"some": {NewModelList([]string{"a"}, at), `{"object":"list","data":[{"id":"a","object":"model","created":1700000000,"owned_by":"anthropic"}]}`},
		"none": {NewModelList(nil, at), `{"object":"list","data":[]}`},
	} {
		if got, err := json.Marshal(tc.list); err != nil || string(got) != tc.want {
			t.Errorf("%s: got %s (%v), want %s", name, got, err, tc.want)
		}
	}
}
