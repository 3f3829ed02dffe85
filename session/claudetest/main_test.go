package claudetest_test

import (
	"testing"

	"go.uber.org/goleak"

	"maxrelay/session/claudetest"
)

func TestMain(m *testing.M) {
	claudetest.Main()
	goleak.VerifyTestMain(m)
}
