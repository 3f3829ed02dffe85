package limit

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"maxrelay/queue"
)

// nodeDir makes this test binary a node with its broker in that folder.
const nodeDir = "MAXRELAY_LIMIT_TEST_DIR"

// runNode serves requests until it is killed. Each is noted in a file with what it used
// before it is settled, and then told on standard output.
func runNode(dir string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	ctx := context.Background()
	b, err := queue.OpenBroker(ctx, queue.BrokerConfig{StoreDir: filepath.Join(dir, "nats")}, zerolog.Nop())
	fail(err)
	nc, err := b.Connect("api")
	fail(err)
	l, err := Open(ctx, nc, Config{Node: "n", QuotaWait: hangGuard, Used: noted(dir)}, zerolog.Nop())
	fail(err)
	used, err := os.OpenFile(filepath.Join(dir, "used"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	fail(err)
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for {
				a := request(life(maxAmount), 10, 90)
				ticket, err := l.Admit(ctx, a)
				fail(err)
				<-time.After(100 * time.Millisecond) // a model's answer takes longer than a change to reach the disk
				_, err = fmt.Fprintln(used, a.Request)
				fail(err)
				fail(ticket.Settle(ctx, 7))
				fmt.Println(a.Request)
			}
		})
	}
	clients.Wait()
}

func TestAKilledProcessLosesNoCount(t *testing.T) {
	dir := t.TempDir()
	for range 3 {
		serveAndKill(t, dir)
	}
	b := openBroker(t, dir, "")
	defer b.Close()
	l := startLimiter(t, b, Config{Node: "n", Used: noted(dir)})
	file, err := os.ReadFile(filepath.Join(dir, "used"))
	if err != nil {
		t.Fatal(err)
	}
	want := int64(7 * bytes.Count(file, []byte("\n")))
	if got := counted(t, l, lifeAccount()); got != want {
		t.Errorf("counter is %d, used were %d", got, want)
	}
}

// noted finds out from the file what a request used.
func noted(dir string) func(context.Context, Abandoned) (int64, bool, error) {
	return func(_ context.Context, a Abandoned) (int64, bool, error) {
		file, err := os.ReadFile(filepath.Join(dir, "used"))
		if errors.Is(err, os.ErrNotExist) {
			return 0, false, nil
		}
		return 7, bytes.Contains(file, []byte(a.Request+"\n")), err
	}
}

// serveAndKill starts a node and kills it when it has served a while.
func serveAndKill(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.CommandContext(testContext(t), os.Args[0])
	cmd.Env = append(os.Environ(), nodeDir+"="+dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for n := 0; n < 40 && lines.Scan(); n++ {
	}
	_ = cmd.Process.Kill()
	for lines.Scan() {
	}
	if err := cmd.Wait(); err == nil || stderr.Len() > 0 {
		t.Fatalf("the node ended: %v %s", err, stderr.String())
	}
}
