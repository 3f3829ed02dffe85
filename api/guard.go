package api

import (
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

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
// With keys required none of this is needed: a page has no key.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r)
		listed := s.originListed(r)
		if listed {
			allowOrigin(x.Header(), r.Header.Get("Origin"))
		}
		switch {
		case listed && preflight(r):
			x.WriteHeader(http.StatusNoContent)
		case s.cfg.Keys.Required():
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
	return len(origins) == 1 && origins[0] != "null" && slices.Contains(s.cfg.Origins, origins[0])
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

// allowOrigin lets the pages of a configured origin read the answer.
func allowOrigin(h http.Header, origin string) {
	h.Set("Access-Control-Allow-Origin", origin)
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-API-Key, X-Request-Id, X-Maxrelay-Strict")
	h.Set("Access-Control-Expose-Headers", "X-Request-Id, Retry-After, X-Maxrelay-Session, X-Maxrelay-Worker, X-Maxrelay-Queue-Ms, X-Maxrelay-Ignored")
}
