package projection

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// schemaVersion changes with the schema. A file of another version is made anew.
const schemaVersion = 1

// The unique index on id is what makes an event count once. Ids begin with their time,
// so it grows at its end. The others are for a key's log and for a day's newest.
const schema = `
CREATE TABLE log (
	seq            INTEGER PRIMARY KEY,
	id             TEXT    NOT NULL UNIQUE,
	label          TEXT    NOT NULL,
	key            TEXT    NOT NULL,
	time           INTEGER NOT NULL, -- milliseconds since 1970
	method         TEXT    NOT NULL,
	path           TEXT    NOT NULL,
	model          TEXT    NOT NULL,
	stream         INTEGER NOT NULL,
	status         INTEGER NOT NULL,
	code           TEXT    NOT NULL,
	millis         INTEGER NOT NULL,
	input          INTEGER NOT NULL,
	output         INTEGER NOT NULL,
	cache_read     INTEGER NOT NULL,
	cache_write    INTEGER NOT NULL,
	request_bytes  INTEGER NOT NULL,
	response_bytes INTEGER NOT NULL
);
CREATE INDEX log_key ON log (key, time);
CREATE INDEX log_time ON log (time);
CREATE TABLE totals (
	day         INTEGER NOT NULL, -- since 1970
	key         TEXT    NOT NULL,
	model       TEXT    NOT NULL,
	code        TEXT    NOT NULL,
	requests    INTEGER NOT NULL,
	input       INTEGER NOT NULL,
	output      INTEGER NOT NULL,
	cache_read  INTEGER NOT NULL,
	cache_write INTEGER NOT NULL,
	hits        INTEGER NOT NULL,
	millis      INTEGER NOT NULL,
	last        INTEGER NOT NULL,
	PRIMARY KEY (day, key, model, code)
) WITHOUT ROWID;
CREATE TABLE place (
	record INTEGER NOT NULL, -- when the stream was created, in nanoseconds since 1970
	first  INTEGER NOT NULL, -- what the stream held first at the last look
	upto   INTEGER NOT NULL  -- all up to here was applied
);
`

const (
	logColumns    = "seq, id, label, key, time, method, path, model, stream, status, code, millis, input, output, cache_read, cache_write, request_bytes, response_bytes"
	totalsColumns = "day, key, model, code, requests, input, output, cache_read, cache_write, hits, millis, last"
)

// fileName is the file within its folder.
const fileName = "usage.db"

// errUnusable is a file that has to be made anew.
var errUnusable = errors.New("cannot be used")

// connect opens a file for one use. Writing waits for nothing: a file that a crash of
// the machine damages is made anew.
func connect(path string, readOnly bool) (*sql.DB, error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: there is none", errUnusable) // SQLite would make one
	}
	pragmas := url.Values{"_pragma": {"busy_timeout(5000)", "cache_size(-32768)"}}
	if readOnly {
		pragmas.Set("mode", "ro")
	} else {
		pragmas.Set("_txlock", "immediate")
		pragmas["_pragma"] = append(pragmas["_pragma"], "journal_mode(WAL)", "synchronous(NORMAL)", "wal_autocheckpoint(4000)")
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return sql.Open("sqlite", "file:"+(&url.URL{Path: absolute}).String()+"?"+pragmas.Encode())
}

// create makes an empty file, which only its owner can read.
func create(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	db, err := connect(path, false)
	if err != nil {
		return err
	}
	_, err = db.Exec("BEGIN;" + schema + fmt.Sprintf("INSERT INTO place VALUES (0, 0, 0); PRAGMA user_version = %d; COMMIT;", schemaVersion))
	return errors.Join(err, db.Close())
}

// checkSchema returns errUnusable for a file that is not of this schema.
func checkSchema(db *sql.DB) error {
	var version int
	if err := db.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		return unusable(err)
	}
	if version != schemaVersion {
		return fmt.Errorf("%w: its schema has version %d, this program wants %d", errUnusable, version, schemaVersion)
	}
	for _, query := range []string{"SELECT " + logColumns + " FROM log LIMIT 1", "SELECT " + totalsColumns + " FROM totals LIMIT 1"} {
		if _, err := db.Exec(query); codeOf(err) == sqlite3.SQLITE_ERROR {
			return fmt.Errorf("%w: %w", errUnusable, err)
		} else if err != nil {
			return unusable(err)
		}
	}
	return nil
}

// remove deletes the file and what SQLite keeps beside it.
func remove(path string) error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// unusable marks errors that tell of damage, and not of a full disk or a missing right,
// which a new file would meet as well.
func unusable(err error) error {
	switch codeOf(err) {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_MISMATCH:
		return fmt.Errorf("%w: %w", errUnusable, err)
	}
	return err
}

// codeOf is what kind of error SQLite tells, 0 for others. What it leaves out tells more
// (https://sqlite.org/rescode.html).
func codeOf(err error) int {
	failed, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return 0
	}
	return failed.Code() & 0xff
}
