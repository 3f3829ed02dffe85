package key

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func TestNetworksAdmit(t *testing.T) {
	for _, tc := range []struct {
		list, addr string
		want       bool
	}{
		{"", "203.0.113.9", true},
		{"", "", true},
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"::ffff:192.0.2.1", "192.0.2.1", true},
		{"::ffff:192.0.2.0/120", "192.0.2.77", true},
		{"::ffff:192.0.2.0/120", "192.0.3.77", false},
		{"192.0.2.0/24", "192.0.2.255", true},
		{"192.0.2.0/24", "192.0.3.0", false},
		{"192.0.2.77/24", "192.0.2.1", true},
		{"0.0.0.0/0", "8.8.8.8", true},
		{"0.0.0.0/0", "2001:db8::1", false},
		{"::/0", "2001:db8::1", true},
		{"::/0", "8.8.8.8", false},
		{"2001:db8::/32", "2001:db8:ffff::1", true},
		{"2001:db8::/32", "2001:db9::1", false},
		{"fe80::1", "fe80::1%eth0", true},
		{"::1", "::1", true},
		{"::1", "127.0.0.1", false},
		{"10.0.0.1 2001:db8::1", "2001:db8::1", true},
		{"0.0.0.0/0 ::/0", "", false},
	} {
		n, err := ParseNetworks(strings.Fields(tc.list))
		if err != nil {
			t.Errorf("%s: %v", tc.list, err)
			continue
		}
		addr, _ := netip.ParseAddr(tc.addr)
		if got := n.Admit(addr); got != tc.want {
			t.Errorf("[%s] admits %q: %t", tc.list, tc.addr, got)
		}
	}
}

func TestBadNetworksAreRefusedWithoutRepeatingThem(t *testing.T) {
	for _, text := range []string{"", "hunter2", "192.0.2", "192.0.2.1/33", "192.0.2.1/-1", "2001:db8::/129", "fe80::1%eth0", "192.0.2.1:80", "*", "192.0.2.1 ", "fe80::%1/64"} {
		if _, err := ParseNetworks([]string{"::1", text}); err == nil || !strings.Contains(err.Error(), "entry 2") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestPeer(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:99": "192.0.2.1", "[2001:db8::1]:99": "2001:db8::1", "[::ffff:192.0.2.1]:99": "192.0.2.1", "pipe": "invalid IP", "": "invalid IP", "host:1": "invalid IP",
	} {
		if got := Peer(&http.Request{RemoteAddr: remote}).String(); got != want {
			t.Errorf("%q: %s", remote, got)
		}
	}
}
