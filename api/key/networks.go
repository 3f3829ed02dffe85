package key

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
)

// Networks is a list of addresses and CIDR ranges that may call. An empty one lets
// everybody in.
type Networks []netip.Prefix

// ParseNetworks reads addresses and CIDR ranges of both IP versions. IPv4 addresses that
// are written as IPv6 ones mean the same as IPv4 ones.
func ParseNetworks(texts []string) (Networks, error) {
	var n Networks
	for i, text := range texts {
		p, err := parseNetwork(text)
		if err != nil {
			return nil, fmt.Errorf("entry %d is not an address like 192.0.2.1 or a range like 192.0.2.0/24", i+1)
		}
		n = append(n, p)
	}
	return n, nil
}

// mappedBits is the length of ::ffff:0:0/96, which IPv4 addresses are mapped into (RFC
// 4291, section 2.5.5.2).
const mappedBits = 96

func parseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, err
	}
	if p.Addr().Is4In6() && p.Bits() >= mappedBits {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mappedBits)
	}
	return p.Masked(), nil
}

// Admit reports whether the address may call. An invalid one, which is how an address
// that is not known looks, may only where everybody may.
func (n Networks) Admit(addr netip.Addr) bool {
	if len(n) == 0 {
		return true
	}
	addr = addr.Unmap().WithZone("") // no range has a zone
	return slices.ContainsFunc(n, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Peer is the address at the other end of the request's connection, invalid if that has
// none.
func Peer(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr, _ := netip.ParseAddr(host)
	return addr.Unmap()
}
