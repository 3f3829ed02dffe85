package linktest

import (
	"context"
	"net"
	"time"
)

// passage is one connection through a link.
type passage struct {
	link           *Link
	client, server *net.TCPConn // server is nil where nobody listens
	ctx            context.Context
	end            context.CancelFunc
}

// cut breaks both connections as a lost network does: with a reset, and not in order.
func (p *passage) cut() {
	for _, c := range []*net.TCPConn{p.client, p.server} {
		if c != nil {
			_ = c.SetLinger(0)
		}
	}
	p.close()
}

func (p *passage) close() {
	p.end()
	for _, c := range []*net.TCPConn{p.client, p.server} {
		if c != nil {
			_ = c.Close()
		}
	}
}

// carry takes bytes one way until there are no more, and then the news of that.
func (p *passage) carry(to, from *net.TCPConn, pace func(Weather) Pace) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if !p.pass(to, buf[:n], pace) {
			p.cut()
			return
		}
		if err != nil {
			_ = to.CloseWrite()
			return
		}
	}
}

// pass reports whether the bytes got through; without any, whether one could.
func (p *passage) pass(to *net.TCPConn, bytes []byte, pace func(Weather) Pace) bool {
	for {
		n, ok := p.wait(len(bytes), pace)
		if !ok {
			return false
		}
		if _, err := to.Write(bytes[:n]); err != nil {
			return false
		}
		if bytes = bytes[n:]; len(bytes) == 0 {
			return true
		}
	}
}

// wait returns how many of n bytes may pass now.
func (p *passage) wait(n int, of func(Weather) Pace) (some int, ok bool) {
	for {
		pace, news := p.pace(of)
		var over <-chan time.Time
		switch pace {
		case Free:
			return n, p.ctx.Err() == nil
		case Slow:
			over = time.After(SlowPause)
		}
		select {
		case <-over:
			return min(n, SlowChunk), true
		case <-news:
		case <-p.ctx.Done():
			return 0, false
		}
	}
}

func (p *passage) pace(of func(Weather) Pace) (Pace, <-chan struct{}) {
	p.link.mu.Lock()
	defer p.link.mu.Unlock()
	return of(p.link.weather), p.link.news
}
