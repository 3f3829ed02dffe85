package api

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// listener can stop without breaking a connection. The kernel takes connections before
// anybody accepts them; when a listener closes, it resets those it has left, and their
// clients cannot know whether their requests were seen.
type listener struct {
	*net.TCPListener
	stopped chan struct{} // closed when nothing more will be accepted
	stop    func()
	ended   func() // closes stopped
}

func listen(addr string) (*listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return newListener(l.(*net.TCPListener)), nil
}

func newListener(tcp *net.TCPListener) *listener {
	l := &listener{TCPListener: tcp, stopped: make(chan struct{})}
	l.stop = sync.OnceFunc(func() { _ = tcp.SetDeadline(time.Unix(1, 0)) }) // one that is closed needs none
	l.ended = sync.OnceFunc(func() { close(l.stopped) })
	return l
}

// Accept returns, after stop, what is left, and then closes the listener.
func (l *listener) Accept() (net.Conn, error) {
	c, err := l.TCPListener.Accept()
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return c, err
	}
	if c, err := l.acceptLeft(); err == nil {
		return c, nil
	}
	return nil, errors.Join(net.ErrClosed, l.Close())
}

// Close gives up what is left.
func (l *listener) Close() error {
	defer l.ended()
	return l.TCPListener.Close()
}

// acceptLeft does not wait: with its deadline over, the listener's own Accept would not
// even look.
func (l *listener) acceptLeft() (c net.Conn, err error) {
	raw, err := l.SyscallConn()
	if err != nil {
		return nil, err
	}
	failed := raw.Control(func(fd uintptr) { c, err = acceptNow(int(fd)) })
	return c, errors.Join(failed, err)
}

func acceptNow(listening int) (net.Conn, error) {
	syscall.ForkLock.RLock() // no child of ours shall inherit it
	fd, _, err := syscall.Accept(listening)
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "connection")
	defer file.Close() // what is returned has one of its own
	return net.FileConn(file)
}
