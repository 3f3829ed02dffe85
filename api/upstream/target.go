package upstream

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"maxrelay/session/chat"
)

// methods leaves out CONNECT, which asks for a tunnel, and TRACE, whose answer repeats
// the request with the upstream's key in it (RFC 9110, section 9.3.8).
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
	http.MethodPatch, http.MethodDelete, http.MethodOptions,
}

// Check says why a request is not passed on, if it is not: the error is a *chat.Error, and
// the header gets what belongs to it.
func (f *Forwarder) Check(h http.Header, r *http.Request) error {
	if !f.Configured() {
		return &chat.Error{Code: chat.CodeNotFound, Message: "there is nothing at this path, and no upstream is configured that it could be passed on to"}
	}
	err := checkRequest(r)
	if err == nil {
		return nil
	}
	if err.Code == chat.CodeMethod {
		h.Set("Allow", strings.Join(methods, ", "))
	}
	return err
}

// checkRequest refuses what could lead anywhere else than below an upstream's root, or
// could make something else of the connection than one request and its answer.
func checkRequest(r *http.Request) *chat.Error {
	switch {
	case !slices.Contains(methods, r.Method):
		return &chat.Error{Code: chat.CodeMethod, Message: "this method is not passed on"}
	case r.URL.IsAbs() || r.URL.Host != "" || r.URL.Opaque != "" || r.URL.User != nil:
		return chat.Invalid("", "the request's target must be a path, not a URL")
	case asksForUpgrade(r.Header):
		return chat.Invalid("", "the connection cannot be upgraded to another protocol")
	}
	if err := checkPath(r.URL.EscapedPath()); err != nil {
		return chat.Invalid("", "the path %v", err)
	}
	return nil
}

// asksForUpgrade lets h2c pass, which Java's HttpClient offers with every request and
// which a server may ignore (RFC 9110, section 7.8). The offer itself goes no further.
func asksForUpgrade(h http.Header) bool {
	return slices.ContainsFunc(h.Values("Upgrade"), func(protocol string) bool {
		return !strings.EqualFold(strings.TrimSpace(protocol), "h2c")
	})
}

// checkPath looks at the path as it was sent and at what is left each time somebody
// decodes it, since an upstream's own proxies may do that more than once.
func checkPath(path string) error {
	if !strings.HasPrefix(path, "/") {
		return errors.New("must begin with /")
	}
	slashes := strings.Count(path, "/")
	for {
		if err := checkLayer(path); err != nil {
			return err
		}
		if strings.Count(path, "/") != slashes {
			return errors.New("must not hold encoded slashes")
		}
		next, err := url.PathUnescape(path)
		if err != nil || next == path {
			return nil
		}
		path = next
	}
}

func checkLayer(path string) error {
	if strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }) {
		return errors.New("must not hold backslashes or control characters")
	}
	segments := strings.Split(path[1:], "/")
	for i, segment := range segments {
		name, _, _ := strings.Cut(segment, ";") // parameters, which some servers take off first
		switch {
		case name == "." || name == "..":
			return errors.New("must not hold . or .. segments")
		case name == "" && i < len(segments)-1:
			return errors.New("must not hold empty segments")
		}
	}
	return nil
}

// at returns the URL of a request's path at the upstream.
func (t *target) at(in *url.URL) *url.URL {
	return &url.URL{
		Scheme: t.root.Scheme, Host: t.root.Host,
		Path: t.root.Path + in.Path, RawPath: t.root.EscapedPath() + in.EscapedPath(),
		RawQuery: in.RawQuery, ForceQuery: in.ForceQuery,
	}
}
