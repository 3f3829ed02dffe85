// Package stats counts what was used: one event per model request, kept in a JetStream stream, and estimates of tokens nobody counted.
package stats
