package upstream

import (
	"net/http"
	"slices"
	"strings"
)

// kept back are the client's credentials and address, what a browser says of the page
// that calls, and what some servers read as another path or method.
var (
	keptBack = []string{
		"Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key", "Cookie", "Cookie2", "Proxy-Authorization",
		"Forwarded", "Via", "X-Real-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip", "X-Request-Id",
		"Origin", "Referer", "Expect", "Upgrade", "Http2-Settings", "Connection",
		"X-Rewrite-Url", "X-Http-Method", "X-Http-Method-Override", "X-Method-Override",
	}
	keptBackPrefixes = []string{"X-Forwarded-", "X-Original-", "X-Maxrelay-", "Cf-", "Sec-", "Access-Control-"}
)

// clean leaves in a request's header what the upstream gets.
//
// The answer is asked for uncompressed: it is read in passing, and what is compressed
// tends to come in larger pieces.
func clean(h http.Header) {
	drop(h, keptBack, keptBackPrefixes)
	h.Set("Accept-Encoding", "identity")
}

// notPassedOn is what an upstream says of its own host. Cookies would never come back to
// it, and what a browser may do here is not its business.
var (
	notPassedOn = []string{
		"Set-Cookie", "Set-Cookie2", "Www-Authenticate", "Authorization", "X-Api-Key", "Alt-Svc", "Strict-Transport-Security",
		"Clear-Site-Data", "Nel", "Report-To", "Reporting-Endpoints", "Server", "Via",
	}
	notPassedOnPrefixes = []string{"Access-Control-", "X-Maxrelay-"}
)

// cleanAnswer leaves in an answer's header what the client gets beside ours, which stay.
func cleanAnswer(h, ours http.Header) {
	drop(h, notPassedOn, notPassedOnPrefixes)
	for name := range ours {
		if name != "Vary" {
			h.Del(name)
		}
	}
}

func drop(h http.Header, names, prefixes []string) {
	for _, name := range names {
		h.Del(name)
	}
	for name := range h {
		if slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) }) {
			delete(h, name)
		}
	}
}
