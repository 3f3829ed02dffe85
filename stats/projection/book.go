package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"maxrelay/stats"
	"maxrelay/stats/totals"
)

// book is an open file and the totals in it. One goroutine applies events; what others
// ask of its log and its totals is safe meanwhile.
type book struct {
	db     *sql.DB // one connection, for writing
	log    *Log
	totals *totals.Totals

	addEvent, putSum, putPlace *sql.Stmt

	place place
}

// place is how far a book has read which record.
type place struct {
	record int64  // when the stream was created, in nanoseconds since 1970; 0: no book has begun it
	first  uint64 // what the stream held first at the last look
	upto   uint64 // all up to here was applied
}

// openBook opens a file. Its error is errUnusable when the file has to be made anew.
func openBook(path string) (*book, error) {
	db, err := connect(path, false)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	b := &book{db: db, totals: totals.New()}
	if err := b.load(path); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *book) load(path string) (err error) {
	if err := checkSchema(b.db); err != nil {
		return err
	}
	err = b.db.QueryRow("SELECT record, first, upto FROM place").Scan(&b.place.record, &b.place.first, &b.place.upto)
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: it does not tell its place", errUnusable)
	}
	if err != nil {
		return unusable(err)
	}
	if err := b.loadTotals(); err != nil {
		return unusable(err)
	}
	if err := b.prepare(); err != nil {
		return err
	}
	b.log, err = openLog(path)
	return err
}

func (b *book) loadTotals() error {
	rows, err := b.db.Query("SELECT " + totalsColumns + " FROM totals")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var c totals.Cell
		var s totals.Sum
		if err := rows.Scan(&c.Day, &c.Key, &c.Model, &c.Code, &s.Requests, &s.Input, &s.Output, &s.CacheRead, &s.CacheWrite, &s.Hits, &s.Millis, &s.Last); err != nil {
			return err
		}
		b.totals.Load(c, s)
	}
	return rows.Err()
}

func (b *book) prepare() error {
	for _, s := range []struct {
		into  **sql.Stmt
		query string
	}{
		{&b.addEvent, "INSERT OR IGNORE INTO log (" + logColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
		{&b.putSum, "INSERT OR REPLACE INTO totals (" + totalsColumns + ") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"},
		{&b.putPlace, "UPDATE place SET record = ?, first = ?, upto = ?"},
	} {
		var err error
		if *s.into, err = b.db.Prepare(s.query); err != nil {
			return err
		}
	}
	return nil
}

// close waits for questions that are being answered.
func (b *book) close() error {
	var err error
	if b.log != nil {
		err = b.log.Close()
	}
	return errors.Join(err, b.db.Close())
}

// apply adds a batch. Of events it has already, by their place or by their id, nothing
// is added again.
func (b *book) apply(batch stats.Batch) error {
	draft, next := b.totals.Draft(), b.place
	next.upto = max(next.upto, batch.Last)
	err := b.change(next, func(tx *sql.Tx) error {
		if err := b.addNew(tx, batch.Events, draft); err != nil {
			return err
		}
		return b.putChanged(tx, draft)
	})
	if err == nil {
		draft.Commit()
	}
	return err
}

// change does something to the file together with moving its place, or neither.
func (b *book) change(to place, do func(*sql.Tx) error) error {
	tx, err := b.db.Begin()
	if err != nil {
		return unusable(err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if err := do(tx); err != nil {
		return unusable(err)
	}
	if _, err := tx.Stmt(b.putPlace).Exec(to.record, to.first, to.upto); err != nil {
		return unusable(err)
	}
	if err := tx.Commit(); err != nil {
		return unusable(err)
	}
	b.place = to
	return nil
}

func (b *book) addNew(tx *sql.Tx, events []stats.Recorded, draft *totals.Draft) error {
	add := tx.Stmt(b.addEvent)
	defer add.Close()
	for _, e := range events {
		if e.Seq <= b.place.upto {
			continue
		}
		u := e.Usage
		done, err := add.Exec(e.Seq, e.ID, e.Label, e.KeyID, e.Time.UnixMilli(), e.Method, e.Path, e.Model, e.Stream, e.Status, e.ErrorCode, e.DurationMS,
			u.InputTokens, u.OutputTokens, u.CacheReadTokens, u.CacheWriteTokens, e.RequestBytes, e.ResponseBytes)
		if err != nil {
			return err
		}
		if added, err := done.RowsAffected(); err != nil {
			return err
		} else if added > 0 {
			draft.Add(e.Event)
		}
	}
	return nil
}

func (b *book) putChanged(tx *sql.Tx, draft *totals.Draft) error {
	put := tx.Stmt(b.putSum)
	defer put.Close()
	for c, s := range draft.Changed() {
		if _, err := put.Exec(c.Day, c.Key, c.Model, c.Code, s.Requests, s.Input, s.Output, s.CacheRead, s.CacheWrite, s.Hits, s.Millis, s.Last); err != nil {
			return err
		}
	}
	return nil
}

// begin notes which record the book is of.
func (b *book) begin(of stats.Extent) error {
	first := max(of.First, 1)
	return b.change(place{record: of.Created.UnixNano(), first: first, upto: first - 1}, func(*sql.Tx) error { return nil })
}

// forget drops what the record has dropped: events before first, and days of which no
// event is left. So every node knows the same, whenever it began.
func (b *book) forget(first uint64) error {
	next := b.place
	next.first, next.upto = first, max(next.upto, first-1)
	oldest := totals.Latest
	err := b.change(next, func(tx *sql.Tx) error {
		if _, err := tx.Exec("DELETE FROM log WHERE seq < ?", first); err != nil {
			return err
		}
		var ms sql.NullInt64
		if err := tx.QueryRow("SELECT min(time) FROM log").Scan(&ms); err != nil {
			return err
		}
		if ms.Valid {
			oldest = totals.DayOf(time.UnixMilli(ms.Int64))
		}
		_, err := tx.Exec("DELETE FROM totals WHERE day < ?", oldest)
		return err
	})
	if err == nil {
		b.totals.Forget(oldest)
	}
	return err
}

// check reads the whole file and tells damage that no question has met yet.
func (b *book) check(ctx context.Context) error {
	var found string
	if err := b.log.db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&found); err != nil {
		return unusable(err)
	}
	if found != "ok" {
		return fmt.Errorf("%w: %s", errUnusable, found)
	}
	return nil
}
