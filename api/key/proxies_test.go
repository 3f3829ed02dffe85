package key

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func proxies(t testing.TB, texts ...string) Proxies {
	t.Helper()
	n, err := ParseNetworks(texts)
	if err != nil {
		t.Fatal(err)
	}
	return Proxies(n)
}

// asked is a request from remote with the headers, name and value in turn.
func asked(remote string, header ...string) *http.Request {
	r := &http.Request{RemoteAddr: remote, Header: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

const unknown = "invalid IP"

func TestTheClientsAddress(t *testing.T) {
	trusted := proxies(t, "127.0.0.1", "10.0.0.0/8", "2001:db8:1::/48")
	const (
		proxy   = "127.0.0.1:999"
		proxyV6 = "[2001:db8:1::9]:999"
		other   = "203.0.113.7:999"
		xff     = "X-Forwarded-For"
		fwd     = "Forwarded"
	)
	for name, tc := range map[string]struct {
		r    *http.Request
		want string
	}{
		"no proxy":                              {asked(other), "203.0.113.7"},
		"a proxy's own request":                 {asked(proxy), "127.0.0.1"},
		"one proxy":                             {asked(proxy, xff, "198.51.100.1"), "198.51.100.1"},
		"one proxy, RFC 7239":                   {asked(proxy, fwd, "for=198.51.100.1;proto=https;by=10.0.0.1"), "198.51.100.1"},
		"two proxies":                           {asked(proxy, xff, "198.51.100.1, 10.1.2.3"), "198.51.100.1"},
		"two proxies in two lines":              {asked(proxy, xff, "198.51.100.1", xff, "10.1.2.3"), "198.51.100.1"},
		"two proxies, RFC 7239":                 {asked(proxy, fwd, "for=198.51.100.1, for=10.1.2.3"), "198.51.100.1"},
		"all are proxies":                       {asked(proxy, xff, "10.0.0.5, 10.1.2.3"), "10.0.0.5"},
		"a proxy reached over IPv6":             {asked(proxyV6, xff, "2001:db8:2::1"), "2001:db8:2::1"},
		"a proxy reached over mapped IPv4":      {asked("[::ffff:10.0.0.1]:999", xff, "198.51.100.1"), "198.51.100.1"},
		"a mapped client":                       {asked(proxy, xff, "::ffff:198.51.100.1"), "198.51.100.1"},
		"a mapped proxy in the chain":           {asked(proxy, xff, "198.51.100.1, ::ffff:10.1.2.3"), "198.51.100.1"},
		"an IPv6 client":                        {asked(proxy, xff, "2001:db8:2::1"), "2001:db8:2::1"},
		"an IPv6 client in brackets":            {asked(proxy, xff, "[2001:db8:2::1]"), "2001:db8:2::1"},
		"an IPv6 client with a port":            {asked(proxy, xff, "[2001:db8:2::1]:4711"), "2001:db8:2::1"},
		"an IPv6 client, RFC 7239":              {asked(proxy, fwd, `For="[2001:db8:2::1]:4711"`), "2001:db8:2::1"},
		"an IPv6 client, not quoted":            {asked(proxy, fwd, `for=[2001:db8:2::1]`), "2001:db8:2::1"},
		"an escaped quote":                      {asked(proxy, fwd, `for=198.51.100.1;host="a\"b,for=10.0.0.1"`), "198.51.100.1"},
		"a client with a zone":                  {asked(proxy, xff, "fe80::1%eth0"), "fe80::1"},
		"a client with a port":                  {asked(proxy, xff, "198.51.100.1:4711"), "198.51.100.1"},
		"both headers agree":                    {asked(proxy, xff, "198.51.100.1", fwd, "for=198.51.100.1"), "198.51.100.1"},
		"a header of an untrusted peer":         {asked(other, xff, "127.0.0.1"), "203.0.113.7"},
		"… RFC 7239":                            {asked(other, fwd, "for=127.0.0.1"), "203.0.113.7"},
		"a client that makes up a hop":          {asked(proxy, xff, "127.0.0.1, 203.0.113.7"), "203.0.113.7"},
		"a client that makes up many":           {asked(proxy, xff, "127.0.0.1, 192.0.2.1, 203.0.113.7, 10.1.2.3"), "203.0.113.7"},
		"a client that makes up a line":         {asked(proxy, xff, "192.0.2.1", xff, "203.0.113.7"), "203.0.113.7"},
		"a client that makes up nonsense":       {asked(proxy, xff, `", [, for=, 203.0.113.7`), "203.0.113.7"},
		"a client that opens a quote":           {asked(proxy, fwd, `for="192.0.2.1, for=203.0.113.7`), unknown},
		"a client that opens a quote in a line": {asked(proxy, fwd, `for="192.0.2.1`, fwd, `for=203.0.113.7`), unknown},
		"a client that writes the other header": {asked(proxy, xff, "203.0.113.7", fwd, "for=192.0.2.1"), unknown},
		"… and this one is the proxy's":         {asked(proxy, xff, "192.0.2.1", fwd, "for=203.0.113.7"), unknown},
		"an address twice in an element":        {asked(proxy, fwd, "for=203.0.113.7;for=192.0.2.1"), unknown},
		"a proxy that does not know":            {asked(proxy, fwd, "for=192.0.2.1, for=unknown"), unknown},
		"a proxy that does not tell":            {asked(proxy, fwd, "for=192.0.2.1, for=_hidden"), unknown},
		"an element without an address":         {asked(proxy, fwd, "for=192.0.2.1, proto=https"), unknown},
		"an empty element":                      {asked(proxy, fwd, "for=192.0.2.1,"), unknown},
		"an empty header":                       {asked(proxy, xff, ""), unknown},
		"an empty hop":                          {asked(proxy, xff, "192.0.2.1,"), unknown},
		"a name":                                {asked(proxy, xff, "localhost"), unknown},
		"a quoted address":                      {asked(proxy, xff, `"192.0.2.1"`), unknown},
		"half a bracket":                        {asked(proxy, xff, "[2001:db8:2::1"), unknown},
		"an address too long":                   {asked(proxy, xff, "192.0.2.1.5"), unknown},
		"leading zeros":                         {asked(proxy, xff, "127.0.0.01"), unknown},
		"a name without a value":                {asked(proxy, fwd, "for"), unknown},
		"two pairs without a semicolon":         {asked(proxy, fwd, "for=192.0.2.1 by=10.0.0.1"), unknown},
		"only another header of a proxy's":      {asked(proxy, "X-Real-Ip", "192.0.2.1"), unknown},
		"only a scheme":                         {asked(proxy, "X-Forwarded-Proto", "https"), unknown},
		"no connection":                         {asked("pipe", xff, "192.0.2.1"), unknown},
	} {
		if got := trusted.ClientAddr(tc.r).String(); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func TestNobodyIsTrustedByDefault(t *testing.T) {
	for _, remote := range []string{"127.0.0.1:999", "[::1]:999", "10.0.0.1:999"} {
		if got, want := Proxies(nil).ClientAddr(asked(remote, "X-Forwarded-For", "192.0.2.1")), Peer(asked(remote)); got != want {
			t.Errorf("%s counts as %s", remote, got)
		}
	}
}

func TestWhoIsOnThisMachine(t *testing.T) {
	here, elsewhere := proxies(t, "127.0.0.1"), proxies(t, "10.0.0.1")
	for name, tc := range map[string]struct {
		trusted Proxies
		r       *http.Request
		want    bool
	}{
		"IPv4":                                    {nil, asked("127.0.0.1:1"), true},
		"another loopback address":                {nil, asked("127.8.9.1:1"), true},
		"IPv6":                                    {nil, asked("[::1]:1"), true},
		"mapped IPv4":                             {nil, asked("[::ffff:127.0.0.1]:1"), true},
		"another machine":                         {nil, asked("10.0.0.1:1"), false},
		"no address":                              {nil, asked("x"), false},
		"another machine that says it is here":    {nil, asked("10.0.0.1:1", "X-Forwarded-For", "127.0.0.1"), false},
		"behind a proxy here":                     {nil, asked("127.0.0.1:1", "X-Forwarded-For", "127.0.0.1"), false},
		"… that only says Forwarded":              {nil, asked("127.0.0.1:1", "Forwarded", "proto=https"), false},
		"… that only says X-Real-Ip":              {nil, asked("127.0.0.1:1", "X-Real-Ip", "127.0.0.1"), false},
		"… that only says Via":                    {nil, asked("127.0.0.1:1", "Via", "1.1 squid"), false},
		"through a trusted proxy":                 {here, asked("127.0.0.1:1", "X-Forwarded-For", "127.0.0.1"), true},
		"through a trusted proxy, from afar":      {here, asked("127.0.0.1:1", "X-Forwarded-For", "127.0.0.1, 10.0.0.1"), false},
		"a trusted proxy that does not say whom":  {here, asked("127.0.0.1:1", "X-Forwarded-Proto", "https"), false},
		"a trusted proxy elsewhere, for itself":   {elsewhere, asked("10.0.0.1:1"), false},
		"a trusted proxy elsewhere, for loopback": {elsewhere, asked("10.0.0.1:1", "X-Forwarded-For", "127.0.0.1"), false},
	} {
		if got := tc.trusted.OnThisMachine(tc.r); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// What a client writes before the address its proxy appends never becomes its address.
func FuzzNobodyMakesUpAnAddress(f *testing.F) {
	for _, text := range []string{"", "127.0.0.1", `for="`, `for="192.0.2.1", for=`, `for=192.0.2.1;by="\`, "_x, unknown", "[::1]:1", ";;,,==", `"`, `for=a"b`} {
		f.Add(text)
	}
	trusted := proxies(f, "127.0.0.1")
	real := netip.MustParseAddr("203.0.113.7")
	f.Fuzz(func(t *testing.T, made string) {
		if strings.ContainsAny(made, "\r\n\x00") {
			return
		}
		if got := trusted.ClientAddr(asked("127.0.0.1:1", "X-Forwarded-For", made+", 203.0.113.7")); got != real {
			t.Errorf("%q makes the client %s", made, got)
		}
		for _, r := range []*http.Request{
			asked("127.0.0.1:1", "Forwarded", made+", for=203.0.113.7"), asked("127.0.0.1:1", "Forwarded", made, "Forwarded", "for=203.0.113.7"),
			asked("127.0.0.1:1", "X-Forwarded-For", "203.0.113.7", "Forwarded", made),
		} {
			if got := trusted.ClientAddr(r); got != real && got.IsValid() {
				t.Errorf("%q makes the client %s", made, got)
			}
		}
	})
}
