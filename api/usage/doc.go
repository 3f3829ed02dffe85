// Package usage answers what was used: a key's own totals, days, log and quota, and every key's totals for administrators.
package usage
