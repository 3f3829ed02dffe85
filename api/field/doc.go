// Package field reads the JSON of a request in place, so that every error names the field at fault and repeats none of it.
package field
