package projection

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"maxrelay/stats"
	"maxrelay/stats/totals"
)

// Log is the searchable copy of the record, read only. Of its events what it keeps is
// set, their times to the millisecond.
type Log struct {
	db *sql.DB
}

const (
	// readers is how many questions are answered at a time; others wait.
	readers = 4

	// patience is the longest one may take.
	patience = 10 * time.Second
)

// OpenLog opens the log of a folder that a Projection keeps, or kept.
func OpenLog(dir string) (*Log, error) {
	l, err := openLog(filepath.Join(dir, fileName))
	if err != nil {
		return nil, fmt.Errorf("usage log in %s: %w", dir, err)
	}
	if err := checkSchema(l.db); err != nil {
		return nil, errors.Join(fmt.Errorf("usage log in %s: %w", dir, err), l.Close())
	}
	return l, nil
}

func openLog(path string) (*Log, error) {
	db, err := connect(path, true)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(readers)
	db.SetMaxIdleConns(readers)
	return &Log{db}, nil
}

// Close ends it.
func (l *Log) Close() error { return l.db.Close() }

// Page returns events of a key, newest first.
func (l *Log) Page(ctx context.Context, key string, in Span, skip, limit int) ([]stats.Recorded, error) {
	from, until := in.millis()
	// What is skipped is skipped in the index alone.
	return l.events(ctx, "SELECT "+logColumns+` FROM log WHERE seq IN (
		SELECT seq FROM log WHERE key = ? AND time >= ? AND time < ? ORDER BY time DESC, seq DESC LIMIT ? OFFSET ?
	) ORDER BY time DESC, seq DESC`, key, from, until, limit, skip)
}

// Newest returns the newest events of a day, oldest first.
func (l *Log) Newest(ctx context.Context, day totals.Day, limit int) ([]stats.Recorded, error) {
	from, until := Span{day.Start(), (day + 1).Start()}.millis()
	return l.events(ctx, "SELECT "+logColumns+" FROM (SELECT "+logColumns+` FROM log WHERE time >= ? AND time < ? ORDER BY time DESC, seq DESC LIMIT ?)
		ORDER BY time, seq`, from, until, limit)
}

func (l *Log) events(ctx context.Context, query string, args ...any) (all []stats.Recorded, err error) {
	err = l.each(ctx, func(e stats.Recorded) error {
		all = append(all, e)
		return nil
	}, query, args...)
	return all, err
}

// Each calls take with all events of a span, oldest first, of one key or, with "", of
// all. It may take as long as ctx lets it.
func (l *Log) Each(ctx context.Context, key string, in Span, take func(stats.Recorded) error) error {
	from, until := in.millis()
	if key == "" {
		return l.scan(ctx, take, "SELECT "+logColumns+" FROM log WHERE time >= ? AND time < ? ORDER BY time, seq", from, until)
	}
	return l.scan(ctx, take, "SELECT "+logColumns+" FROM log WHERE key = ? AND time >= ? AND time < ? ORDER BY time, seq", key, from, until)
}

func (l *Log) each(ctx context.Context, take func(stats.Recorded) error, query string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return l.scan(ctx, take, query, args...)
}

func (l *Log) scan(ctx context.Context, take func(stats.Recorded) error, query string, args ...any) error {
	rows, err := l.db.QueryContext(ctx, query, args...)
	if err != nil {
		return unusable(err)
	}
	defer rows.Close()
	for rows.Next() {
		e, err := scanEvent(rows)
		if err != nil {
			return unusable(err)
		}
		if err := take(e); err != nil {
			return err
		}
	}
	return unusable(rows.Err())
}

func scanEvent(rows *sql.Rows) (e stats.Recorded, err error) {
	var ms int64
	u := &e.Usage
	err = rows.Scan(&e.Seq, &e.ID, &e.Label, &e.KeyID, &ms, &e.Method, &e.Path, &e.Model, &e.Stream, &e.Status, &e.ErrorCode, &e.DurationMS,
		&u.InputTokens, &u.OutputTokens, &u.CacheReadTokens, &u.CacheWriteTokens, &e.RequestBytes, &e.ResponseBytes)
	e.Time = time.UnixMilli(ms).UTC()
	return e, err
}

// Part is what a key used in a part of a day.
type Part struct {
	totals.Cell
	totals.Sum
}

// parts sums up a span within one day, exactly where the totals know whole days only.
// Models are those of the events: beyond totals.MaxModels they are more.
func (l *Log) parts(ctx context.Context, key string, in Span) (all []Part, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	from, until := in.millis()
	rows, err := l.db.QueryContext(ctx, `SELECT model, code, count(*), sum(input), sum(output), sum(cache_read), sum(cache_write),
		sum(cache_read > 0), sum(millis), max(time) FROM log WHERE key = ? AND time >= ? AND time < ? GROUP BY model, code`, key, from, until)
	if err != nil {
		return nil, unusable(err)
	}
	defer rows.Close()
	for rows.Next() {
		p := Part{Cell: totals.Cell{Day: totals.DayOf(in.From), Key: key}}
		if err := rows.Scan(&p.Model, &p.Code, &p.Requests, &p.Input, &p.Output, &p.CacheRead, &p.CacheWrite, &p.Hits, &p.Millis, &p.Last); err != nil {
			return nil, unusable(err)
		}
		all = append(all, p)
	}
	return all, unusable(rows.Err())
}
