package api

import (
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"maxrelay/session/chat"
)

// guard keeps web pages out. A server on loopback that wants no key could be driven by
// any page its operator opens, so without required keys three things are held, each
// against another way in:
//
//   - the Host must be a loopback name: a page whose own name resolves to 127.0.0.1
//     (DNS rebinding) sends that name;
//   - Origin and Sec-Fetch-Site must not tell of another site: browsers add them and no
//     page can change them (Fetch standard, sections 3.1 and 4.6.6);
//   - a body must be declared as JSON: a page cannot say so without a preflight, which
//     is not granted. This one holds in browsers that send neither of the former.
//
// With keys required none of this is needed: a page has no key. Management has a guard
// of its own.
func (s *Server) guard(next http.Handler) http.Handler {
	management := s.guardManagement(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isManagement(r) {
			management.ServeHTTP(w, r)
			return
		}
		x := exchangeOf(r)
		listed := s.originListed(r)
		if listed {
			allowOrigin(x.Header(), r.Header.Get("Origin"))
		}
		switch {
		case listed && preflight(r):
			s.grant(x, r)
		case s.live.Load().keys.Required():
			next.ServeHTTP(w, r)
		default:
			if err := s.checkBrowser(r, listed); err != nil {
				x.fail(err)
				return
			}
			next.ServeHTTP(w, r)
		}
	})
}

// isManagement looks at what the router looks at.
func isManagement(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/admin/") }

// guardManagement keeps pages of other origins from management, the listed ones too.
// They have no token; but they could use up the attempts to sign in of whoever opens
// them, or guess through a browser that management is open to.
func (s *Server) guardManagement(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !sameOrigin(r):
			exchangeOf(r).fail(forbidden("management is not open to web pages of other origins"))
		case s.rebound(r):
			exchangeOf(r).fail(forbidden("management answers here to loopback names only: use 127.0.0.1 or localhost"))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// rebound reports whether the request may be a page's whose own name resolves to this
// machine: where keys are required, a proxy here may serve under a name of its own.
func (s *Server) rebound(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return local != nil && local.IP.IsLoopback() && !s.live.Load().keys.Required() && !s.hostAllowed(r.Host)
}

func (s *Server) checkBrowser(r *http.Request, listed bool) error {
	switch {
	case !s.hostAllowed(r.Host):
		return forbidden("this server answers to its loopback names only while it wants no API key: use 127.0.0.1 or localhost")
	case !listed && !sameOrigin(r):
		return forbidden("web pages of other origins may not call this server, unless its operator lists them in cors.origins")
	case r.Method != http.MethodGet && r.Method != http.MethodHead && !saysJSON(r):
		return forbidden("the request must say Content-Type: application/json while the server wants no API key")
	}
	return nil
}

func forbidden(message string) error {
	return &chat.Error{Code: chat.CodeForbidden, Message: message}
}

func (s *Server) hostAllowed(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	} else {
		host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	}
	if strings.EqualFold(host, "localhost") || s.cfg.Host != "" && strings.EqualFold(host, s.cfg.Host) {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// originListed reports whether the configuration allows the request's origin.
func (s *Server) originListed(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	return len(origins) == 1 && origins[0] != "null" && slices.Contains(s.live.Load().origins, origins[0])
}

// sameOrigin reports whether no sign of another site is on the request.
func sameOrigin(r *http.Request) bool {
	for _, origin := range r.Header.Values("Origin") {
		if origin != "http://"+r.Host && origin != "https://"+r.Host {
			return false
		}
	}
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "same-origin" && site != "none" {
			return false
		}
	}
	return true
}

// saysJSON reports whether the body is declared as JSON. No declaration at all is fine
// for a client that shows no sign of being a browser.
func saysJSON(r *http.Request) bool {
	types := r.Header.Values("Content-Type")
	if len(types) == 0 {
		return !fromBrowser(r)
	}
	media, _, err := mime.ParseMediaType(types[0])
	return len(types) == 1 && err == nil && media == "application/json"
}

func fromBrowser(r *http.Request) bool {
	for name := range r.Header {
		if name == "Origin" || name == "Referer" || strings.HasPrefix(name, "Sec-") {
			return true
		}
	}
	return strings.HasPrefix(r.UserAgent(), "Mozilla/")
}

func preflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != ""
}

// preflightAge is how long a browser may remember what was granted. Requests themselves
// are looked at anew each time.
const preflightAge = 10 * time.Minute

// grant answers a preflight of a listed origin: all methods of the path, and all
// headers, of which the star names all but Authorization (Fetch standard, section
// 3.3.3). OpenAI's client for browsers sends a dozen of its own.
func (s *Server) grant(x *exchange, r *http.Request) {
	allowed := methods(s.clients.router, r)
	if len(allowed) == 0 && s.isForwarded(r.URL.Path) {
		allowed = allMethods
	}
	h := x.Header()
	h.Set("Access-Control-Allow-Methods", strings.Join(allowed, ", "))
	h.Set("Access-Control-Allow-Headers", "*, Authorization")
	h.Set("Access-Control-Max-Age", strconv.Itoa(int(preflightAge.Seconds())))
	x.WriteHeader(http.StatusNoContent)
}

// exposed are the headers that a page may read besides the usual ones.
var exposed = strings.Join([]string{
	"X-Request-Id", "Request-Id", "Retry-After", "X-Should-Retry", "OpenAI-Processing-Ms", "Idempotent-Replayed",
	"X-Maxrelay-Session", "X-Maxrelay-Worker", "X-Maxrelay-Queue-Ms", "X-Maxrelay-Queue-Position", "X-Maxrelay-Queue-Estimate-Ms", "X-Maxrelay-Ignored",
	"X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests",
	"X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens",
}, ", ")

// allowOrigin lets the pages of a configured origin read the answer.
func allowOrigin(h http.Header, origin string) {
	h.Set("Access-Control-Allow-Origin", origin)
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Expose-Headers", exposed)
}
