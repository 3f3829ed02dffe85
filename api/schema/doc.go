// Package schema reads the JSON Schemas of callers and brings those of tools into a form that the CLI takes.
package schema
