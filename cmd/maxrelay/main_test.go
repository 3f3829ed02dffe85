package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"maxrelay/session/claudetest"
)

// asProgram makes the test binary be maxrelay, so that tests can start, signal and kill
// it as processes of their own.
const asProgram = "MAXRELAY_TEST_AS_PROGRAM"

// endsAtOnce keeps such a process from waiting a second at its end, as the race detector
// has it.
const endsAtOnce = "GORACE=atexit_sleep_ms=0"

func TestMain(m *testing.M) {
	claudetest.Main()
	if at := os.Getenv(asDisk); at != "" {
		holdDisk(at)
		return
	}
	if os.Getenv(asProgram) != "" {
		os.Unsetenv(asProgram) // no variable of the configuration
		tellGoroutines()
		main()
		return
	}
	goleak.VerifyTestMain(m)
}
