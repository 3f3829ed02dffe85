// Package projection keeps what can be asked about usage: a searchable copy of the record, and its totals, in one SQLite file.
//
// The record is the stream USAGE; the file can be thrown away at any time. Each API node
// has its own:
//
//	USAGE ──Reader──▶ book.apply, one transaction ──▶ totals in memory
//	                    │ events whose id is new        │
//	                    │ sums they change              ▼
//	                    ▼ how far it has read         Use, Days, OfKey, OfAll
//	                  usage.db ──▶ Log: pages, newest of a day, parts of days
//
// An event counts once: what a transaction adds to the log, to the sums and to the place
// it has read up to is there together or not at all, and an id that is in the log is not
// added again. The totals in memory change after it, by the same sums.
//
// A file that is damaged, of another schema or of another record is made anew. Until
// the new one has caught up, questions get ErrNotReady: a part of the numbers would
// look like all of them.
package projection
