package anthropic

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"maxrelay/api/anthropic/messagestest"
)

func TestModelLists(t *testing.T) {
	at := time.Unix(1700000000, 5)
	for ids, want := range map[string]string{
		"a b": `"has_more":false,"first_id":"a","last_id":"b"}`,
		"":    `{"data":[],"has_more":false,"first_id":null,"last_id":null}`,
	} {
		got, err := json.Marshal(NewModelList(strings.Fields(ids), Page{limit: 9}, at))
		if err != nil || !strings.HasSuffix(string(got), want) || strings.Count(string(got), `"created_at":"2023-11-14T22:13:20Z"`) != len(strings.Fields(ids)) {
			t.Errorf("%q: %s (%v), want %s", ids, got, err, want)
		}
		messagestest.Validate(t, messagestest.Models, got)
	}
}
