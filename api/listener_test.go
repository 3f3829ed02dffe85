package api

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"maxrelay/queue"
)

func TestAListenerThatStopsBreaksNoConnection(t *testing.T) {
	l, err := listen("127.0.0.1:0")
	must(t, err)
	var waiting []net.Conn
	for range 20 { // nobody has accepted them when it stops
		c, err := net.Dial("tcp", l.Addr().String())
		must(t, err)
		defer c.Close()
		_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		must(t, err)
		waiting = append(waiting, c)
	}
	l.stop()
	l.stop()
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })}
	if err := server.Serve(l); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
	<-l.stopped
	for i, c := range waiting {
		answer, err := io.ReadAll(c)
		if err != nil || len(answer) < 20 || string(answer[:12]) != "HTTP/1.1 204" {
			t.Errorf("connection %d: %q, %v", i, answer, err)
		}
	}
	if _, err := net.Dial("tcp", l.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a late connection: %v", err)
	}
	must(t, server.Shutdown(t.Context()))
}

func TestAListenerThatIsClosedHasStopped(t *testing.T) {
	l, err := listen("127.0.0.1:0")
	must(t, err)
	must(t, l.Close())
	l.stop()
	<-l.stopped
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accepting: %v", err)
	}
}

// Their connections are there when the server stops, and their requests are not.
func TestAServerThatStopsAnswersWhoIsOnTheWay(t *testing.T) {
	n := openNode(t, Config{}, queue.OwnerConfig{}, nil)
	var coming []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", n.Addr().String())
		must(t, err)
		defer c.Close()
		coming = append(coming, c)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- n.Close(t.Context()) }()
	<-n.clients.listen.stopped
	for _, c := range coming {
		_, err := io.WriteString(c, "GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
		must(t, err)
	}
	for i, c := range coming {
		if answer, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200") {
			t.Errorf("connection %d: %q, %v", i, answer, err)
		}
	}
	must(t, <-stopped)
}
