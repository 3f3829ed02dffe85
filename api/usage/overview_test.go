package usage

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"maxrelay/session/chat"
	"maxrelay/stats"
	"maxrelay/stats/projection"
)

// opened is a Usage that answers from what these events used.
func opened(t *testing.T, events ...stats.Event) *Usage {
	t.Helper()
	nc := connect(t)
	r, err := stats.OpenRecorder(t.Context(), nc, stats.RecorderConfig{}, zerolog.Nop())
	must(t, err)
	t.Cleanup(func() { r.Close(t.Context()) })
	for _, e := range events {
		must(t, r.Record(t.Context(), e))
	}
	dir := filepath.Join(t.TempDir(), "usage")
	must(t, os.Mkdir(dir, 0o700))
	p, err := projection.Open(dir, nc, zerolog.Nop())
	must(t, err)
	t.Cleanup(p.Close)
	must(t, p.Ready(t.Context()))
	u, err := New(Config{Records: p, Names: func(id string) string { return "name of " + id },
		Prices: func() stats.Prices { return stats.Prices{"opus": {Input: 1e6}} }})
	must(t, err)
	return u
}

func used(i int, key, model, code, day string, ms int64) stats.Event {
	at, _ := time.Parse(time.DateOnly, day)
	return stats.Event{ID: fmt.Sprint("req_", i), KeyID: key, Model: model, ErrorCode: code, Time: at, DurationMS: ms,
		Usage: chat.Usage{InputTokens: 1, OutputTokens: 2, CacheReadTokens: 3, CacheWriteTokens: 4}}
}

func TestUsageOfAllIsGrouped(t *testing.T) {
	u := opened(t,
		used(1, "a", "opus", "", "2026-02-23", 10), used(2, "a", "opus", "worker_failed", "2026-02-23", 20),
		used(3, "b", "opus", "", "2026-02-24", 30), used(4, "a", "sonnet", "", "2026-02-24", 40))
	const header = "day,api_key_id,api_key_name,model,requests,errors,prompt_tokens,completion_tokens,total_tokens,cache_read_tokens,cache_write_tokens,total_cost,avg_response_time_ms\n"
	for _, tt := range []struct{ query, want string }{
		{"", "2026-02-24,,,,2,0,16,4,20,6,8,1,35\n2026-02-23,,,,2,1,16,4,20,6,8,1,15\n"},
		{"group_by=key", ",a,name of a,,3,1,24,6,30,9,12,1,23.33\n,b,name of b,,1,0,8,2,10,3,4,1,30\n"},
		{"group_by=model,%20day", "2026-02-24,,,opus,1,0,8,2,10,3,4,1,30\n2026-02-24,,,sonnet,1,0,8,2,10,3,4,0,40\n2026-02-23,,,opus,2,1,16,4,20,6,8,1,15\n"},
		{"group_by=day,key,model&from=2026-02-24&to=2026-02-24", "2026-02-24,a,name of a,sonnet,1,0,8,2,10,3,4,0,40\n2026-02-24,b,name of b,opus,1,0,8,2,10,3,4,1,30\n"},
		{"group_by=key&to=2026-02-22", ""},
	} {
		w := httptest.NewRecorder()
		must(t, u.Overview(w, httptest.NewRequest("GET", "/?format=csv&"+tt.query, nil)))
		if got := w.Body.String(); got != header+tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.query, got, header+tt.want)
		}
	}
	w := httptest.NewRecorder()
	must(t, u.Overview(w, httptest.NewRequest("GET", "/?group_by=model&from=2026-02-24", nil)))
	want := `{"group_by":["model"],"items":[` +
		`{"day":null,"api_key_id":null,"api_key_name":null,"model":"opus","requests":1,"errors":0,"prompt_tokens":8,"completion_tokens":2,"total_tokens":10,"cache_read_tokens":3,"cache_write_tokens":4,"total_cost":1,"avg_response_time_ms":30},` +
		`{"day":null,"api_key_id":null,"api_key_name":null,"model":"sonnet","requests":1,"errors":0,"prompt_tokens":8,"completion_tokens":2,"total_tokens":10,"cache_read_tokens":3,"cache_write_tokens":4,"total_cost":0,"avg_response_time_ms":40}],` +
		`"total":{"requests":2,"errors":0,"prompt_tokens":16,"completion_tokens":4,"total_tokens":20,"cache_read_tokens":6,"cache_write_tokens":8,"total_cost":1,"avg_response_time_ms":35}}`
	if got := strings.TrimSpace(w.Body.String()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestACallersTextIsNoFormulaInATable(t *testing.T) {
	for text, want := range map[string]string{
		"=HYPERLINK(1)": "'=HYPERLINK(1)", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\tx": "'\tx", "\rx": "'\rx", "opus": "opus", "": "", "a=b": "a=b",
	} {
		if got := inert(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	if got := cell(reflect.ValueOf(-1.5)); got != "-1.5" {
		t.Errorf("a number becomes %q", got)
	}
}

func TestWrongQuestionsAboutAllNameTheirParameter(t *testing.T) {
	u := opened(t)
	for query, param := range map[string]string{
		"group_by=user": "group_by", "group_by=day,": "group_by", "from=now": "from", "to=2026-02-24T12:00:00Z": "to", "from=2026-02-24&to=2026-02-23": "to", "format=pdf": "format",
	} {
		w := httptest.NewRecorder()
		err := u.Overview(w, httptest.NewRequest("GET", "/?"+query, nil))
		if wrong, ok := errors.AsType[*chat.Error](err); !ok || wrong.Code != chat.CodeInvalid || wrong.Param != param || w.Body.Len() > 0 {
			t.Errorf("%s: %v", query, err)
		}
	}
}
