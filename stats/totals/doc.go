// Package totals folds usage events into sums for each day, key, model and error code, in memory.
package totals
