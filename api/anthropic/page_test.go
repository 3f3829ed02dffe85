package anthropic

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"maxrelay/session/chat"
)

func TestPagesOfModels(t *testing.T) {
	all := strings.Fields("a b c d e")
	for query, want := range map[string]string{
		"":                      "a b c d e",
		"limit=1000":            "a b c d e",
		"limit=5":               "a b c d e",
		"limit=2":               "a b more",
		"after_id=b":            "c d e",
		"after_id=b&limit=2":    "c d more",
		"after_id=c&limit=2":    "d e",
		"after_id=e":            "",
		"before_id=d":           "a b c",
		"before_id=d&limit=2":   "b c more",
		"before_id=c&limit=2":   "a b",
		"before_id=a":           "",
		"after_id=bb&limit=1":   "c more",
		"before_id=bb&limit=1":  "b more",
		"after_id=&before_id=":  "a b c d e",
		"before_id=zzz&limit=1": "e more",
		"after_id=zzz":          "",
		"after_id=a&other=1":    "b c d e",
		"limit=1&after_id=":     "a more",
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		page, err := DecodePage(q)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		list := NewModelList(all, page, time.Now())
		var got []string
		for _, m := range list.Data {
			got = append(got, m.ID)
		}
		if n := len(got); n > 0 && (*list.FirstID != got[0] || *list.LastID != got[n-1]) || n == 0 && (list.FirstID != nil || list.LastID != nil) {
			t.Errorf("%s: from %v to %v", query, list.FirstID, list.LastID)
		}
		if list.HasMore {
			got = append(got, "more")
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
	}
	long := strings.Split(strings.Repeat("m", 21), "")
	if page, _ := DecodePage(nil); len(NewModelList(long, page, time.Now()).Data) != 20 {
		t.Error("a page without a limit is not of 20")
	}
}

func TestBadPagesAreRefusedAndNamed(t *testing.T) {
	for query, want := range map[string]string{
		"limit=0": "limit", "limit=-1": "limit", "limit=1001": "limit", "limit=x": "limit", "limit=": "limit", "limit=1.5": "limit", "limit=99999999999999999999": "limit",
		"after_id=a&before_id=b": "before_id",
	} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		_, err = DecodePage(q)
		if wrong, ok := errors.AsType[*chat.Error](err); !ok || wrong.Code != chat.CodeInvalid || wrong.Param != want {
			t.Errorf("%s: %v", query, err)
		}
	}
}
