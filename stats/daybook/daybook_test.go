package daybook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"maxrelay/session/chat"
	"maxrelay/stats"
)

const layout = `{"total":{"requests":3,"input_tokens":12,"output_tokens":20,"cache_read_tokens":30,"cache_write_tokens":40},
"cache_stats":{"total_requests":3,"cache_hits":1,"hit_rate":"33.33","tokens_saved":30},
"months":{
"2026-02":{"summary":{"requests":1,"input_tokens":10,"output_tokens":20,"cache_read_tokens":30,"cache_write_tokens":40},"days":{
"24":{"summary":{"requests":1,"input_tokens":10,"output_tokens":20,"cache_read_tokens":30,"cache_write_tokens":40},"requests":[
{"id":"req_1","timestamp":"2026-02-24T12:00:00.000Z","model":"claude-opus-4","stream":false,"input_tokens":10,"output_tokens":20,"cache_read_input_tokens":30,"cache_creation_input_tokens":40,"response_time_ms":1500,"first_message":"Hello \"you\""}]}}},
"2026-03":{"summary":{"requests":2,"input_tokens":2,"output_tokens":0,"cache_read_tokens":0,"cache_write_tokens":0},"days":{
"01":{"summary":{"requests":2,"input_tokens":2,"output_tokens":0,"cache_read_tokens":0,"cache_write_tokens":0},"requests":[
{"id":"req_2","timestamp":"2026-03-01T00:00:00.000Z","model":"m","stream":true,"input_tokens":2,"output_tokens":0,"cache_read_input_tokens":0,"cache_creation_input_tokens":0,"response_time_ms":0,"first_message":""},
{"id":"req_3","timestamp":"2026-03-01T00:00:00.123Z","model":"m","stream":false,"input_tokens":0,"output_tokens":0,"cache_read_input_tokens":0,"cache_creation_input_tokens":0,"response_time_ms":0,"first_message":""}]}}}}}`

func TestTheFileHasTheLayoutThatItsReadersKnow(t *testing.T) {
	d := newDesk(t)
	book := d.open(Config{FirstMessages: true, Pause: time.Millisecond})
	book.Note("req_1", `Hello "you"`)
	midnight := time.Date(2026, 3, 1, 5, 0, 0, 0, time.FixedZone("", 5*3600))
	d.record(
		event("req_1", noon),
		stats.Event{ID: "req_2", Time: midnight, KeyID: "k2", Model: "m", Stream: true, Usage: chat.Usage{InputTokens: 2}},
		stats.Event{ID: "req_3", Time: midnight.Add(123456 * time.Microsecond), KeyID: "k", Model: "m", Status: 502, ErrorCode: "worker_failed"},
	)
	d.awaits("three requests", func(f file) bool { return f.Total.Requests == 3 })
	got, err := os.ReadFile(d.path)
	must(t, err)
	var want bytes.Buffer
	must(t, json.Compact(&want, []byte(layout)))
	var compact bytes.Buffer
	must(t, json.Compact(&compact, got))
	if compact.String() != want.String() {
		t.Errorf("got  %s\nwant %s", compact.String(), want.String())
	}
}

func TestNothingUsedIsAFileToo(t *testing.T) {
	d := newDesk(t)
	d.open(Config{})
	f := d.awaits("a file", func(file) bool { return true })
	if f.Cache.HitRate != "0.00" || f.Months == nil || f.Total.Requests != 0 {
		t.Errorf("%+v", f)
	}
}

func TestTheFileIsItsOwnersAlone(t *testing.T) {
	d := newDesk(t)
	must(t, os.MkdirAll(filepath.Dir(d.path), 0o755))
	must(t, os.WriteFile(d.path, []byte(`{}`), 0o644))
	d.open(Config{}).Close()
	info, err := os.Stat(d.path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
}

func TestOnlyTheNewestOfADayAreListed(t *testing.T) {
	d := newDesk(t)
	book := d.open(Config{PerDay: 3, Pause: time.Millisecond, FirstMessages: true})
	for i := range 4 { // and the file is written in between
		var some []stats.Event
		for j := 5 * i; j < 5*i+5; j++ {
			id := fmt.Sprint("req_", j)
			book.Note(id, "message "+id)
			some = append(some, event(id, noon.Add(time.Duration(j)*time.Minute)))
		}
		d.record(some...)
	}
	f := d.awaits("twenty requests", func(f file) bool { return f.Total.Requests == 20 })
	day := f.Months["2026-02"].Days["24"]
	if len(day.Requests) != 3 || day.Summary.Requests != 20 || day.Requests[0].ID != "req_17" || day.Requests[2].FirstMessage != "message req_19" {
		t.Errorf("%+v", day)
	}
}

func TestFirstMessagesOutliveRestartsAndRebuilds(t *testing.T) {
	d := newDesk(t)
	book := d.open(Config{FirstMessages: true})
	for i := range 5 {
		id := fmt.Sprint("req_", i)
		book.Note(id, "message "+id)
		d.record(event(id, noon.AddDate(0, 0, i)))
	}
	book.Close()

	d.forget()
	d.project()
	book = d.open(Config{FirstMessages: true})
	d.record(event("req_untold", noon))
	book.Close()
	first := d.read().firstMessages()
	for i := range 5 {
		if id := fmt.Sprint("req_", i); first[id] != "message "+id {
			t.Errorf("the first message of %s is %q", id, first[id])
		}
	}
	if text, listed := first["req_untold"]; !listed || text != "" {
		t.Errorf("an unknown first message is %q, %t", text, listed)
	}
}

func TestWithoutFirstMessagesNoneIsKept(t *testing.T) {
	d := newDesk(t)
	book := d.open(Config{FirstMessages: true})
	book.Note("req_1", "a secret")
	d.record(event("req_1", noon))
	book.Close()

	book = d.open(Config{})
	book.Note("req_2", "another secret")
	d.record(event("req_2", noon))
	book.Close()
	data, err := os.ReadFile(d.path)
	must(t, err)
	if bytes.Contains(data, []byte("secret")) || d.read().Total.Requests != 2 {
		t.Errorf("%s", data)
	}
}

func TestAReaderNeverSeesHalfAFile(t *testing.T) {
	d := newDesk(t)
	book := d.open(Config{Pause: time.Nanosecond})
	d.awaits("a file", func(file) bool { return true })
	stop, reading := make(chan struct{}), sync.WaitGroup{}
	for range 2 {
		reading.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if data, err := os.ReadFile(d.path); err != nil || !json.Valid(data) {
					t.Errorf("%v, %q", err, data)
					return
				}
			}
		})
	}
	for i := range 30 {
		d.record(event(fmt.Sprint("req_", i), noon)) // and each is a file
	}
	book.Close()
	close(stop)
	reading.Wait()
	left, err := filepath.Glob(filepath.Join(filepath.Dir(d.path), ".*"))
	must(t, err)
	if len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

func TestItIsWrittenOnceInAPauseAndAtTheEnd(t *testing.T) {
	d := newDesk(t)
	book := d.open(Config{Pause: time.Hour})
	d.awaits("a file", func(file) bool { return true })
	d.record(event("req_1", noon))
	if f := d.read(); f.Total.Requests != 0 {
		t.Errorf("the pause did not hold: %+v", f)
	}
	book.Close()
	if f := d.read(); f.Total.Requests != 1 {
		t.Errorf("the end was not written: %+v", f)
	}
}

func TestWhileUsageIsReadAnewTheFormerFileStays(t *testing.T) {
	d := newDesk(t)
	must(t, os.MkdirAll(filepath.Dir(d.path), 0o700))
	former := []byte(`{"months":{}}`)
	must(t, os.WriteFile(d.path, former, 0o600))
	d.of.Close() // it is not ready any more
	d.open(Config{}).Close()
	if got, err := os.ReadFile(d.path); err != nil || !bytes.Equal(got, former) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAFileThatIsNoneIsReplaced(t *testing.T) {
	d := newDesk(t)
	must(t, os.MkdirAll(filepath.Dir(d.path), 0o700))
	must(t, os.WriteFile(d.path, []byte(`{"months":{"2026-02":{"days":{"24":`), 0o600))
	d.open(Config{FirstMessages: true}).Close()
	if f := d.read(); f.Months == nil {
		t.Errorf("%+v", f)
	}
}

func TestAFileThatCannotBeWrittenIsTriedAgain(t *testing.T) {
	d := newDesk(t)
	must(t, os.MkdirAll(d.path, 0o700)) // a folder is in its place
	d.open(Config{Pause: time.Millisecond})
	d.record(event("req_1", noon))
	must(t, os.Remove(d.path))
	d.awaits("the file", func(f file) bool { return f.Total.Requests == 1 })
}

func TestWhatAKillLeftIsClearedAway(t *testing.T) {
	d := newDesk(t)
	must(t, os.MkdirAll(filepath.Dir(d.path), 0o700))
	old, fresh := filepath.Join(filepath.Dir(d.path), ".stats.json.1"), filepath.Join(filepath.Dir(d.path), ".stats.json.2")
	must(t, os.WriteFile(old, nil, 0o600))
	must(t, os.Chtimes(old, time.Time{}, time.Now().Add(-time.Hour)))
	must(t, os.WriteFile(fresh, nil, 0o600)) // somebody else may be writing it
	d.open(Config{}).Close()
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", old, err)
	}
	_, err := os.Stat(fresh)
	must(t, err)
}

func TestOnlyTheBeginningOfAMessageIsKept(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "",
		strings.Repeat("é", 100):           strings.Repeat("é", 100),
		strings.Repeat("日", 99) + "abc":    strings.Repeat("日", 99) + "a",
		strings.Repeat("\xff", 101):        strings.Repeat("\xff", 100),
		strings.Repeat("x", 1<<20) + "end": strings.Repeat("x", 100),
	} {
		if got := beginning(text); got != want {
			t.Errorf("%q…: %q, want %q", text[:min(len(text), 20)], got, want)
		}
	}
}

func TestNotesAreBounded(t *testing.T) {
	n := newNotes(3)
	for i := range 10 {
		n.put(fmt.Sprint(i), "text")
	}
	if _, known := n.take("6"); known || len(n.first) != 3 || len(n.order) != 3 {
		t.Errorf("%d texts and %d ids are kept, want 3", len(n.first), len(n.order))
	}
	if text, known := n.take("7"); !known || text != "text" {
		t.Errorf("%q %t", text, known)
	}
	if _, known := n.take("7"); known {
		t.Error("it is there twice")
	}
}

func FuzzFormerFiles(f *testing.F) {
	f.Add([]byte(layout))
	f.Add([]byte(`{"months":{"2026-13":{"days":{"1":{}}},"x":null}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "stats.json")
		must(t, os.WriteFile(path, data, 0o600))
		former, err := readFirstMessages(path)
		if err != nil && len(former) > 0 {
			t.Errorf("%v with %v", former, err)
		}
	})
}
