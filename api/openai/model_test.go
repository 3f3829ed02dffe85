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
		"OpenAI":          {NewModelList([]string{"a"}, at), `{"object":"list","data":[{"id":"a","object":"model","created":1700000000,"owned_by":"anthropic"}]}`},
		"OpenAI none":     {NewModelList(nil, at), `{"object":"list","data":[]}`},
		"Anthropic":       {NewAnthropicModelList([]string{"a", "b"}, at), `{"data":[{"type":"model","id":"a","display_name":"a","created_at":"2023-11-14T22:13:20Z"},{"type":"model","id":"b","display_name":"b","created_at":"2023-11-14T22:13:20Z"}],"has_more":false,"first_id":"a","last_id":"b"}`},
		"Anthropic empty": {NewAnthropicModelList(nil, at), `{"data":[],"has_more":false,"first_id":null,"last_id":null}`},
	} {
		if got, err := json.Marshal(tc.list); err != nil || string(got) != tc.want {
			t.Errorf("%s: got %s (%v), want %s", name, got, err, tc.want)
		}
	}
}
