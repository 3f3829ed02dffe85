package limit

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(nodeDir); dir != "" {
		runNode(dir)
	}
	goleak.VerifyTestMain(m)
}
