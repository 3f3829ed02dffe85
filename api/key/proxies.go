package key

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the machines that are believed when they say who called them. None is, by
// default.
type Proxies Networks

const (
	forwardedFor = "X-Forwarded-For"
	forwarded    = "Forwarded" // RFC 7239
)

// ClientAddr is the address that a request counts as coming from: the other end of its
// connection or, if that is a trusted proxy, the last address in its forwarding header
// that is none. Each proxy appends whom it heard from, so what stands before that
// address is the client's own word.
//
// It is invalid, and so on no list, where it cannot be known: the header is malformed,
// the last proxy did not know either, or the two headers contradict each other. A proxy
// that writes one of them passes on the other as the client sent it.
func (p Proxies) ClientAddr(r *http.Request) netip.Addr {
	peer := Peer(r)
	if !p.trust(peer) || !proxied(r.Header) {
		return peer
	}
	chains := [][]netip.Addr{}
	if lines := r.Header.Values(forwardedFor); len(lines) > 0 {
		chains = append(chains, forwardedForHops(lines))
	}
	if lines := r.Header.Values(forwarded); len(lines) > 0 {
		chains = append(chains, forwardedHops(lines))
	}
	return p.agreed(chains)
}

// OnThisMachine reports whether a request was made on this machine. One that a proxy
// speaks for was not, unless the proxy is here too, trusted, and says so.
func (p Proxies) OnThisMachine(r *http.Request) bool {
	peer := Peer(r)
	if !peer.IsLoopback() || proxied(r.Header) && !p.trust(peer) {
		return false
	}
	return p.ClientAddr(r).IsLoopback()
}

// trust differs from Networks.Admit in that nobody is on an empty list.
func (p Proxies) trust(addr netip.Addr) bool { return len(p) > 0 && Networks(p).Admit(addr) }

// agreed is the client that all chains lead to; there may be none.
func (p Proxies) agreed(chains [][]netip.Addr) (client netip.Addr) {
	for i, chain := range chains {
		at := p.client(chain)
		if i > 0 && at != client {
			return netip.Addr{}
		}
		client = at
	}
	return client
}

// client is the last address of a chain that is no proxy's, or the first of all.
func (p Proxies) client(chain []netip.Addr) netip.Addr {
	for _, addr := range slices.Backward(chain) {
		if !p.trust(addr) {
			return addr
		}
	}
	if len(chain) == 0 {
		return netip.Addr{}
	}
	return chain[0]
}

// proxied reports whether a proxy has a hand in a request, by any sign of one.
func proxied(h http.Header) bool {
	for name := range h {
		if name == forwarded || strings.HasPrefix(name, "X-Forwarded-") || name == "X-Real-Ip" || name == "Via" {
			return true
		}
	}
	return false
}

func forwardedForHops(lines []string) (hops []netip.Addr) {
	for _, line := range lines {
		for text := range strings.SplitSeq(line, ",") {
			hops = append(hops, parseHop(strings.Trim(text, " \t")))
		}
	}
	return hops
}

// parseHop reads an address, with or without a port. What is none is an invalid one.
func parseHop(text string) netip.Addr {
	bare := text
	if len(text) > 2 && text[0] == '[' && text[len(text)-1] == ']' {
		bare = text[1 : len(text)-1]
	}
	addr, err := netip.ParseAddr(bare)
	if err != nil {
		withPort, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}
		}
		addr = withPort.Addr()
	}
	return addr.Unmap().WithZone("")
}
