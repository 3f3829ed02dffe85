// Command fakeclaude is claudetest's fake CLI as a small binary of its own, for load tests.
package main

import (
	"os"

	"maxrelay/session/claudetest"
)

func main() {
	if err := os.Setenv(claudetest.Env, "1"); err != nil {
		panic(err)
	}
	claudetest.Main()
}
