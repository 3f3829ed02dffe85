// Package daybook keeps log/stats.json: what was used in all, in each month and on each day, and each day's newest requests.
package daybook
