// Package tool reads the tools that clients offer, in a form that the CLI takes, and gives calls of them back in the client's.
package tool
