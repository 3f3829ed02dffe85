package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"maxrelay/session/chat"
	"maxrelay/stats"
	"maxrelay/stats/totals"
)

// life is a book that is fed, closed, killed and opened again.
type life struct {
	root   string
	folder int
	book   *book
	record []stats.Event // in the order of the stream; ids come more than once
}

func (l *life) path() string { return filepath.Join(l.root, fmt.Sprint(l.folder), fileName) }

func (l *life) begin(t rapid.TB) {
	check(t, os.MkdirAll(filepath.Dir(l.path()), 0o700))
	check(t, create(l.path()))
	l.open(t)
	check(t, l.book.begin(stats.Extent{Created: noon, First: 1}))
}

func (l *life) open(t rapid.TB) {
	var err error
	l.book, err = openBook(l.path())
	check(t, err)
}

func check(t rapid.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (l *life) add(r *rapid.T) {
	for range rapid.IntRange(1, 20).Draw(r, "events") {
		l.record = append(l.record, drawEvent(r))
	}
}

func drawEvent(r *rapid.T) stats.Event {
	return stats.Event{
		ID:    fmt.Sprintf("req_%d", rapid.IntRange(0, 60).Draw(r, "id")),
		Time:  noon.Add(time.Duration(rapid.Int64Range(-86400_000, 86400_000).Draw(r, "at")) * time.Millisecond),
		KeyID: rapid.SampledFrom([]string{"a", "b"}).Draw(r, "key"), Model: rapid.SampledFrom([]string{"opus", "sonnet"}).Draw(r, "model"),
		ErrorCode:  rapid.SampledFrom([]string{"", "", "worker_failed", "cancelled"}).Draw(r, "code"),
		DurationMS: rapid.Int64Range(0, 100).Draw(r, "ms"), Usage: chat.Usage{InputTokens: rapid.IntRange(0, 9).Draw(r, "input"), CacheReadTokens: rapid.IntRange(0, 2).Draw(r, "read")},
	}
}

// some is a batch of what is recorded, which may begin with what was applied already.
func (l *life) some(r *rapid.T) stats.Batch {
	from := rapid.IntRange(0, int(l.book.place.upto)).Draw(r, "from")
	to := rapid.IntRange(from, len(l.record)).Draw(r, "to")
	return batch(uint64(from)+1, l.record[from:to]...)
}

func (l *life) apply(r *rapid.T) { check(r, l.book.apply(l.some(r))) }

var errBroken = errors.New("broken")

// breakOff fails in the middle of a change, as a full disk would make it.
func (l *life) breakOff(r *rapid.T) {
	b := l.some(r)
	err := l.book.change(place{upto: 1 << 40}, func(tx *sql.Tx) error {
		draft := l.book.totals.Draft()
		return errors.Join(l.book.addNew(tx, b.Events, draft), l.book.putChanged(tx, draft), errBroken)
	})
	if !errors.Is(err, errBroken) {
		r.Fatal(err)
	}
}

func (l *life) reopen(r *rapid.T) {
	check(r, l.book.close())
	l.open(r)
}

// kill goes on with the files as a killed process leaves them.
func (l *life) kill(r *rapid.T) {
	former := filepath.Dir(l.path())
	l.folder++
	check(r, os.CopyFS(filepath.Dir(l.path()), os.DirFS(former)))
	check(r, l.book.close())
	l.open(r)
}

func (l *life) check(r *rapid.T) {
	known := l.record[:l.book.place.upto]
	if got, want := l.book.sums(), sumsOf(known); !reflect.DeepEqual(got, want) {
		r.Fatalf("totals %v, want %v", got, want)
	}
	var ids, want []string
	check(r, l.book.log.Each(context.Background(), "", Span{}, func(e stats.Recorded) error {
		ids = append(ids, e.ID)
		return nil
	}))
	for _, e := range known {
		want = append(want, e.ID)
	}
	slices.Sort(ids)
	slices.Sort(want)
	if want = slices.Compact(want); !slices.Equal(ids, want) {
		r.Fatalf("the log has %v, want %v", ids, want)
	}
}

func TestEventsCountOnceWhateverHappens(t *testing.T) {
	root, lives := t.TempDir(), 0
	rapid.Check(t, func(r *rapid.T) {
		lives++
		l := &life{root: filepath.Join(root, fmt.Sprint(lives))}
		l.begin(r)
		defer func() { check(r, l.book.close()) }()
		r.Repeat(map[string]func(*rapid.T){"": l.check, "record": l.add, "apply": l.apply, "break off": l.breakOff, "reopen": l.reopen, "kill": l.kill})

		check(r, l.book.apply(batch(l.book.place.upto+1, l.record[l.book.place.upto:]...)))
		anew := &life{root: filepath.Join(l.root, "anew"), record: l.record}
		anew.begin(r)
		defer func() { check(r, anew.book.close()) }()
		check(r, anew.book.apply(batch(1, l.record...)))
		if got, want := l.book.sums(), anew.book.sums(); !reflect.DeepEqual(got, want) {
			r.Fatalf("totals %v, made anew %v", got, want)
		}
	})
}

func TestTheLogGivesEventsBack(t *testing.T) {
	b := newBook(t)
	want := stats.Event{
		ID: "req_1", Label: "mine-1", Time: noon.Add(123 * time.Millisecond), KeyID: "k_1", Method: "POST", Path: "/v1/chat/completions", Model: "claude-opus-4", Stream: true,
		Status: 502, ErrorCode: "worker_failed", DurationMS: 1, Usage: chat.Usage{InputTokens: 2, OutputTokens: 3, CacheReadTokens: 4, CacheWriteTokens: 5}, RequestBytes: 6, ResponseBytes: 7,
	}
	must(t, b.apply(batch(1, want)))
	got, err := b.log.Page(t.Context(), "k_1", Span{}, 0, 10)
	must(t, err)
	if want := []stats.Recorded{{Event: want, Seq: 1}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestPagesAreNewestFirstAndOneKeysOnly(t *testing.T) {
	b := newBook(t)
	must(t, b.apply(batch(1, events(0, 30)...))) // ten of each key, a minute after one another
	for _, tt := range []struct {
		name        string
		in          Span
		skip, limit int
		want        []int
	}{
		{"the newest", Span{}, 0, 3, []int{28, 25, 22}},
		{"the next", Span{}, 3, 3, []int{19, 16, 13}},
		{"the end", Span{}, 9, 3, []int{1}},
		{"beyond it", Span{}, 10, 3, nil},
		{"from, which is in it", Span{From: noon.Add(25 * time.Minute)}, 0, 9, []int{28, 25}},
		{"until, which is not", Span{Until: noon.Add(4 * time.Minute)}, 0, 9, []int{1}},
		{"just after one", Span{From: noon.Add(25*time.Minute + 1)}, 0, 9, []int{28}},
		{"just after one, until", Span{Until: noon.Add(4*time.Minute + 1)}, 0, 9, []int{4, 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			page, err := b.log.Page(t.Context(), "k_1", tt.in, tt.skip, tt.limit)
			must(t, err)
			var got []int
			for _, e := range page {
				if e.KeyID != "k_1" {
					t.Errorf("an event of %s", e.KeyID)
				}
				got = append(got, int(e.DurationMS))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestNewestOfADayAreOldestFirst(t *testing.T) {
	b := newBook(t)
	midnight := noon.Add(12 * time.Hour)
	at := func(id string, at time.Time) stats.Event { return stats.Event{ID: id, Time: at, KeyID: "k"} }
	must(t, b.apply(batch(1,
		at("last", midnight.Add(-time.Millisecond)), at("first of the next", midnight), at("one before", midnight.Add(-time.Hour)),
		at("elsewhere", midnight.Add(-30*time.Minute).In(time.FixedZone("", 5*3600))), at("long before", midnight.Add(-20*time.Hour)))))
	newest, err := b.log.Newest(t.Context(), totals.DayOf(noon), 3)
	must(t, err)
	var got []string
	for _, e := range newest {
		got = append(got, e.ID)
	}
	if want := []string{"one before", "elsewhere", "last"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if days := b.totals.Days(); len(days) != 2 || days[0].Requests != 4 || days[1].Requests != 1 {
		t.Errorf("days %v", days)
	}
}

func TestWhatTheRecordDropsIsForgotten(t *testing.T) {
	b := newBook(t)
	must(t, b.apply(batch(1, events(0, 1500)...))) // 25 hours from noon: two days
	must(t, b.forget(1001))                        // of the second
	if got := b.sums(); !reflect.DeepEqual(got, sumsOf(events(720, 1500))) {
		t.Errorf("totals are not those of the days that are left: %v", got)
	}
	if n := count(t, b.log); n != 500 {
		t.Errorf("%d events are left, want 500", n)
	}
	must(t, b.forget(3000))
	if got := b.sums(); len(got) != 0 || b.place.upto != 2999 {
		t.Errorf("%v is left of an empty record, at %d", got, b.place.upto)
	}
	path := filepath.Join(t.TempDir(), fileName)
	must(t, copyFile(path, b))
	again, err := openBook(path)
	must(t, err)
	defer again.close()
	if got := again.sums(); len(got) != 0 || again.place != b.place {
		t.Errorf("the file still has %v, at %v", got, again.place)
	}
}

func count(t testing.TB, l *Log) (n int) {
	t.Helper()
	must(t, l.db.QueryRow("SELECT count(*) FROM log").Scan(&n))
	return n
}

func copyFile(path string, b *book) error {
	_, err := b.db.Exec("VACUUM INTO ?", path)
	return err
}

func TestPartsOfDaysAddUp(t *testing.T) {
	b := newBook(t)
	all := events(0, 4000) // almost three days
	must(t, b.apply(batch(1, all...)))
	p := &Projection{book: b, ready: true}
	rapid.Check(t, func(r *rapid.T) {
		minute := rapid.Custom(func(r *rapid.T) time.Time {
			return noon.Add(time.Duration(rapid.IntRange(-2000, 6000).Draw(r, "minute")) * time.Minute)
		})
		bound := rapid.OneOf(minute, rapid.Just(time.Time{}), rapid.SampledFrom([]time.Time{noon.Add(12 * time.Hour), noon.Add(36 * time.Hour)}))
		for range 10 {
			in := Span{bound.Draw(r, "from"), bound.Draw(r, "until")}
			if !in.Until.IsZero() && in.Until.Before(in.From) {
				in.From, in.Until = in.Until, in.From
			}
			var got totals.Sum
			check(r, p.Of(context.Background(), "k_1", in, func(_ totals.Cell, s totals.Sum) { got = got.Plus(s) }))
			if want := sumOf(all, "k_1", in); got != want {
				r.Fatalf("%v: %+v, want %+v", in, got, want)
			}
		}
	})
}

func sumOf(events []stats.Event, key string, in Span) (s totals.Sum) {
	for _, e := range events {
		if e.KeyID == key && !e.Time.Before(in.From) && (in.Until.IsZero() || e.Time.Before(in.Until)) {
			s = s.Plus(totals.Of(e))
		}
	}
	return s
}

func TestFilesThatCannotBeUsed(t *testing.T) {
	whole := newBook(t)
	must(t, whole.apply(batch(1, events(0, 1000)...)))
	for name, spoil := range map[string]func(t *testing.T, path string){
		"there is none": func(t *testing.T, path string) { must(t, os.Remove(path)) },
		"empty":         func(t *testing.T, path string) { must(t, os.Truncate(path, 0)) },
		"no database":   func(t *testing.T, path string) { must(t, os.WriteFile(path, make([]byte, 8192), 0o600)) },
		"cut off":       func(t *testing.T, path string) { must(t, os.Truncate(path, 5000)) },
		"overwritten":   func(t *testing.T, path string) { overwrite(t, path, 4096) },
		"an older schema": func(t *testing.T, path string) {
			change(t, path, "PRAGMA user_version = 0")
		},
		"a later schema": func(t *testing.T, path string) { change(t, path, "PRAGMA user_version = 99") },
		"a missing table": func(t *testing.T, path string) {
			change(t, path, "DROP TABLE totals")
		},
		"no place": func(t *testing.T, path string) { change(t, path, "DELETE FROM place") },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), fileName)
			must(t, copyFile(path, whole))
			spoil(t, path)
			b, err := openBook(path)
			if err == nil {
				err = errors.Join(b.check(t.Context()), b.close())
			}
			if !errors.Is(err, errUnusable) {
				t.Errorf("error %v, want that it cannot be used", err)
			}
		})
	}
}

// overwrite puts nonsense in the place of all behind an offset.
func overwrite(t testing.TB, path string, from int64) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer file.Close()
	size, err := file.Seek(0, io.SeekEnd)
	must(t, err)
	nonsense := make([]byte, size-from)
	for i := range nonsense {
		nonsense[i] = byte(i*7 + 3)
	}
	_, err = file.WriteAt(nonsense, from)
	must(t, err)
}

func change(t testing.TB, path, query string) {
	t.Helper()
	db, err := connect(path, false)
	must(t, err)
	defer db.Close()
	_, err = db.Exec(query)
	must(t, err)
}

func TestTheFileIsItsOwnersAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, fileName)
	must(t, create(path))
	b, err := openBook(path)
	must(t, err)
	defer b.close()
	must(t, b.begin(stats.Extent{Created: noon, First: 1}))
	files, err := os.ReadDir(dir)
	must(t, err)
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", f.Name(), info.Mode(), err)
		}
	}
}
