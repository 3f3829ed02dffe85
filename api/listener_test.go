package api

import (
	"errors"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
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
