package linktest_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"maxrelay/queue/linktest"
)

// guard is how long a test waits before it calls a link hung.
const guard = time.Minute

// echoServer returns the address of a server that sends back what it gets.
func echoServer(t *testing.T) string {
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			c, err := listen.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	t.Cleanup(func() { listen.Close(); <-over })
	return listen.Addr().String()
}

func dialLink(t *testing.T, l *linktest.Link) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(guard)); err != nil {
		t.Fatal(err)
	}
	return c
}

func mustEcho(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	mustRead(t, c, text)
}

func mustRead(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v; want %q", got, err, want)
	}
}

// mustBreak wants a reset: an end in order would be a lie about what happened.
func mustBreak(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v, want a reset", err)
	}
}

// mustBeRefused wants a connection that leads nowhere. It may break before the client
// knows that there was one.
func mustBeRefused(t *testing.T, l *linktest.Link) {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr())
	if errors.Is(err, syscall.ECONNRESET) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	mustBreak(t, c)
	if !l.Refused(c.LocalAddr()) {
		t.Error("the link does not know that it refused")
	}
}

func TestAFairLinkPassesBytesAndTheirEnd(t *testing.T) {
	l := linktest.New(t, echoServer(t))
	c := dialLink(t, l)
	long := strings.Repeat("all of it ", 100_000)
	go func() {
		_, _ = io.WriteString(c, long)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || string(got) != long {
		t.Errorf("%d bytes of %d, %v", len(got), len(long), err)
	}
	if l.Refused(c.LocalAddr()) {
		t.Error("a connection that led somewhere counts as refused")
	}
}

func TestACutLinkBreaksWhatIsOpenAndRefusesTheRest(t *testing.T) {
	l := linktest.New(t, echoServer(t))
	before := dialLink(t, l)
	mustEcho(t, before, "hello")
	l.Turn(linktest.Weather{Cut: true})
	mustBreak(t, before)
	if l.Refused(before.LocalAddr()) {
		t.Error("a connection that led somewhere counts as refused")
	}
	mustBeRefused(t, l)
	l.Turn(linktest.Weather{})
	mustEcho(t, dialLink(t, l), "again")
}

func TestALinkToNobodyRefuses(t *testing.T) {
	l := linktest.New(t, "")
	mustBeRefused(t, l)
	l.LeadTo(echoServer(t))
	mustEcho(t, dialLink(t, l), "somebody")
}

func TestAHeldLinkKeepsBytesForLater(t *testing.T) {
	for _, tc := range []struct {
		name string
		held linktest.Weather
	}{
		{"up", linktest.Weather{Up: linktest.Held}},
		{"down", linktest.Weather{Down: linktest.Held}},
		{"both", linktest.Weather{Up: linktest.Held, Down: linktest.Held}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := linktest.New(t, echoServer(t))
			c := dialLink(t, l)
			mustEcho(t, c, "before ")
			l.Turn(tc.held)
			if _, err := io.WriteString(c, "while held"); err != nil {
				t.Fatal(err)
			}
			if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			var slow net.Error
			if n, err := c.Read(make([]byte, 1)); !errors.As(err, &slow) || !slow.Timeout() {
				t.Fatalf("read %d bytes, %v", n, err)
			}
			if err := c.SetReadDeadline(time.Now().Add(guard)); err != nil {
				t.Fatal(err)
			}
			l.Turn(linktest.Weather{})
			mustRead(t, c, "while held")
		})
	}
}

func TestAHeldWayLeavesTheOtherOpen(t *testing.T) {
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listen.Close()
	l := linktest.New(t, listen.Addr().String())
	client := dialLink(t, l)
	server, err := listen.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	l.Turn(linktest.Weather{Up: linktest.Held})
	for from, text := range map[net.Conn]string{client: "up", server: "down"} {
		if _, err := io.WriteString(from, text); err != nil {
			t.Fatal(err)
		}
	}
	mustRead(t, client, "down")
	l.Turn(linktest.Weather{})
	mustRead(t, server, "up")
}

func TestASlowLinkTakesItsTime(t *testing.T) {
	l := linktest.New(t, echoServer(t))
	c := dialLink(t, l)
	mustEcho(t, c, "before")
	l.Turn(linktest.Weather{Up: linktest.Slow})
	begun := time.Now()
	mustEcho(t, c, strings.Repeat("x", 5*linktest.SlowChunk))
	if took := time.Since(begun); took < 5*linktest.SlowPause {
		t.Errorf("%v", took)
	}
}
