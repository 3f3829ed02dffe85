package projection

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"maxrelay/stats"
)

func TestTotalsFollowTheRecord(t *testing.T) {
	b := startBroker(t, t.TempDir())
	b.record(t, events(0, 100)...)
	p := open(t, t.TempDir(), b.nc)
	must(t, p.Ready(within(t)))
	p.mustHave(t, events(0, 100))

	b.record(t, events(100, 150)...)
	p.caughtUpTo(t, 150)
	p.mustHave(t, events(0, 150))
	if got := p.Use("k_1"); got.Requests != 50 || got.Tokens == 0 || got.Errors != 0 || got.LastUsed != event(148).Time {
		t.Errorf("%+v", got)
	}
	if got := p.Use("k_unknown"); got.Requests != 0 || !got.LastUsed.IsZero() {
		t.Errorf("an unknown key has used %+v", got)
	}
}

func TestDuplicatesInTheRecordChangeNothing(t *testing.T) {
	b := startBroker(t, t.TempDir())
	all := events(0, 50)
	b.record(t, all...)
	b.record(t, all...)
	dir := t.TempDir()
	p := open(t, dir, b.nc)
	must(t, p.Ready(within(t)))
	p.mustHave(t, all)
	b.record(t, all[7], event(50), all[49])
	p.caughtUpTo(t, 103)
	p.mustHave(t, append(all, event(50)))
}

func TestWhatIsNoEventIsPassedOver(t *testing.T) {
	b := startBroker(t, t.TempDir())
	b.record(t, event(1))
	must(t, b.nc.Publish("usage.ev.k.m", []byte("nonsense")))
	b.record(t, event(2))
	p := open(t, t.TempDir(), b.nc)
	p.caughtUpTo(t, 3)
	p.mustHave(t, events(1, 3))
}

func TestAStartReadsOnlyWhatIsNew(t *testing.T) {
	b := startBroker(t, t.TempDir())
	b.record(t, events(0, 100)...)
	dir := t.TempDir()
	p := open(t, dir, b.nc)
	must(t, p.Ready(within(t)))
	p.Close()

	// What the file has is not read again: a mark in it is still there.
	change(t, filepath.Join(dir, fileName), "UPDATE log SET path = 'mark' WHERE seq = 50")
	b.record(t, events(100, 120)...)
	p = open(t, dir, b.nc)
	p.caughtUpTo(t, 120)
	p.mustHave(t, events(0, 120))
	page, err := p.Page(t.Context(), event(49).KeyID, Span{From: event(49).Time}, 0, 1000)
	must(t, err)
	if last := page[len(page)-1]; last.Path != "mark" {
		t.Errorf("event 49 is %+v", last)
	}
}

func TestNodesKnowTheSame(t *testing.T) {
	b := startBroker(t, t.TempDir())
	early := open(t, t.TempDir(), b.nc)
	for i := range 20 {
		b.record(t, events(10*i, 10*i+15)...) // a third is told twice
	}
	late := open(t, t.TempDir(), b.nc)
	for _, p := range []*Projection{early, late} {
		p.caughtUpTo(t, 300)
		p.mustHave(t, events(0, 205))
	}
}

func TestABrokerThatRestartsIsFollowedOn(t *testing.T) {
	store := t.TempDir()
	b := startBroker(t, store)
	port := b.Addr().(*net.TCPAddr).Port
	p := open(t, t.TempDir(), b.nc)
	b.record(t, events(0, 10)...)
	p.caughtUpTo(t, 10)

	b.Shutdown()
	b.WaitForShutdown()
	again := restartBroker(t, store, port)
	again.record(t, events(10, 20)...)
	p.caughtUpTo(t, 20)
	p.mustHave(t, events(0, 20))
}

func TestARecordThatBeginsAnewIsReadAnew(t *testing.T) {
	b := startBroker(t, t.TempDir())
	b.record(t, events(0, 10)...)
	dir := t.TempDir()
	p := open(t, dir, b.nc)
	must(t, p.Ready(within(t)))
	p.Close()

	js, err := jetstream.New(b.nc)
	must(t, err)
	must(t, js.DeleteStream(within(t), "USAGE"))
	b.openRecord(t)
	b.record(t, events(50, 80)...)
	p = open(t, dir, b.nc)
	must(t, p.Ready(within(t)))
	p.mustHave(t, events(50, 80))
}

func TestTheLogIsMadeAnewWhenItIsDamaged(t *testing.T) {
	for name, spoil := range map[string]func(testing.TB, string){
		"header": func(t testing.TB, path string) { overwrite(t, path, 0) },
		"pages":  func(t testing.TB, path string) { overwrite(t, path, 8192) },
		"schema": func(t testing.TB, path string) { change(t, path, "PRAGMA user_version = 0") },
	} {
		t.Run(name, func(t *testing.T) {
			b := startBroker(t, t.TempDir())
			b.record(t, events(0, 1000)...)
			dir := t.TempDir()
			p := open(t, dir, b.nc)
			must(t, p.Ready(within(t)))
			p.Close()
			spoil(t, filepath.Join(dir, fileName))

			p = open(t, dir, b.nc)
			whole(t, p)
			p.mustHave(t, events(0, 1000))
		})
	}
}

// whole waits until the projection has a file without damage.
func whole(t *testing.T, p *Projection) {
	t.Helper()
	ctx := within(t)
	for {
		changed := p.Changed()
		err := p.ask(func(b *book) error { return b.check(ctx) })
		if err == nil {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

func TestDamageThatAQuestionMeetsIsMended(t *testing.T) {
	b := startBroker(t, t.TempDir())
	b.record(t, events(0, 1000)...)
	dir := t.TempDir()
	p := open(t, dir, b.nc)
	must(t, p.Ready(within(t)))
	must(t, p.ask(func(b *book) error {
		_, err := b.db.Exec("PRAGMA wal_checkpoint(TRUNCATE)")
		return err
	}))
	overwrite(t, filepath.Join(dir, fileName), 8192)
	ctx := within(t)
	for {
		changed := p.Changed()
		err := p.ask(func(b *book) error { // with a connection that remembers nothing
			l, err := openLog(p.path())
			if err != nil {
				return err
			}
			defer l.Close()
			return l.Each(ctx, "", Span{}, func(e stats.Recorded) error { return nil })
		})
		if err == nil {
			break
		}
		if !errors.Is(err, ErrNotReady) {
			t.Fatal(err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
	p.mustHave(t, events(0, 1000))
}

func TestItIsMadeAnewWhenItIsAskedFor(t *testing.T) {
	b := startBroker(t, t.TempDir())
	b.record(t, events(0, 100)...)
	dir := t.TempDir()
	p := open(t, dir, b.nc)
	must(t, p.Ready(within(t)))
	must(t, p.ask(func(b *book) error {
		_, err := b.db.Exec("UPDATE log SET path = 'mark'")
		return err
	}))
	must(t, Rebuild(within(t), dir))
	page, err := p.Page(t.Context(), "k_1", Span{}, 0, 1)
	must(t, err)
	if page[0].Path == "mark" {
		t.Error("it is the former log")
	}
	p.mustHave(t, events(0, 100))
}

func TestQuestionsWaitForTheWholeRecord(t *testing.T) {
	p := &Projection{book: newBook(t)}
	if _, err := p.Days(); !errors.Is(err, ErrNotReady) {
		t.Errorf("error %v, want that it is not ready", err)
	}
	if _, err := p.Page(t.Context(), "k", Span{}, 0, 1); !errors.Is(err, ErrNotReady) {
		t.Errorf("error %v, want that it is not ready", err)
	}
}

// nodeDir and nodeBroker make this test binary a node that keeps a projection there.
const (
	nodeDir    = "MAXRELAY_PROJECTION_TEST_DIR"
	nodeBroker = "MAXRELAY_PROJECTION_TEST_BROKER"
)

// runNode keeps a projection until it is killed, and says when it has got on.
func runNode(dir string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	nc, err := nats.Connect(os.Getenv(nodeBroker))
	fail(err)
	p, err := Open(dir, nc, zerolog.Nop())
	fail(err)
	for {
		changed := p.Changed()
		fmt.Println("on")
		<-changed
	}
}

func TestANodeThatIsKilledLosesAndDoublesNothing(t *testing.T) {
	b := startBroker(t, t.TempDir())
	dir, all := t.TempDir(), 0
	for range 6 {
		node := exec.Command(os.Args[0])
		node.Env = append(os.Environ(), nodeDir+"="+dir, nodeBroker+"="+b.ClientURL())
		out, err := node.StdoutPipe()
		must(t, err)
		must(t, node.Start())
		told := bufio.NewScanner(out)
		for range 1 + rand.IntN(6) { // so many steps of it, and the next one cut off
			b.record(t, append(events(all, all+300), events(max(0, all-50), all)...)...)
			all += 300
			told.Scan()
		}
		must(t, node.Process.Kill())
		_ = node.Wait() // says that it was killed
	}
	p := open(t, dir, b.nc)
	p.caughtUpTo(t, b.extent(t).Last)
	p.mustHave(t, events(0, all))
}
