// Package picture tells what a picture is and makes it small enough for Claude Code to pass on unchanged.
package picture
